/**
 * Logins for programs on machines without a browser: the program shows a code, and somebody types it in elsewhere.
 *
 *     waiting ──a person types the user code──▶ approved ──the device asks──▶ gone, and there is a grant
 *        │                          └─────────▶ denied ──the device asks──▶ gone
 *        └─ 10 minutes: gone
 *
 * One record for each device, by the digest of its user code. The device code holds the user code, so that it finds the
 * record, and a secret of its own.
 *
 * @see [RFC 8628](https://datatracker.ietf.org/doc/html/rfc8628#section-3)
 */
import { randomBytes, randomInt } from 'node:crypto'
import type { Entry, Store } from '../../store/store.ts'
import type { Scope } from '../clients/client.ts'
import type { TokenSet } from '../grants.ts'
import { OAuthError } from '../oauth-error.ts'
import { Rate } from '../rate.ts'
import { digest } from './credential.ts'
import type { Approval, Named } from './grant.ts'

/** What a device asks for. */
export interface DeviceRequest {
  client: Named
  scopes: readonly Scope[]
  /** The audience, as in `Approval`. */
  endpoint: string
}

/** As it is kept, in the bucket `devices`. */
interface Device extends DeviceRequest {
  /** Digest of the whole device code. */
  digest: string
  state: 'waiting' | 'approved' | 'denied'
  person?: Named & { isAdmin: boolean }
  /** How long it has to wait between two questions, in ms. */
  interval: number
  askedAt: number
  expiresAt: number
}

/** What it is told. */
export interface DeviceCodes {
  deviceCode: string
  userCode: string
  /** In s. */
  expiresIn: number
  interval: number
}

const LIFETIME = 600_000
const INTERVAL = 5_000
/** Without vowels, so that no words come about; without what looks like something else. */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ'
const LENGTH = 8
const DEVICE_CODE = /^mgw_dc_([A-Z]{8})[\w-]{43}$/

/** So many may begin in a minute, all together; and of one address so many at once, and then one in this time, in ms. */
const BEGINNINGS = 600
const BURST = 10
const INTERVAL_OF_ONE = 6_000
/** So many codes may one person try that are none, in the time that a code is good for. */
const GUESSES = 10
/** Of so many people the guesses are counted; more do not log in within ten minutes. */
const GUESSERS = 10_000

export class Devices {
  readonly #store: Store
  readonly #issue: (approval: Approval) => Promise<TokenSet>
  readonly #now: () => number
  readonly #guesses = new Map<string, { count: number; since: number }>()
  readonly #rate: Rate
  #begun = { count: 0, since: 0 }

  /** @param issue as `Grants.issue`. */
  constructor(store: Store, issue: (approval: Approval) => Promise<TokenSet>, now = Date.now) {
    this.#store = store
    this.#issue = issue
    this.#now = now
    this.#rate = new Rate(BURST, INTERVAL_OF_ONE, now)
  }

