/** The answers of several servers to `initialize`, made one. Pure. */
import type { ClientPeer } from '../caller.ts'
import { capabilityOf, type Introduction, LEGACY_VERSIONS } from '../upstream/connection.ts'

/** A server that could be reached, and what it answered. */
export interface Introduced {
  server: string
  introduction: Introduction
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
  const any = (name: string) =>
    all.map(({ introduction }) => capabilityOf(introduction, name)).find(Boolean)
  const subscribe = all.some(
    ({ introduction }) => capabilityOf(introduction, 'resources')?.subscribe === true,
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
    ...(tasks ? { tasks } : {}),
  }
}

/** All instructions, each under the name of its server. */
export function instructionsOf(all: readonly Introduced[]): string | undefined {
  const parts = all.flatMap(({ server, introduction }) => {
    const text = introduction.instructions?.trim()
    return text ? `# ${server}\n\n${text}` : []
  })
  return parts.length > 0 ? parts.join('\n\n') : undefined
}

/** The revision to speak with a client: its own, if it is one with sessions. */
export function revisionFor({ introduction }: ClientPeer): string {
  const wanted = introduction.member('protocolVersion')?.get<unknown>()
  return LEGACY_VERSIONS.find((version) => version === wanted) ?? LEGACY_VERSIONS[0]!
}
