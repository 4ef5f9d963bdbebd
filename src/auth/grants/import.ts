/**
 * Takes over, once, what an older proxy has kept in its `oauth_clients.json`: its clients, and the logins of people who are
 * still configured.
 *
 * Its tokens were good for every server, some for a hundred years, and lay in the file as they are. Here they are good for what
 * they were asked for, access tokens for no longer than ours, and only their digests are kept. The first refresh makes them ours.
 * The file stays as it is: whoever reads it has those tokens until then.
 */
import * as v from 'valibot'
import { Secret } from '../../secret.ts'
import type { Store } from '../../store/store.ts'
import type { Imported } from '../grants.ts'
import type { Person } from '../people/person.ts'
import { EVERYWHERE } from '../resource.ts'
import { digest, newSalt } from './credential.ts'
import { endOf, type Grant, type Lifetimes } from './grant.ts'

/** A client as the file has it. It never had to show its secret, but some do (`client_secret_post`). */
export interface ImportedClient {
  id: string
  name: string | undefined
  secret: Secret | undefined
  redirectURIs: string[]
}

export interface ImportOptions {
  store: Store
  /** Adds a client, if its redirect URIs may be; false if not. One that is known already stays as it is, which is true. */
  addClient: (client: ImportedClient) => Promise<boolean>
  personOf: (id: string) => Person | undefined
  endpoints: () => readonly string[]
  lifetimes: () => Lifetimes
  now?: () => number
}

/** What was taken over, and what not. */
export interface ImportReport {
  clients: number
  logins: number
  skipped: number
}

const LARGEST = 64 * 1024 * 1024

const ClientEntry = v.object({
  client_id: v.pipe(v.string(), v.nonEmpty(), v.maxLength(200)),
  redirect_uris: v.array(v.string()),
  client_name: v.optional(v.string()),
  client_secret: v.optional(v.string()),
})

const TokenEntry = v.object({
  Token: v.pipe(v.string(), v.regex(/^[\w-]{48}$/)),
  RefreshToken: v.optional(v.string(), ''),
  ClientID: v.string(),
  Resource: v.optional(v.string(), ''),
  ExpiresAt: v.string(),
  Username: v.pipe(v.string(), v.nonEmpty()),
})

type Token = v.InferOutput<typeof TokenEntry>

const entries = v.record(v.string(), v.unknown())

const FileSchema = v.union([
  v.pipe(
    v.object({ clients: v.nullable(entries), accessTokens: v.nullish(entries, {}) }),
    v.transform(({ clients, accessTokens }) => ({ clients: clients ?? {}, accessTokens })),
  ),
  // Its first version kept nothing but clients.
  v.pipe(
    entries,
    v.transform((clients) => ({ clients, accessTokens: {} })),
  ),
])

/**
 * Undefined if there is nothing to do: there is no such file, or it was imported before. If the process ends meanwhile, the
 * next one begins again, and finds what is there already.
 *
 * @throws {Error} if the file cannot be read, or is none of these. Nothing of it stands in the message.
 */
export async function importOnce(
  path: string,
  options: ImportOptions,
): Promise<ImportReport | undefined> {
  const { store, addClient } = options
  const now = options.now ?? Date.now
  const file = Bun.file(path)
  if (!(await file.exists()) || (await store.get('imports', path)) !== undefined) return undefined
  const { clients, accessTokens } = parsed(await textOf(file, path), path)
  const report = { clients: 0, logins: 0, skipped: 0 }
  const known = new Map<string, string>()
  for (const entry of Object.values(clients)) {
    const { success, output } = v.safeParse(ClientEntry, entry)
    if (!success) continue
    const { client_id: id, client_name: name, redirect_uris: redirectURIs } = output
    const secret = output.client_secret ? new Secret(output.client_secret) : undefined
    if (!(await addClient({ id, name, secret, redirectURIs }))) continue
    known.set(id, name ?? id)
    report.clients++
  }
  for (const entry of Object.values(accessTokens)) {
    const { success, output } = v.safeParse(TokenEntry, entry)
    const grant = success && grantFor(output, known, options, now())
    if (success && grant) {
      await keep(store, output, grant)
      report.logins++
    } else report.skipped++
  }
  await store.update<object>('imports', path, () => ({ value: { at: now(), ...report } }))
  return report
}

/** Undefined if nobody should have it. */
function grantFor(
  { Token, RefreshToken, ClientID, Resource, ExpiresAt, Username }: Token,
  clients: ReadonlyMap<string, string>,
  { personOf, endpoints, lifetimes }: ImportOptions,
  now: number,
): Grant | undefined {
  const clientName = clients.get(ClientID)
  const person = personOf(`user:${Username}`)
  const endpoint = endpointNamed(Resource, endpoints())
  const until = Date.parse(ExpiresAt)
  if (clientName === undefined || !person || endpoint === undefined || !(until > now))
    return undefined
  const { access, refresh } = lifetimes()
  const expiresAt = Math.min(until, now + access)
  return {
    client: { id: ClientID, name: clientName },
    person: { id: person.id, name: person.name },
    scopes: ['mcp'],
    endpoint,
    createdAt: now,
    usedAt: now,
    access: [{ digest: digest(Token), scopes: ['mcp'], endpoint, expiresAt }],
    refresh: {
      // Without one there is nothing that could be shown for it.
      current: RefreshToken ? digest(RefreshToken) : '',
      salt: newSalt(),
      rotatedAt: now,
      expiresAt: RefreshToken ? now + refresh : expiresAt,
    },
  }
}

/**
 * The audience: what is named as the last part of the URL, which was under another base URL then. Undefined if there is no such
 * endpoint any more.
 */
function endpointNamed(resource: string, names: readonly string[]): string | undefined {
  if (resource === '') return EVERYWHERE
  const path = URL.parse(resource)?.pathname.replace(/\/(mcp|sse)\/?$|\/$/, '') ?? ''
  if (path === '') return EVERYWHERE
  const name = path.slice(path.lastIndexOf('/') + 1)
  return names.includes(name) ? name : undefined
}

/** The grant comes first: a token without one is good for nothing. What was revoked since stays so. */
async function keep(store: Store, { Token, RefreshToken }: Token, grant: Grant): Promise<void> {
  const tokens: [Imported['kind'], string][] = [['access', digest(Token)]]
  if (/^[\w-]{48}$/.test(RefreshToken)) tokens.push(['refresh', digest(RefreshToken)])
  const id = digest(`imported ${Token}`).slice(0, 22)
  if (await store.get<Imported>('imported', tokens[0]![1])) return
  const expiresAt = endOf(grant)
  await store.update<Grant>('grants', id, () => ({ value: grant, expiresAt }))
  for (const [kind, key] of tokens.reverse()) {
    await store.update<Imported>('imported', key, () => ({ value: { kind, grant: id }, expiresAt }))
  }
}

async function textOf(file: Bun.BunFile, path: string): Promise<string> {
  if (file.size <= LARGEST) return file.text()
  throw new Error(`${path}: is over ${LARGEST} bytes; move it away`)
}

/** @throws {Error} */
function parsed(text: string, path: string): v.InferOutput<typeof FileSchema> {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    // Nothing that a parser says of it is shown.
  }
  const { success, output } = v.safeParse(FileSchema, content)
  if (success && !Array.isArray(content)) return output
  throw new Error(`${path}: is not a file of OAuth clients; repair it, or move it away`)
}