  /** @throws {OAuthError} `temporarily_unavailable`, if too many begin. */
  /** @param from who asks, as `countedAs` has them. */
  async begin(
    { client: { id, name }, scopes, endpoint }: DeviceRequest,
    from: string,
  ): Promise<DeviceCodes> {
    const now = this.#now()
    if (this.#rate.take(from) > 0) throw tooMany()
    if (now - this.#begun.since >= 60_000) this.#begun = { count: 0, since: now }
    if (++this.#begun.count > BEGINNINGS) throw tooMany()
    const typed = Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join('')
    const deviceCode = `mgw_dc_${typed}${randomBytes(32).toString('base64url')}`
    const value: Device = {
      client: { id, name },
      scopes,
      endpoint,
      digest: digest(deviceCode),
      state: 'waiting',
      interval: INTERVAL,
      askedAt: 0,
      expiresAt: now + LIFETIME,
    }
    await this.#store.update<Device>('devices', digest(typed), (old) => {
      // One chance in a thousand million: both would have to ask for another one.
      if (old) throw new OAuthError('temporarily_unavailable', 'try again')
      return kept(value)
    })
    const userCode = `${typed.slice(0, 4)}-${typed.slice(4)}`
    return { deviceCode, userCode, expiresIn: LIFETIME / 1000, interval: INTERVAL / 1000 }
  }

  /**
   * What a device asks for whose code somebody has typed; undefined if there is none.
   *
   * @param by who typed it: an id of their own, and nobody else's. Who tries too many is refused for some time.
   * @throws {OAuthError} `too_many_requests`
   */
  async pending(userCode: string, by: string): Promise<DeviceRequest | undefined> {
    const guesses = this.#guessesOf(by)
    if (guesses.count >= GUESSES) {
      throw new OAuthError(
        'too_many_requests',
        'too many codes were wrong; try again in ten minutes',
      )
    }
    const device = await this.#store.get<Device>('devices', keyOf(userCode))
    if (device && this.#isWaiting(device)) {
      const { client, scopes, endpoint } = device
      return { client, scopes, endpoint }
    }
    guesses.count++
    return undefined
  }

  /**
   * The next question of the device is answered with tokens.
   *
   * @returns false if nothing waits with this code any more.
   */
  approve(userCode: string, { id, name, isAdmin }: Named & { isAdmin: boolean }): Promise<boolean> {
    const person = { id, name, isAdmin }
    return this.#settle(userCode, (device) => ({ ...device, state: 'approved', person }))
  }

  /** As `approve`, and it is told that it was denied. */
  deny(userCode: string): Promise<boolean> {
    return this.#settle(userCode, (device) => ({ ...device, state: 'denied' }))
  }

  /**
   * What a device gets when it asks.
   *
   * @throws {OAuthError} `authorization_pending`, `slow_down`, `access_denied`, `expired_token`, `invalid_grant`
   */
  async poll({ code, clientId }: { code: string; clientId: string }): Promise<TokenSet> {
    const [, typed] = DEVICE_CODE.exec(code) ?? []
    if (typed === undefined) throw unknown('the device code is malformed')
    let outcome: Outcome | undefined
    await this.#store.update<Device>('devices', digest(typed), (old) => {
      outcome = polled(old, digest(code), clientId, this.#now())
      return outcome.next && kept(outcome.next)
    })
    const { error, approval } = outcome!
    if (error) throw error
    // It is gone by now. If this process ends before there is a grant, the device has to begin again.
    return this.#issue(approval!)
  }

  async #settle(userCode: string, settle: (device: Device) => Device): Promise<boolean> {
    let isSettled = false
    await this.#store.update<Device>('devices', keyOf(userCode), (old) => {
      isSettled = old !== undefined && this.#isWaiting(old)
      return old && kept(isSettled ? settle(old) : old)
    })
    return isSettled
  }

  #isWaiting({ state, expiresAt }: Device): boolean {
    return state === 'waiting' && this.#now() < expiresAt
  }

  #guessesOf(person: string): { count: number; since: number } {
    const now = this.#now()
    const known = this.#guesses.get(person)
    if (known && now - known.since < LIFETIME) return known
    const guesses = { count: 0, since: now }
    this.#guesses.delete(person)
    this.#guesses.set(person, guesses)
    if (this.#guesses.size > GUESSERS) this.#guesses.delete(this.#guesses.keys().next().value!)
    return guesses
  }
}

interface Outcome {
  next: Device | undefined
  error?: OAuthError
  approval?: Approval
}

function polled(device: Device | undefined, shown: string, clientId: string, now: number): Outcome {
  if (!device || device.digest !== shown || device.client.id !== clientId) {
    return { next: device, error: unknown('the device code is not known, or of another client') }
  }
  const { state, person, client, scopes, endpoint, askedAt, interval } = device
  if (now >= device.expiresAt) {
    return { next: undefined, error: new OAuthError('expired_token', 'nobody came in time') }
  }
  if (state === 'denied') {
    return { next: undefined, error: new OAuthError('access_denied', 'it was denied') }
  }
  if (state === 'approved' && person) {
    const given: Scope[] = ['mcp']
    if (person.isAdmin && scopes.includes('admin')) given.push('admin')
    return { next: undefined, approval: { client, person, scopes: given, endpoint } }
  }
  // A little early is what clocks do.
  if (now - askedAt < interval - 500) {
    const error = new OAuthError('slow_down', 'ask less often: every five seconds more')
    return { next: { ...device, askedAt: now, interval: interval + INTERVAL }, error }
  }
  const error = new OAuthError('authorization_pending', 'nobody has typed the code yet')
  return { next: { ...device, askedAt: now }, error }
}

/** For some time more, so that a device that asks late is told why. */
function kept(value: Device): Entry<Device> {
  return { value, expiresAt: value.expiresAt + LIFETIME }
}

/** However somebody has typed it. */
function keyOf(userCode: string): string {
  return digest(
    userCode
      .toUpperCase()
      .replace(/[^A-Z]/g, '')
      .slice(0, 64),
  )
}

function unknown(reason: string): OAuthError {
  return new OAuthError('invalid_grant', 'the device code is not known here', reason)
}

function tooMany(): OAuthError {
  return new OAuthError('temporarily_unavailable', 'too many devices ask; try again in a minute')
}
