/**
 * All grants: codes, access tokens and refresh tokens, and who holds them.
 *
 * A grant is one record, and each verb here one `update` of it: what was answered is kept, and what was revoked is gone,
 * whenever the process ends. What happens to a grant is decided in `grant.ts`.
 */
import type { Store } from '../store/store.ts'
import type { Scope } from './clients/client.ts'
import {
  type CredentialKind,
  digest,
  newAccessToken,
  newCode,
  newGrantId,
  newRefreshToken,
  newSalt,
  type Shown,
  shown,
} from './grants/credential.ts'
import {
  type Approval,
  type Binding,
  CODE_LIFETIME,
  type CodeAttempt,
  type Decision,
  endOf,
  exchanged,
  type Fresh,
  type Grant,
  invalidGrant,
  type Lifetimes,
  type Named,
  opened,
  type RefreshAttempt,
  refreshed,
  returned,
  type TokenSet,
} from './grants/grant.ts'

export type { Approval, Binding, Lifetimes, TokenSet } from './grants/grant.ts'

/** What an access token is good for. */
export interface Access {
  readonly grantId: string
  readonly person: Named
  readonly clientId: string
  readonly clientName: string
  readonly scopes: readonly Scope[]
  /** The audience: '*' all endpoints, '' the aggregate, or the name of a server or group. */
  readonly endpoint: string
  /** In ms since 1970. */
  readonly expiresAt: number
}

/** A grant as people may see it: without anything that could be used. */
export interface GrantSummary {
  id: string
  client: Named
  person: Named
  scopes: readonly Scope[]
  endpoint: string
  createdAt: number
  /** When tokens were last given out. */
  usedAt: number
  /** When it ends if it is not used. */
  expiresAt: number
}

export interface GrantsOptions {
  store: Store
  lifetimes: () => Lifetimes
  /** Whether somebody is still among those who may log in. Nobody else is given tokens. */
  isPerson: (id: string) => boolean
  /** Told when a grant is gone, or a token of it, before anybody is answered. */
  onRevoked?: (grantId: string) => void
  now?: () => number
}

type Exchange = CodeAttempt
type Refresh = Omit<RefreshAttempt, 'shown'>

export class Grants {
  readonly #store: Store
  readonly #lifetimes: () => Lifetimes
  readonly #isPerson: (id: string) => boolean
  readonly #onRevoked: (grantId: string) => void
  readonly #now: () => number

  constructor({ store, lifetimes, isPerson, onRevoked, now }: GrantsOptions) {
    this.#store = store
    this.#lifetimes = lifetimes
    this.#isPerson = isPerson
    this.#onRevoked = onRevoked ?? (() => {})
    this.#now = now ?? Date.now
  }

