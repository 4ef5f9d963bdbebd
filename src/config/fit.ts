/**
 * Whether options that are good one by one also fit together: pure functions, from what was read to what does not fit.
 *
 * Of names only the collisions that the configuration itself writes are known here; servers bring others.
 */
import * as v from 'valibot'
import { quoted } from '../events.ts'
import type { Secret } from '../secret.ts'
import { closest } from './closest.ts'
import { type Inheritable, inherit } from './inherited.ts'
import type { WrittenServer } from './server.ts'

export interface Misfit {
  path: (string | number)[]
  what: string
}

/**
 * A step in the pipe of a schema that refuses what does not fit. It is taken when all that is inside is good.
 *
 * `T` is what the pipe holds, whatever little of it `misfits` looks at.
 */
export function fits<T>(misfits: (value: NoInfer<T>) => Iterable<Misfit>): v.RawCheckAction<T> {
  return v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    for (const { path, what } of misfits(dataset.value)) {
      const [first, ...inner] = path.map(pathItem)
      addIssue({ message: what, ...(first && { path: [first, ...inner] }) })
    }
  })
}

function pathItem(key: string | number): v.IssuePathItem {
  return { type: 'unknown', origin: 'value', input: undefined, key, value: undefined }
}

/** What a server has only if it is a command, and only if it is at a URL. */
const ONLY = {
  command: ['args', 'env', 'inheritEnv', 'cwd', 'maxMemory'],
  url: ['headers', 'insecure'],
} as const

const FITTING = {
  command: '"stdio"; leave it out',
  url: '"streamable-http" or "sse"; leave it out, and both are tried',
}

/** A server is either a command or at a URL, and its other options are for that. */
export function* serverMisfits(server: WrittenServer): Generator<Misfit> {
  const { command, url, type, transportType } = server
  if (command === undefined && url === undefined) {
    const what = 'expected "command", the program to start, or "url", where a remote server is'
    return yield { path: [], what }
  }
  if (command !== undefined && url !== undefined) {
    return yield { path: ['url'], what: 'a server has either "command" or "url"; keep one of them' }
  }
  const [is, other] =
    url === undefined ? (['command', 'url'] as const) : (['url', 'command'] as const)
  for (const key of ONLY[other]) {
    const what = `goes with "${other}", not with "${is}"; leave it out`
    if (isGiven(server[key])) yield { path: [key], what }
  }
  if (type && transportType && type !== transportType) {
    return yield { path: ['transportType'], what: 'differs from "type"; keep one of them' }
  }
  const wanted = type ?? transportType
  if (wanted && (wanted === 'stdio') !== (is === 'command')) {
    const what = `does not fit: with "${is}" it is ${FITTING[is]}`
    yield { path: [type ? 'type' : 'transportType'], what }
  }
}

/** What has no effect is no fault: programs that write configurations like to write every key. */
function isGiven(value: string | number | boolean | object | undefined): boolean {
  return typeof value === 'object' ? Object.keys(value).length > 0 : Boolean(value)
}

/**
 * A pool has no larger minimum than maximum, whichever of them is inherited. The path begins in the server, or with
 * `defaults` if both are from there.
 */
export function* poolMisfits(server: Inheritable, defaults: Inheritable): Generator<Misfit> {
  const { minConnections, maxConnections } = inherit('command', server, defaults).pool
  if (minConnections <= maxConnections) return
  const from = (key: keyof Inheritable['pool']): keyof typeof WHERE => {
    if (server.pool[key] !== undefined) return 'server'
    return defaults.pool[key] === undefined ? 'nowhere' : 'defaults'
  }
  const min = from('minConnections')
  const max = from('maxConnections')
  if (max === 'server' && min !== 'server') {
    const what = `is less than "minConnections", which is ${minConnections}${WHERE[min]}`
    return yield { path: ['pool', 'maxConnections'], what }
  }
  const what = `is more than "maxConnections", which is ${maxConnections}${WHERE[max]}`
  yield { path: [...(min === 'server' ? [] : ['defaults']), 'pool', 'minConnections'], what }
}

const WHERE = { server: '', defaults: ' in "defaults"', nowhere: ' by default' }

