/** The servers of mcp-proxy, in either of its formats, one by one. */
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import { milliseconds } from './duration.ts'
import { nameFault, setExact } from './names.ts'
import type { ProxiedServer, ProxyFile, ProxyOptions } from './proxyfile.ts'

/** A server as it is written, and where. */
export interface Entry {
  name: string
  /** Written after its name, as `NAME/TOKEN`. */
  secret: string | undefined
  /** Where all of it is. */
  at: Path
  /** Where it says how the server is reached. */
  reachedAt: Path
  typeAt: Path
  optionsAt: Path
  server: ProxiedServer
  options: ProxyOptions
  /** Whether its own tokens replace those of the proxy; in the old format they are added. */
  replaces: boolean
}

/** Those that can be used, in the order they are written. Of the others it is told. */
export function entriesOf({ mcpServers, clients }: ProxyFile, draft: Draft): Entry[] {
  const written: Omit<Entry, 'name' | 'secret'>[] = []
  for (const [key, server] of Object.entries(mcpServers ?? {})) {
    const at = ['mcpServers', key]
    written.push({
      ...{ at, reachedAt: at, typeAt: [...at, 'transportType'], optionsAt: [...at, 'options'] },
      ...{ server, options: server.options ?? {}, replaces: true },
    })
  }
  if (written.length > 0 && clients) {
    draft.warn(['clients'], 'is not looked at, because there are "mcpServers"; move them there')
  }
  for (const [key, client] of Object.entries(written.length > 0 ? {} : (clients ?? {}))) {
    const at = ['clients', key]
    const { type, config, ...options } = client
    if (!/^(stdio|sse|streamable-http)$/.test(type ?? '') || !config) {
      const what = config
        ? 'has no "type" of "stdio", "sse" or "streamable-http"'
        : 'has no "config"'
      draft.warn(at, `${what}, so it is left out, as mcp-proxy does`)
      continue
    }
    const places = { reachedAt: [...at, 'config'], typeAt: [...at, 'type'], optionsAt: at }
    const server = { ...config, transportType: type }
    written.push({ at, ...places, server, options, replaces: false })
  }
  return written.flatMap((entry) => named(entry, draft) ?? [])
}

function named(entry: Omit<Entry, 'name' | 'secret'>, draft: Draft): Entry | undefined {
  const [name = '', ...secrets] = `${entry.at[1]}`.split('/')
  const [secret] = secrets
  const what =
    secrets.length > 1 || secret === ''
      ? 'may have one "/", with a token after it; leave the others out'
      : nameFault(name)
  if (what === undefined) return { ...entry, name, secret }
  draft.refuse(entry.at, what)
  return undefined
}

/** Writes all of a server but who may use it. */
export function adaptServer(entry: Entry, inherited: Inherited, draft: Draft): void {
  const { name, at, optionsAt, server, options } = entry
  const to = ['mcpServers', name]
  draft.set(to, {}, at)
  if (isCommand(entry)) adaptCommand(entry, to, draft)
  else adaptRemote(entry, to, draft)
  adaptTimeout(entry, to, draft)
  if (options.disabled) draft.set([...to, 'disabled'], true, [...optionsAt, 'disabled'])
  const { panicIfInvalid = inherited.panicIfInvalid } = given(options)
  if (panicIfInvalid) {
    const isOwn = options.panicIfInvalid ?? false
    const from = isOwn ? optionsAt : inherited.optionsAt
    draft.set([...to, 'required'], true, [...from, 'panicIfInvalid'])
  }
  adaptFilter(entry, to, draft)
  if (server.inheritEnv && isCommand(entry)) {
    draft.set([...to, 'inheritEnv'], true, [...entry.reachedAt, 'inheritEnv'])
  }
}

/** What servers have that do not say otherwise. */
export interface Inherited {
  panicIfInvalid: boolean
  optionsAt: Path
}

export function isCommand({ server }: Entry): boolean {
  return Boolean(server.command) || server.transportType === 'stdio'
}

function adaptCommand({ at, server, reachedAt, typeAt }: Entry, to: Path, draft: Draft): void {
  const { command, transportType } = server
  const from = (key: string) => [...reachedAt, key]
  if (!command) {
    draft.refuse(at, 'speaks stdio, so it needs a "command", the program to start')
    return
  }
  if (transportType && transportType !== 'stdio') {
    draft.warn(typeAt, 'a "command" speaks stdio whatever this says; leave it out')
  }
  draft.set([...to, 'command'], command, from('command'))
  for (const key of ['args', 'env'] as const) {
    draft.set([...to, key], server[key] ?? undefined, from(key))
  }
  for (const key of ['url', 'headers'] as const) {
    if (isWritten(server[key])) draft.warn(from(key), unused(key, 'command'))
  }
}

function adaptRemote({ server, reachedAt, typeAt }: Entry, to: Path, draft: Draft): void {
  const { url, transportType } = server
  const from = (key: string) => [...reachedAt, key]
  draft.set([...to, 'url'], url || undefined, from('url'))
  draft.set([...to, 'headers'], server.headers ?? undefined, from('headers'))
  if (transportType === 'sse' || transportType === 'streamable-http') {
    draft.set([...to, 'type'], transportType, typeAt)
  } else if (transportType) {
    const what = 'expected "stdio", "sse" or "streamable-http"; without it both of these are tried'
    draft.refuse(typeAt, what)
  }
  for (const key of ['args', 'env'] as const) {
    if (url && isWritten(server[key])) draft.warn(from(key), unused(key, 'url'))
  }
}

const unused = (key: string, by: string) =>
  `is not used, because there is a "${by}"; leave out "${key}", or make two servers of it`

function isWritten(value: string | object | null | undefined): boolean {
  return typeof value === 'object' ? Object.keys(value ?? {}).length > 0 : Boolean(value)
}

function adaptTimeout(entry: Entry, to: Path, draft: Draft): void {
  const { timeout } = entry.server
  const from = [...entry.reachedAt, 'timeout']
  if (timeout === null || timeout === undefined) return
  const ms = milliseconds(timeout) ?? Number.NaN
  if (!(ms >= 0)) draft.refuse(from, 'expected a duration like "30s", or a number of nanoseconds')
  if (ms >= 1) draft.set([...to, 'timeout'], Math.round(ms), from)
  if (!(ms > 0 && ms < 1)) return
  const said = 'is less than a millisecond, for it counts nanoseconds; write "30s" for 30 seconds'
  if (isTimed(entry)) draft.set([...to, 'timeout'], 1, from)
  draft.warn(from, isTimed(entry) ? said : `${said}; it is left out`)
}

/** Whether every mcp-proxy there was heeds its `timeout`. */
export function isTimed(entry: Entry): boolean {
  return !isCommand(entry) && entry.server.transportType === 'streamable-http'
}

function adaptFilter({ options, optionsAt }: Entry, to: Path, draft: Draft): void {
  const { mode, list } = options.toolFilter ?? {}
  if (!list || list.length === 0) return
  const from = [...optionsAt, 'toolFilter']
  const key = mode?.toLowerCase()
  if (key === 'allow' || key === 'block') {
    setExact([...to, 'tools', key], list, [...from, 'list'], draft)
  } else {
    const at = mode ? [...from, 'mode'] : from
    draft.warn(at, 'the mode is neither "allow" nor "block", so every tool is shown; write one')
  }
}

/** Without what is null. */
function given<T extends object>(options: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const entries = Object.entries(options).filter(([, value]) => value !== null)
  return Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> }
}