  /** Writes down what a person has agreed to. The code that comes back is good for a minute, once. */
  async approve(approval: Approval & Binding): Promise<string> {
    const id = newGrantId()
    const code = newCode(id)
    const { redirectURI, challenge } = approval
    const expiresAt = this.#now() + CODE_LIFETIME
    await this.#add(id, {
      ...newGrant(approval, this.#now()),
      code: { digest: digest(code), redirectURI, challenge, expiresAt, failures: 0 },
    })
    return code
  }

  /** Tokens at once, for what a person has agreed to elsewhere. */
  async issue(approval: Approval): Promise<TokenSet> {
    const id = newGrantId()
    const grant = newGrant(approval, this.#now())
    const { next, tokens } = opened(grant, grant.endpoint, this.#fresh(id))
    await this.#add(id, next)
    return tokens
  }

  /**
   * Gives tokens for a code, once. If the code comes again, somebody else has it, and the tokens are revoked; also if what
   * comes with it is wrong.
   *
   * @throws {OAuthError} `invalid_grant`, whatever the true reason; `invalid_target`.
   */
  async exchange(attempt: Exchange): Promise<TokenSet> {
    const known = shown('code', attempt.code)
    if (!known) throw invalidGrant('the code is malformed')
    const fresh = this.#fresh(known.grant)
    return this.#decide(known.grant, (grant) => exchanged(grant, attempt, fresh))
  }

  /**
   * Rotates a refresh token. The previous one stays good until the new one is first used, so a client that lost our answer
   * can retry; an older one is a stolen one, and revokes the grant.
   *
   * @throws {OAuthError} `invalid_grant`, whatever the true reason; `invalid_scope`, `invalid_target`.
   */
  async refresh(attempt: Refresh): Promise<TokenSet> {
    const known = await this.#shown('refresh', attempt.token)
    if (!known) throw invalidGrant('the refresh token is not known')
    const fresh = this.#fresh(known.grant)
    return this.#decide(known.grant, (grant) =>
      refreshed(grant, { ...attempt, shown: known }, fresh),
    )
  }

  /**
   * Takes a token back from the client that it was given to; nothing happens with what is not its own. A refresh token takes
   * everything with it, an access token only itself.
   *
   * @see [RFC 7009](https://datatracker.ietf.org/doc/html/rfc7009#section-2.1)
   */
  async revoke({ token, clientId }: { token: string; clientId: string }): Promise<void> {
    const known = (await this.#shown('refresh', token)) ?? (await this.#shown('access', token))
    if (!known) return
    let hasEnded = false
    await this.#change(known.grant, (grant) => {
      const left = grant && returned(grant, { clientId, token, shown: known })
      // What is no token ends nothing, whatever grant it names.
      hasEnded = JSON.stringify(left) !== JSON.stringify(grant)
      return left
    })
    if (hasEnded) this.#onRevoked(known.grant)
  }

  /** Whether there was one. */
  async revokeGrant(id: string): Promise<boolean> {
    let wasThere = false
    await this.#store.update<Grant>('grants', id, (grant) => {
      wasThere = grant !== undefined
      return undefined
    })
    this.#onRevoked(id)
    return wasThere
  }

  /** What an access token is good for; undefined if nothing. Whether its person still may come is for the guard to say. */
  async find(token: string): Promise<Access | undefined> {
    const known = await this.#shown('access', token)
    if (!known) return undefined
    const grant = await this.#store.get<Grant>('grants', known.grant)
    const sought = digest(token)
    const access = grant?.access.find((one) => one.digest === sought)
    if (!grant || !access || access.expiresAt <= this.#now()) return undefined
    const { scopes, endpoint, expiresAt } = access
    const { person, client } = grant
    const { id: clientId, name: clientName } = client
    return { grantId: known.grant, person, clientId, clientName, scopes, endpoint, expiresAt }
  }

  /** Those of these that have ended, also if another process ended them. */
  async ended(ids: Iterable<string>): Promise<Set<string>> {
    const ended = new Set<string>()
    for (const id of ids) if (!(await this.#store.get<Grant>('grants', id))) ended.add(id)
    return ended
  }

  /** Every grant that is good for something. It reads all of them. */
  /** @param isComplete also those of which nobody has fetched the tokens yet. */
  async all({ isComplete = false } = {}): Promise<GrantSummary[]> {
    const summaries: GrantSummary[] = []
    for await (const [id, grant] of this.#store.list<Grant>('grants')) {
      const expiresAt = endOf(grant)
      if ((!grant.refresh && !isComplete) || expiresAt <= this.#now()) continue
      const { client, person, scopes, endpoint, createdAt, usedAt } = grant
      summaries.push({ id, client, person, scopes, endpoint, createdAt, usedAt, expiresAt })
    }
    return summaries
  }

  async grantsOf(personId: string): Promise<GrantSummary[]> {
    return (await this.all()).filter(({ person }) => person.id === personId)
  }

  #fresh(id: string): Fresh {
    return {
      access: newAccessToken(id),
      refresh: newRefreshToken(id),
      salt: newSalt(),
      lifetimes: this.#lifetimes(),
      now: this.#now(),
    }
  }

  #add(id: string, grant: Grant): Promise<void> {
    return this.#change(id, () => grant)
  }

  async #decide(id: string, decide: (grant: Grant | undefined) => Decision): Promise<TokenSet> {
    let decision: Decision | undefined
    let isGone = false
    await this.#change(id, (grant) => {
      decision = this.#onlyForPeople(grant, decide(grant))
      isGone = grant !== undefined && !decision.next
      return decision.next
    })
    const { next: _, ...outcome } = decision!
    if (isGone) this.#onRevoked(id)
    if ('error' in outcome) throw outcome.error
    return outcome.tokens
  }

  /** Who was taken out of the configuration by mistake comes back as they were: nothing changes meanwhile. */
  #onlyForPeople(grant: Grant | undefined, decision: Decision): Decision {
    if ('error' in decision || !grant || this.#isPerson(grant.person.id)) return decision
    return { next: grant, error: invalidGrant('its person may not log in any more') }
  }

  #change(id: string, change: (grant: Grant | undefined) => Grant | undefined): Promise<void> {
    return this.#store.update<Grant>('grants', id, (old) => {
      const next = change(old)
      return next && { value: next, expiresAt: endOf(next) }
    })
  }

  async #shown(kind: CredentialKind, token: string): Promise<Shown | undefined> {
    const known = shown(kind, token)
    // The older proxy made them of 48 characters.
    if (known || !/^[\w-]{48}$/.test(token)) return known
    const imported = await this.#store.get<Imported>('imported', digest(token))
    return imported?.kind === kind ? { ...imported, isImported: true } : undefined
  }
}

/** What is kept of a token that an older proxy has given out: see `import.ts`. */
export interface Imported {
  kind: 'access' | 'refresh'
  grant: string
}

function newGrant({ client, person, scopes, endpoint }: Approval, now: number): Grant {
  return {
    client: { id: client.id, name: client.name },
    person: { id: person.id, name: person.name },
    scopes: [...scopes],
    endpoint,
    createdAt: now,
    usedAt: now,
    access: [],
  }
}
