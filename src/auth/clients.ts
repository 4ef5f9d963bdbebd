/**
 * The programs that may ask people for access: those that are configured, have a document, or registered themselves.
 *
 * What a client says of itself is its own word: it is bound to where its people are sent back to, and to nothing else.
 * Secrets are kept as digests.
 */
import { randomBytes } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import type { Store } from '../store/store.ts'
import { countedAs, isAllowed } from './address.ts'
import { type Assertion, claimsFault, forgottenAt, isSigned } from './clients/assertion.ts'
import type { Client } from './clients/client.ts'
import { isDocumentId, isPlainId, newClientId } from './clients/client-id.ts'
import { type Description, describe, type Method } from './clients/description.ts'
import { Documents } from './clients/documents.ts'
import { KeptClients } from './clients/kept-clients.ts'
import { type Form, proofIn } from './clients/proof.ts'
import { FetchError, type Network } from './clients/public-fetch.ts'
import { judgeRedirect } from './clients/redirects.ts'
import { unverified } from './clients/unverified.ts'
import { digest } from './grants/credential.ts'
import type { ImportedClient } from './grants/import.ts'
import { DEVICE_GRANT } from './grants/token.ts'
import type { Issuer } from './issuer.ts'
import { OAuthError } from './oauth-error.ts'
import { Rate } from './rate.ts'

export interface ClientsOptions {
  store: Store
  config: () => Config
  /** Told what went wrong with a client, for the log. */
  onNote?: (text: string) => void
  now?: () => number
  /** For tests. */
  network?: Network
}

/** A client that has just registered. */
export interface Registration {
  id: string
  /** Nobody will know it again. Undefined if it has none. */
  secret: string | undefined
  /** In ms since 1970. */
  registeredAt: number
  description: Description
}

/** A client as people see it who look after the gateway. */
export interface ListedClient extends Client {
  /** In ms since 1970; undefined for those that are configured. */
  registeredAt?: number
  /** When somebody last let it in, to the day. */
  usedAt?: number
}

/** What must be known of a client to let it prove itself. */
interface Known {
  client: Client
  methods: readonly Method[]
  secretDigest?: string | undefined
  keys: Description['keys']
}

/** Behind a proxy that is not known as one, and in the clouds of large clients, many have the same address. */
const BURST = 30
const INTERVAL = 10_000
const CODE_GRANTS = ['authorization_code', 'refresh_token']

export class Clients {
  readonly #store: Store
  readonly #kept: KeptClients
  readonly #config: () => Config
  readonly #onNote: (text: string) => void
  readonly #now: () => number
  readonly #documents: Documents
  readonly #rate: Rate

  constructor({ store, config, onNote = () => {}, now = Date.now, network }: ClientsOptions) {
    this.#store = store
    this.#kept = new KeptClients(store)
    this.#config = config
    this.#onNote = onNote
    this.#now = now
    const allowed = () => this.#allowed
    this.#documents = new Documents({ allowed, now, ...(network && { network }) })
    this.#rate = new Rate(BURST, INTERVAL, now)
  }

