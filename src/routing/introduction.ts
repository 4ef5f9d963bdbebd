/** The answers of several servers to `initialize`, made one. Pure. */
import type { ClientPeer } from '../caller.ts'
import { capabilityOf, type Introduction, LEGACY_VERSIONS } from '../upstream/connection.ts'

/** A server, and what it said of itself; undefined if nobody has met it yet. */
export interface Introduced {
  server: string
  introduction: Introduction | undefined
}

interface Capabilities {
  tools?: { listChanged: true }
  prompts?: { listChanged: true }
  resources?: { listChanged: true; subscribe?: true }
  logging?: Record<string, never>
  completions?: Record<string, never>
  tasks?: object
}

/**
 * What at least one of them has. That lists change is always announced, since servers come and go. Of those that nobody
 * has met yet, tools are expected: a client that is not told of any would never ask.
 */
export function capabilitiesOf(all: readonly Introduced[]): Capabilities {
  const met = all.flatMap(({ introduction }) => introduction ?? [])
  const having = (name: string) =>
    met.map((one) => capabilityOf(one, name)).filter((one) => one !== undefined)
  const has = (name: string) => having(name).length > 0
  const subscribe = having('resources').some((one) => one.subscribe === true)
  const isExpected = met.length < all.length
  return {
    ...(has('tools') || isExpected ? { tools: { listChanged: true } } : {}),
    ...(has('prompts') ? { prompts: { listChanged: true } } : {}),
    ...(has('resources')
      ? { resources: { listChanged: true, ...(subscribe ? { subscribe } : {}) } }
      : {}),
    ...(has('logging') ? { logging: {} } : {}),
    ...(has('completions') ? { completions: {} } : {}),
    ...(has('tasks') ? { tasks: having('tasks').reduce((one, other) => united(one, other)) } : {}),
  }
}

type Members = Readonly<Record<string, unknown>>

function objectOf(value: unknown): Members | undefined {
  return typeof value === 'object' && value !== null ? (value as Members) : undefined
}

/** What either has, as deep as capabilities go. */
function united(one: Members, other: Members, depth = 5): Members {
  const all = { ...one }
  for (const [name, value] of Object.entries(other)) {
    const [ours, theirs] = [objectOf(all[name]), objectOf(value)]
    all[name] = ours && theirs && depth > 0 ? united(ours, theirs, depth - 1) : (ours ?? value)
  }
  return all
}

/** All instructions, each under the name of its server. */
export function instructionsOf(all: readonly Introduced[]): string | undefined {
  const parts = all.flatMap(({ server, introduction }) => {
    const text = introduction?.instructions?.trim()
    return text ? `# ${server}\n\n${text}` : []
  })
  return parts.length > 0 ? parts.join('\n\n') : undefined
}

/** The revision to speak with a client: its own, if it is one with sessions. */
export function revisionFor({ introduction }: ClientPeer): string {
  const wanted = introduction.member('protocolVersion')?.get<unknown>()
  return LEGACY_VERSIONS.find((version) => version === wanted) ?? LEGACY_VERSIONS[0]!
}
