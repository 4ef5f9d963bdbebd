/** Who may use which server of mcp-proxy: its lists of tokens, server by server, become tokens with lists of servers. */
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import type { Entry } from './proxied.ts'

/** A list of tokens, and where it is. */
export interface Tokens {
  list: readonly string[]
  at: Path
}

export interface Defaults {
  /** For servers that say nothing else. */
  inherited: Tokens
  /** Of the old format: added to what a server says. */
  added: Tokens
  /** Whether there are logins. Where there are, an empty list leaves in only who logs in. */
  hasLogins: boolean
}

interface Good {
  at: Path
  servers: Set<string>
}

/** Writes `auth.tokens`, and which servers are public. Without any token there is nothing to write. */
export function adaptTokens(entries: readonly Entry[], defaults: Defaults, draft: Draft): void {
  const { inherited, added, hasLogins } = defaults
  const good = new Map<string, Good>()
  const note = (token: string, at: Path): Good | undefined => {
    if (token.trim() === '') {
      draft.refuse(at, 'a token must not be blank; leave it out')
      return undefined
    }
    const known = good.get(token) ?? { at, servers: new Set() }
    good.set(token, known)
    return known
  }
  const noted = ({ list, at }: Tokens, server?: string) => {
    for (const [i, token] of list.entries()) {
      const known = note(token, [...at, i])
      if (server !== undefined) known?.servers.add(server)
    }
  }
  noted(inherited)
  const unsaid = new Map<string, Entry>()
  const open: Entry[] = []
  for (const entry of entries) {
    const { name, secret, at } = entry
    const lists = effective(entry, inherited, added)
    for (const list of lists) noted(list, name)
    const isListed = lists.some(({ list }) => list.length > 0)
    if (secret !== undefined) {
      note(secret, at)?.servers.add(name)
      if (isListed && !lists.some(({ list }) => list.includes(secret))) draft.warn(at, EITHER)
    } else if (!isListed && !hasLogins) {
      if (entry.replaces && entry.options.authTokens) open.push(entry)
      else unsaid.set(name, entry)
    }
  }
  if (good.size === 0) return
  for (const { name, optionsAt } of open) {
    const from = [...optionsAt, 'authTokens']
    draft.set(['mcpServers', name, 'public'], true, from)
    draft.warn(from, PUBLIC)
  }
  for (const name of unsaid.keys()) for (const { servers } of good.values()) servers.add(name)
  const [first] = unsaid.values()
  if (first) draft.warn(first.at, takesAny([...unsaid.keys()], first.replaces))

  const guarded = new Set(entries.map(({ name }) => name))
  for (const { name } of open) guarded.delete(name)
  const isForAll = (token: string, { servers }: Good) =>
    inherited.list.includes(token) && [...guarded].every((name) => servers.has(name))
  let i = 0
  for (const [token, { at, servers }] of good) {
    const to = ['auth', 'tokens', i]
    const forAll = isForAll(token, { at, servers })
    if (!forAll && servers.size === 0) {
      draft.warn(at, 'is good for no server: each of them has others')
      continue
    }
    draft.set(to, {}, at)
    draft.set([...to, 'token'], token, at)
    if (!forAll) draft.set([...to, 'servers'], [...servers], at)
    i++
  }
}

/** The lists that count for a server. */
function effective({ options, optionsAt, replaces }: Entry, inherited: Tokens, added: Tokens) {
  const own: Tokens = { list: options.authTokens ?? [], at: [...optionsAt, 'authTokens'] }
  if (replaces) return options.authTokens ? [own] : [inherited]
  return own.list.length + added.list.length > 0 ? [own, added] : [inherited]
}

const PUBLIC =
  'EVERYBODY who reaches the gateway may use this server without a token, because the list is empty; leave out "authTokens" to ask for those of "mcpProxy", or name some'
const EITHER =
  'mcp-proxy asks for a token of "authTokens" besides the one after the "/"; here either is enough, and a client that sends two must send the same one twice'

function takesAny(names: string[], isNew: boolean): string {
  const who = names.length === 1 ? 'this server' : `these servers: ${names.join(', ')}`
  const otherwise = isNew
    ? '; write "authTokens": [] in its "options" to leave it open to everybody'
    : ''
  return `mcp-proxy asks for no token at ${who}; here, because others have tokens, any token of this file is asked for${otherwise}`
}
