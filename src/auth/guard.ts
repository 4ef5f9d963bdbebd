/**
 * Who is calling, as their token proves: one that is configured, or one that a person who logged in let a client have.
 *
 * Configured tokens are compared by their digests, each with every one that is known, so that the time it takes says nothing.
 * No message says anything of a token, and no principal either: their ids come from a key that nobody else has.
 */
import { ANONYMOUS, type Principal } from '../caller.ts'
import type { Config, StaticToken } from '../config/schema.ts'
import { GatewayError } from '../errors.ts'
import { challenge } from './challenge.ts'
import type { Access } from './grants.ts'
import type { Person } from './people/person.ts'
import { isFor } from './resource.ts'

/** What the guard knows of logins. */
export interface Logins {
  /** As `AccessTokens.find`. */
  find(token: string): Access | undefined | Promise<Access | undefined>
  /** Who that is now; undefined if they may not come any more. */
  personOf(id: string): Person | undefined
}

export interface GuardOptions {
  /** Missing if nobody can log in. */
  logins?: Logins | undefined
  /** From it the ids of tokens are made. While it is the same, one token has one id. */
  key?: Uint8Array
}

interface KnownToken {
  digest: Uint8Array
  owner: Principal
}

export class Guard {
  /** Whether nobody has to prove who they are. */
  readonly isOpen: boolean
  readonly #tokens: readonly KnownToken[]
  readonly #logins: Logins | undefined
  /** What everybody may use. */
  readonly #shared: ReadonlySet<string>
  /** Who comes without a token; undefined if nobody may. */
  readonly #stranger: Principal | undefined
  /** Whoever comes again with what was just looked up is the same principal. */
  readonly #users = new WeakMap<Access, Principal>()

  /** @param publicServers those that everybody may use. */
  constructor(
    { tokens, oauth }: Config['auth'],
    publicServers: ReadonlySet<string>,
    { logins, key = crypto.getRandomValues(new Uint8Array(32)) }: GuardOptions = {},
  ) {
    this.isOpen = tokens.length === 0 && !oauth
    this.#logins = oauth && logins
    const shared = new Set(publicServers)
    this.#shared = shared
    this.#tokens = tokens.map((token) => knownToken(token, shared, key))
    if (this.isOpen) this.#stranger = ANONYMOUS
    else if (shared.size > 0) this.#stranger = { ...ANONYMOUS, servers: shared }
  }

  /**
   * Who comes to an endpoint with these headers, and with this token in the path of the URL, as it stands there:
   * percent-encoded. A token of a login counts in the header only, and only where it is meant for.
   *
   * Without waiting, if there is nothing to wait for: this is asked of every request.
   *
   * @param endpoint the name of a server or group; '' for all servers merged, and for other routes; undefined where only who
   *   they are matters, and not what their token is good for.
   * @throws {GatewayError} `unauthorized`, at once or as a rejection, with the challenge among its headers: if a token
   *   is not known, if two are not the same, or if there is none and nothing is public. `forbidden`, if it is not good for
   *   using servers.
   */
  identify(
    headers: Headers,
    tokenInPath: string | undefined,
    endpoint: string | undefined,
  ): Principal | Promise<Principal> {
    if (this.isOpen) return ANONYMOUS
    const authorization = headers.get('authorization')
    const addressed =
      tokenInPath === undefined ? undefined : this.#ownerOf(decodedSegment(tokenInPath))
    if (authorization) {
      const token = tokenIn(authorization)
      const owner = this.#found(token)
      if (!owner && !addressed && this.#logins) return this.#user(token, endpoint, this.#logins)
      if (!owner || (addressed && owner !== addressed)) throw UNKNOWN
      return owner
    }
    if (addressed) return addressed
    // The same for names that do not exist. And where people can log in, only a refusal makes their clients do so: also where
    // all servers are merged, of which a stranger would see but some.
    const isShared = endpoint ? this.#shared.has(endpoint) : !this.#logins
    if (this.#stranger && isShared) return this.#stranger
    throw this.#logins ? LOGGED_OUT : MISSING
  }

  /** Whether who once was this principal would be again, and may use what they might use then, no less and no more. */
  isStill({ id, kind, servers }: Principal): boolean {
    const now =
      kind === 'user'
        ? this.#present(id)
        : id === ANONYMOUS.id
          ? this.#stranger
          : this.#tokens.find((token) => token.owner.id === id)?.owner
    if (!now) return false
    if (!now.servers || !servers) return now.servers === servers
    return now.servers.symmetricDifference(servers).size === 0
  }

  #user(
    token: string,
    endpoint: string | undefined,
    logins: Logins,
  ): Principal | Promise<Principal> {
    const access = logins.find(token)
    if (access instanceof Promise) return access.then((found) => this.#bearer(found, endpoint))
    return this.#bearer(access, endpoint)
  }

  /** @throws {GatewayError} `unauthorized`, `forbidden` */
  #bearer(access: Access | undefined, endpoint: string | undefined): Principal {
    if (!access) throw UNKNOWN
    if (endpoint !== undefined && !isFor(access.endpoint, endpoint)) throw UNKNOWN
    if (!access.scopes.includes('mcp')) throw INSUFFICIENT
    const known = this.#users.get(access)
    if (known) return known
    const { person, clientId, grantId, scopes } = access
    const present = this.#present(person.id)
    if (!present) throw UNKNOWN
    const isAdmin = present.isAdmin === true && scopes.includes('admin')
    const principal: Principal = { ...present, clientId, grantId, isAdmin }
    this.#users.set(access, principal)
    return principal
  }

  /** As the configuration has them now: what they might use when they logged in does not count. */
  #present(id: string): Principal | undefined {
    const person = this.#logins?.personOf(id)
    if (!person) return undefined
    const { name, isAdmin, servers } = person
    const base = { id, kind: 'user', name, isAdmin } as const
    return servers ? { ...base, servers: this.#shared.union(servers) } : base
  }

  /** @throws {GatewayError} `unauthorized` */
  #ownerOf(token: string): Principal {
    const owner = this.#found(token)
    if (!owner) throw UNKNOWN
    return owner
  }

