/**
 * The authorization server, put together: everything that clients and people ask of it, as requests and responses.
 *
 * It outlives the configurations that run one after the other, and goes by the present one.
 */
import type { Principal } from '../caller.ts'
import type { OAuth } from '../config/oauth.ts'
import type { Config } from '../config/schema.ts'
import { toError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Seal } from '../store/seal.ts'
import type { Store } from '../store/store.ts'
import { AccessTokens } from './access.ts'
import { addressOf } from './address.ts'
import { registerClient } from './clients/registration.ts'
import { Clients } from './clients.ts'
import { Browsers } from './dialog/browser.ts'
import { Consents } from './dialog/consents.ts'
import { Forms } from './dialog/forms.ts'
import { Login } from './dialog/login.ts'
import { Pages } from './dialog/pages.ts'
import { Dialog, type From } from './dialog.ts'
import { Devices } from './grants/device.ts'
import { importOnce } from './grants/import.ts'
import {
  beginDevice,
  giveTokens,
  introspect,
  type TokenDesk,
  takeTokenBack,
} from './grants/token.ts'
import { Grants, type Lifetimes } from './grants.ts'
import type { Logins } from './guard.ts'
import { Issuer } from './issuer.ts'
import { documentAt, publish } from './metadata.ts'
import { OAuthError } from './oauth-error.ts'
import { People, passwordNotes } from './people.ts'
import { logOut, showStatus } from './status.ts'
import { refusal } from './wire.ts'

export interface AuthorizationOptions {
  store: Store
  seal: Seal
  /** As it is now. Asked only while it has `auth.oauth`. */
  config: () => Config
  observe: Observer
}

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

export class AuthorizationServer {
  readonly logins: Logins
  /** Told when a grant ends before its time. */
  onRevoked: (grantId: string) => void = () => {}
  readonly #config: () => Config
  readonly #store: Store
  readonly #observe: Observer
  readonly #people: People
  readonly #clients: Clients
  readonly #grants: Grants
  readonly #access: AccessTokens
  readonly #dialog: Dialog
  readonly #desk: TokenDesk

