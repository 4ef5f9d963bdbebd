/** The answers of several servers to `initialize`, made one. Pure. */
import type { ClientPeer } from '../caller.ts'
import type { Json } from '../rpc/json.ts'
import { LEGACY_VERSIONS } from '../upstream/connection.ts'

/** A server that could be reached, and what it answered. */
export interface Introduced {
  server: string
  introduction: Json
}

interface Capabilities {
  tools?: { listChanged: true }
  prompts?: { listChanged: true }
  resources?: { listChanged: true; subscribe?: true }
  logging?: Record<string, never>
  completions?: Record<string, never>
  tasks?: unknown
}

/**
 * What at least one of them has. That lists change is always announced, since servers come and go. Of those that nobody
 * has met yet, tools are expected: a client that is not told of any would never ask.
 */
export function capabilitiesOf(all: readonly Introduced[]): Capabilities {
  const offered = all.flatMap(({ introduction }) => introduction.member('capabilities') ?? [])
  const any = (name: string) => offered.find((one) => one.member(name)?.isObject)?.member(name)
  const subscribe = offered.some(
    (one) => one.member('resources')?.member('subscribe')?.get() === true,
  )
  const tasks = any('tasks')
  return {
    ...(any('tools') || all.length === 0 ? { tools: { listChanged: true } } : {}),
    ...(any('prompts') ? { prompts: { listChanged: true } } : {}),
    ...(any('resources')
      ? { resources: { listChanged: true, ...(subscribe ? { subscribe } : {}) } }
      : {}),
    ...(any('logging') ? { logging: {} } : {}),
    ...(any('completions') ? { completions: {} } : {}),
    ...(tasks ? { tasks: tasks.get() } : {}),
  }
}

/** All instructions, each under the name of its server. */
export function instructionsOf(all: readonly Introduced[]): string | undefined {
  const parts = all.flatMap(({ server, introduction }) => {
    const text = introduction.member('instructions')?.get<unknown>()
    return typeof text === 'string' && text.trim() !== '' ? `# ${server}\n\n${text.trim()}` : []
  })
  return parts.length > 0 ? parts.join('\n\n') : undefined
}

/** The revision to speak with a client: its own, if it is one with sessions. */
export function revisionFor({ introduction }: ClientPeer): string {
  const wanted = introduction.member('protocolVersion')?.get<unknown>()
  return LEGACY_VERSIONS.find((version) => version === wanted) ?? LEGACY_VERSIONS[0]!
}