/** The same of all servers of a configuration that are not disabled. What is wrong with `defaults` is told once. */
export function* allPoolMisfits(
  servers: Record<string, Inheritable & Disabled>,
  defaults: Inheritable,
): Generator<Misfit> {
  let isTold = false
  for (const [name, server] of enabled(servers)) {
    for (const { path, what } of poolMisfits(server, defaults)) {
      const isShared = path[0] === 'defaults'
      if (!isShared) yield { path: ['mcpServers', name, ...path], what }
      else if (!isTold) yield { path, what }
      isTold ||= isShared
    }
  }
}

/** An argument is either a default or pinned. */
export function* argumentMisfits({
  defaults,
  pinned,
}: Record<'defaults' | 'pinned', object>): Generator<Misfit> {
  for (const name of Object.keys(pinned).filter((name) => Object.hasOwn(defaults, name))) {
    yield { path: ['pinned', name], what: 'is in "defaults", too; keep one of them' }
  }
}

/** Groups name servers, each once, and have names of their own. */
export function* groupMisfits(
  groups: Record<string, string[]>,
  servers: string[],
): Generator<Misfit> {
  for (const [group, members] of Object.entries(groups)) {
    const misfit = (what: string, ...at: number[]): Misfit => ({
      path: ['groups', group, ...at],
      what,
    })
    if (servers.includes(group)) yield misfit('is the name of a server, too; choose another')
    for (const [i, name] of members.entries()) {
      if (!servers.includes(name)) yield misfit(unknownServer(name, servers, groups), i)
      else if (members.indexOf(name) < i) yield misfit(`${quoted(name)} is there twice`, i)
    }
  }
}

/** Tokens are for servers that are there, and each is there once. */
export function* tokenMisfits(
  tokens: readonly { token: Secret; servers?: string[] | undefined }[],
  servers: string[],
): Generator<Misfit> {
  const seen = new Set<string>()
  for (const [i, { token, servers: wanted = [] }] of tokens.entries()) {
    const text = token.reveal()
    const what = 'is there twice; write one token with all its servers'
    if (seen.has(text)) yield { path: ['auth', 'tokens', i], what }
    seen.add(text)
    for (const [j, name] of wanted.entries()) {
      if (servers.includes(name)) continue
      const path = ['auth', 'tokens', i, 'servers', j]
      yield { path, what: unknownServer(name, servers, {}) }
    }
  }
}

function unknownServer(name: string, servers: string[], groups: object): string {
  const meant = closest(name, servers)
  let hint = servers.length > 0 ? `; known are ${servers.join(', ')}` : ''
  if (meant) hint = `; did you mean ${quoted(meant)}?`
  if (Object.hasOwn(groups, name)) hint = '; write the servers of that group instead'
  return `there is no server ${quoted(name.slice(0, 60))}${hint}`
}

interface Disabled {
  disabled: boolean
}

function enabled<S extends Disabled>(servers: Record<string, S>): [string, S][] {
  return Object.entries(servers).filter(([, { disabled }]) => !disabled)
}

interface Naming {
  prefix?: string | undefined
  separator: string
  rename: Record<string, string>
}

/** No two new names are the same, neither on one server nor, with their prefixes, where servers are merged. */
export function* collisions(
  servers: Record<string, Record<'tools' | 'prompts', Naming> & Disabled>,
): Generator<Misfit> {
  for (const kind of ['tools', 'prompts'] as const) {
    const taken = new Map<string, { server: string; original: string }>()
    for (const [server, { [kind]: naming, tools }] of enabled(servers)) {
      const prefix = naming.prefix ?? tools.prefix ?? server
      for (const [original, name] of Object.entries(naming.rename)) {
        const exposed = prefix ? `${prefix}${naming.separator}${name}` : name
        const first = taken.get(exposed)
        if (!first) taken.set(exposed, { server, original })
        else {
          const path = ['mcpServers', server, kind, 'rename', original]
          const what =
            first.server === server
              ? `becomes "${name}", as ${quoted(first.original)} does; choose another name`
              : `becomes "${exposed}" where servers are merged, as ${quoted(first.original)} of "${first.server}" does; choose another name or prefix`
          yield { path, what }
        }
      }
    }
  }
}