  constructor({ store, seal, config, observe }: AuthorizationOptions) {
    this.#config = config
    this.#store = store
    this.#observe = observe
    const people = new People(config)
    const isPerson = (id: string) => people.find(id) !== undefined
    const clients = new Clients({ store, config, onNote: (text) => this.#note(text) })
    const access = new AccessTokens((token) => grants.find(token))
    const lifetimes = () => this.#lifetimes
    const grants = new Grants({
      ...{ store, lifetimes, isPerson },
      onRevoked: (id) => {
        access.forget(id)
        this.onRevoked(id)
      },
    })
    const devices = new Devices(store, (approval) => grants.issue(approval))
    const pages = new Pages(
      () => this.#oauth.templateDir,
      (text) => this.#note(text),
    )
    const login = new Login(people, pages, new Forms(seal), observe)
    this.#dialog = new Dialog({
      ...{ config, clients, grants, devices, login, pages, observe },
      forms: new Forms(seal),
      consents: new Consents(store),
      browsers: new Browsers(store, people),
    })
    this.#people = people
    this.#clients = clients
    this.#access = access
    this.#grants = grants
    this.#desk = {
      ...{ clients, grants, devices, isPerson },
      issuer: (request) => this.issuer(request),
      endpoints: () => this.#endpoints,
      onRefused: (error) => this.#refused(error),
    }
    this.logins = {
      find: (token) => access.find(token),
      personOf: (id) => people.find(id),
    }
  }

  /**
   * Takes over what an older proxy has kept.
   *
   * @param files of those that are there; each is looked at once and never again.
   */
  async import(files: readonly string[]): Promise<void> {
    for (const file of files) {
      try {
        const report = await importOnce(file, {
          store: this.#store,
          addClient: (client) => this.#clients.adopt(client),
          personOf: (id) => this.#people.find(id),
          endpoints: () => this.#endpoints,
          lifetimes: () => this.#lifetimes,
        })
        if (!report) continue
        const { clients, logins, skipped } = report
        this.#note(
          `${file}: took over ${clients} clients and ${logins} logins, left out ${skipped}`,
        )
      } catch (error) {
        this.#note(toError(error).message)
      }
    }
  }

  /** Those of these grants that have ended. Of what other processes end, {@link onRevoked} is not told. */
  async ended(grantIds: Iterable<string>): Promise<Set<string>> {
    const ended = await this.#grants.ended(grantIds)
    for (const id of ended) this.#access.forget(id)
    return ended
  }

  /**
   * Whether what it keeps can be kept.
   *
   * @throws {StoreError} as a rejection, if not.
   */
  check(): Promise<void> {
    return this.#store.update('imports', 'check', () => undefined)
  }

  /** What is less safe than it could be. */
  get notes(): string[] {
    return passwordNotes(this.#config())
  }

  /** @throws {GatewayError} `invalid_request`, if it is not to be told to who asks. */
  issuer(request: Request): Issuer {
    return Issuer.of(request, this.#config())
  }

  /** A document about us, by its path from `/.well-known/` on; undefined if there is none. */
  document(request: Request, path: string): Response | undefined {
    const { registration, clientDocuments } = this.#oauth
    const document = documentAt(path, this.issuer(request), { registration, clientDocuments })
    return document && publish(document)
  }

  /** @param peer the address at the other end of the connection. */
  register(request: Request, peer: string | undefined): Promise<Response> {
    return registerClient(this.#clients, request, this.#from(request, peer).address)
  }

  token(request: Request): Promise<Response> {
    return giveTokens(request, this.#desk)
  }

  revoke(request: Request): Promise<Response> {
    return takeTokenBack(request, this.#desk)
  }

  introspect(request: Request, principal: Principal): Promise<Response> {
    return introspect(request, principal, this.#desk)
  }

  beginDevice(request: Request, peer: string | undefined): Promise<Response> {
    return beginDevice(request, this.#desk, this.#from(request, peer).address)
  }

  authorize(request: Request, peer: string | undefined): Promise<Response> {
    return this.#dialog.authorize(request, this.#from(request, peer))
  }

  device(request: Request, peer: string | undefined): Promise<Response> {
    return this.#dialog.device(request, this.#from(request, peer))
  }

  /** A form of one of our pages. */
  submit(request: Request, peer: string | undefined): Promise<Response> {
    return this.#dialog.submit(request, this.#from(request, peer))
  }

  status(request: Request, principal: Principal): Promise<Response> {
    return this.#refusing(request, () => showStatus(request, principal, this.#grants))
  }

  logout(request: Request, principal: Principal): Promise<Response> {
    return this.#refusing(request, () => logOut(request, principal, this.#grants))
  }

  async #refusing(request: Request, answer: () => Promise<Response>): Promise<Response> {
    try {
      return await answer()
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      this.#refused(error)
      return refusal(error, request)
    }
  }

  #from(request: Request, peer: string | undefined): From {
    const { trustedProxies } = this.#config().gateway
    return {
      issuer: this.issuer(request),
      address: addressOf(request.headers, peer, trustedProxies),
    }
  }

  get #oauth(): OAuth {
    return this.#config().auth.oauth!
  }

  get #lifetimes(): Lifetimes {
    const { tokenExpirationMinutes, refreshExpirationDays } = this.#oauth
    return {
      access: tokenExpirationMinutes * MINUTE,
      refresh: refreshExpirationDays * DAY,
    }
  }

  get #endpoints(): string[] {
    const { mcpServers, groups } = this.#config()
    return [...Object.keys(mcpServers), ...Object.keys(groups)]
  }

  #refused({ code, message, reason, status }: OAuthError): void {
    const why = reason === undefined ? message : `${message} (${reason})`
    this.#observe({ type: 'request_refused', status, reason: `${code}: ${why}` })
  }

  #note(text: string): void {
    this.#observe({ type: 'login_note', text })
  }
}