  /**
   * Undefined if it is not known. Whether people may be sent where it wants is another question: `allowsRedirect`.
   *
   * @param redirectURI where it wants people to be sent. If that is on their machine, some gateways ask no more of it.
   */
  async find(id: string, redirectURI?: string): Promise<Client | undefined> {
    try {
      const known = await this.#known(id)
      if (known || redirectURI === undefined) return known?.client
      return unverified(id, redirectURI, this.#config())
    } catch (error) {
      if (!(error instanceof FetchError)) throw error
      this.#onNote(`the document of a client ${error.message}: ${shown(id)}`)
      return undefined
    }
  }

  /**
   * The client that a request to the token endpoint comes from, as it has proved in the one way that is its own.
   *
   * @throws {OAuthError} `invalid_client`, whatever the true reason; `temporarily_unavailable`, if what it has published
   *   cannot be fetched.
   */
  async authenticate(request: { headers: Headers; form: Form; issuer: Issuer }): Promise<Client> {
    const { headers, form, issuer } = request
    const proof = proofIn(headers, form)
    if ('fault' in proof) throw refused(proof.fault)
    const { id, method } = proof
    try {
      const known = await this.#known(id)
      if (!known) {
        const client = unverified(id, form.get('redirect_uri') || undefined, this.#config())
        if (client && method === 'none') return client
        throw refused(`it is not known: ${shown(id)}`)
      }
      if (!known.methods.includes(method)) throw refused(`${method} is not its way to prove itself`)
      if ('secret' in proof && !isSame(digest(proof.secret), known.secretDigest))
        throw refused('its secret is another one')
      if ('assertion' in proof) await this.#check(proof.assertion, known, issuer)
      return known.client
    } catch (error) {
      if (!(error instanceof FetchError)) throw error
      const reason = `what a client has published ${error.message}: ${shown(id)}`
      if (error.isFinal) throw refused(reason)
      throw new OAuthError('temporarily_unavailable', 'the client cannot be looked up now', reason)
    }
  }

  /**
   * Registers a client.
   *
   * @param body what it says of itself, as RFC 7591 has it.
   * @param from who asks; undefined if that is not known.
   * @throws {OAuthError} `access_denied`, `too_many_requests` (a `TooManyRegistrations`), `invalid_redirect_uri`,
   *   `invalid_client_metadata`
   */
  async register(body: unknown, from: { address: string | undefined }): Promise<Registration> {
    const oauth = this.#oauth
    if (!oauth?.registration) throw new OAuthError('access_denied', 'clients cannot register here')
    if (!isAllowed(from.address, oauth.allowedIPs)) {
      const reason = `${from.address ?? 'an unknown address'} is not among auth.oauth.allowedIPs`
      throw new OAuthError('access_denied', 'clients cannot register from this address', reason)
    }
    const neighbourhood = countedAs(from.address)
    const wait = this.#rate.take(neighbourhood)
    if (wait > 0) throw new TooManyRegistrations(wait)
    const described = describe(body, (uri) => this.#judge(uri))
    // It is bound to the first one: several ways to prove itself are for documents, which many programs share.
    const description: Description = { ...described, methods: [described.methods[0]] }
    const id = newClientId()
    const hasSecret = /^client_secret/.test(description.methods[0])
    const secret = hasSecret ? randomBytes(32).toString('base64url') : undefined
    const registeredAt = this.#now()
    await this.#kept.add(
      id,
      digest(`${neighbourhood} ${JSON.stringify(description)}`).slice(0, 16),
      {
        ...description,
        kind: 'registered',
        ...(secret !== undefined && { secretDigest: digest(secret) }),
        registeredAt,
      },
    )
    return { id, secret, registeredAt, description }
  }

  /**
   * Takes over a client that another program has registered, with the id that it has.
   *
   * @returns whether it is known now: its redirect URIs must be allowed.
   */
  async adopt({ id, name, secret, redirectURIs }: ImportedClient): Promise<boolean> {
    if (!isPlainId(id)) return false
    if (this.#configured(id) || (await this.#kept.get(id))) return true
    let description: Description
    try {
      const body = { client_name: name, redirect_uris: redirectURIs }
      description = describe(body, (uri) => this.#judge(uri))
    } catch (error) {
      if (error instanceof OAuthError) return false
      throw error
    }
    await this.#kept.add(id, 'adopted', {
      ...description,
      // That program gave out secrets and never asked for one.
      methods: secret ? ['none', 'client_secret_post', 'client_secret_basic'] : ['none'],
      kind: 'registered',
      ...(secret && { secretDigest: digest(secret.reveal()) }),
      registeredAt: this.#now(),
    })
    await this.used(id)
    return true
  }

  /** Says that somebody has let a client in, or it came back: from now on it is kept for long. Cheap if that is known. */
  async used(id: string): Promise<void> {
    await this.#kept.use(id, this.#now(), () => this.#documented(id))
  }

  /** All that are known by now: those that are configured, and those that are kept. */
  async *list(): AsyncGenerator<ListedClient> {
    for (const id of Object.keys(this.#oauth?.clients ?? {})) {
      const known = this.#configured(id)
      if (known) yield known.client
    }
    for await (const [id, kept] of this.#kept.list()) {
      const { registeredAt, usedAt } = kept
      const { client } = knownFrom(id, kept.kind, kept)
      yield { ...client, registeredAt, ...(usedAt !== undefined && { usedAt }) }
    }
  }

  /** Forgets a client that registered itself. Its grants are another matter. @returns whether it was known. */
  remove(id: string): Promise<boolean> {
    return this.#kept.remove(id)
  }

  get #oauth(): Config['auth']['oauth'] {
    return this.#config().auth.oauth
  }

  get #allowed(): readonly string[] {
    return this.#oauth?.redirectURIs ?? []
  }

  #judge(redirectURI: string): string | undefined {
    return judgeRedirect(redirectURI, this.#allowed)
  }

  /** @throws {FetchError} */
  async #known(id: string): Promise<Known | undefined> {
    const configured = this.#configured(id)
    if (configured) return configured
    if (isDocumentId(id)) {
      if (!this.#oauth?.clientDocuments) return undefined
      const kept = await this.#kept.get(id)
      return knownFrom(id, 'document', await this.#documents.describe(id, kept))
    }
    const kept = isPlainId(id) ? await this.#kept.get(id) : undefined
    if (!kept) return undefined
    // What is allowed may have changed since it registered.
    const redirectURIs = kept.redirectURIs.filter((uri) => !this.#judge(uri))
    const { secretDigest } = kept
    return { ...knownFrom(id, 'registered', { ...kept, redirectURIs }), secretDigest }
  }

  #configured(id: string): Known | undefined {
    const clients = this.#oauth?.clients ?? {}
    const written = Object.hasOwn(clients, id) ? clients[id] : undefined
    if (!written) return undefined
    const { name = id, redirectURIs, secret } = written
    const methods: Description['methods'] = secret
      ? ['client_secret_basic', 'client_secret_post']
      : ['none']
    const grantTypes = [...CODE_GRANTS, DEVICE_GRANT]
    const description: Description = { name, redirectURIs, methods, grantTypes, keys: undefined }
    return {
      ...knownFrom(id, 'configured', description),
      secretDigest: secret && digest(secret.reveal()),
    }
  }

  /** @throws {OAuthError | FetchError} */
  async #check(assertion: Assertion, { client, keys }: Known, issuer: Issuer): Promise<void> {
    const { claims } = assertion
    const audiences = [issuer.id, issuer.at('/oauth/token')]
    const fault = claimsFault(claims, client.id, audiences, this.#now())
    if (fault) throw refused(`its assertion is not good: ${fault}`)
    if (!keys || !(await this.#isSigned(assertion, keys)))
      throw refused('its assertion is signed by none of its keys')
    const mark = digest(`${client.id}\n${claims.jti}`)
    await this.#store.update<true>('assertions', mark, (old) => {
      if (old) throw refused('its assertion came before')
      return { value: true, expiresAt: forgottenAt(claims) }
    })
  }

  async #isSigned(assertion: Assertion, keys: NonNullable<Known['keys']>): Promise<boolean> {
    if ('set' in keys) return isSigned(assertion, keys.set)
    if (await isSigned(assertion, await this.#documents.keys(keys.url, false))) return true
    // It may have changed them.
    return isSigned(assertion, await this.#documents.keys(keys.url, true))
  }

  async #documented(id: string): Promise<Description | undefined> {
    if (!isDocumentId(id) || this.#configured(id)) return undefined
    try {
      return await this.#documents.describe(id)
    } catch (error) {
      if (error instanceof FetchError) return undefined
      throw error
    }
  }
}

/** Somebody registers too many clients. */
export class TooManyRegistrations extends OAuthError {
  /** In ms: when the next may come. */
  readonly wait: number

  constructor(wait: number) {
    super('too_many_requests', 'too many clients register from this address')
    this.wait = wait
  }
}

function knownFrom(id: string, kind: Client['kind'], description: Description): Known {
  const { name, redirectURIs, methods, grantTypes, keys } = description
  const client = { id, name, kind, redirectURIs, authentication: methods[0], grantTypes }
  return { client, methods, keys }
}

/** In the same time wherever they differ. */
function isSame(one: string, other: string | undefined): boolean {
  return other !== undefined && crypto.timingSafeEqual(Buffer.from(one), Buffer.from(other))
}

function refused(reason: string): OAuthError {
  const message = 'the client is not known, or has not proved who it is'
  return new OAuthError('invalid_client', message, reason)
}

/** Of a text that anybody can have written, as much as a log needs. */
function shown(id: string): string {
  return id.replace(/[^\x20-\x7e]/g, '?').slice(0, 200)
}