  #found(token: string): Principal | undefined {
    if (this.#tokens.length === 0) return undefined
    // Headers come as Latin-1, whatever a client took its token for.
    return (
      this.#find(token) ?? (isPlain(token) ? undefined : this.#find(Buffer.from(token, 'latin1')))
    )
  }

  #find(token: string | Uint8Array): Principal | undefined {
    const digest = sha256(token)
    let owner: Principal | undefined
    // To the end, also if it is found.
    for (const known of this.#tokens) if (isSame(known.digest, digest)) owner = known.owner
    return owner
  }
}

const HINT = 'come with the header "Authorization: Bearer TOKEN"'

const MISSING = new GatewayError('unauthorized', 'a token is needed here', {
  hint: HINT,
  headers: { 'www-authenticate': challenge({}) },
})

const LOGGED_OUT = new GatewayError('unauthorized', 'a login is needed here', {
  hint: `log in with your client, or ${HINT}`,
  headers: { 'www-authenticate': challenge({ scope: 'mcp' }) },
})

/** For every reason the same. */
const UNKNOWN = new GatewayError('unauthorized', 'the token is not known here', {
  hint: HINT,
  headers: {
    'www-authenticate': challenge({
      error: 'invalid_token',
      error_description: 'the token is not known here, or not any more',
    }),
  },
})

const INSUFFICIENT = new GatewayError('forbidden', 'the token is not good for using servers', {
  hint: 'log in again with the scope "mcp"',
  headers: { 'www-authenticate': challenge({ error: 'insufficient_scope', scope: 'mcp' }) },
})

function knownToken(
  { token, name, servers, admin }: StaticToken,
  shared: Set<string>,
  key: Uint8Array,
): KnownToken {
  const text = token.reveal()
  // A plain digest, also a part of one, would tell a weak token to who tries them out.
  const made = new Bun.CryptoHasher('sha256', key).update(text).digest('hex')
  const owner: Principal = {
    id: `token:${made.slice(0, 16)}`,
    kind: 'token',
    isAdmin: admin,
    ...(name !== undefined && { name }),
    ...(servers && { servers: new Set(servers).union(shared) }),
  }
  return { digest: sha256(text), owner }
}

/** Less than a tenth of a microsecond: nothing that would be worth keeping tokens for. */
function sha256(text: string | Uint8Array): Uint8Array {
  return Bun.SHA256.hash(text) as Uint8Array
}

/** In the same time wherever they differ. `node:crypto` has one, too, and four milliseconds of every start go into that. */
function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return crypto.timingSafeEqual(one, other)
}

/** Of `Bearer TOKEN`, or of the token alone, as the documentation of an older proxy shows it. */
function tokenIn(authorization: string): string {
  // As nearly everybody writes it.
  if (authorization.startsWith('Bearer ') && authorization[7] !== ' ') return authorization.slice(7)
  return /^bearer +(.+)$/i.exec(authorization)?.[1] ?? authorization
}

function isPlain(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text)
}

/** @throws {GatewayError} `unauthorized`, if it is not encoded as it should be. */
function decodedSegment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw UNKNOWN
  }
}
