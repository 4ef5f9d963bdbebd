/**
 * All sessions over HTTP, whatever carries them: how many there may be, whose they are, and when they end.
 *
 * A session answers only the principal that opened it, at the entrance it was opened at; to everyone else it does not
 * exist. Who is silent for long makes room when it is needed, and ends in the end.
 */
import type { Principal } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Endpoint } from '../routing/endpoint.ts'
import type { Message } from '../rpc/message.ts'
import type { Session } from './session.ts'

/** Where a client knocks. */
export interface Entrance {
  /** The same for all that is the same entrance. */
  readonly key: string
  /**
   * What is to be seen there. Asked only when a session is opened.
   *
   * @throws {GatewayError} `endpoint_unknown`, `invalid_request`
   */
  endpoint(): Endpoint
}

/** A request at an entrance, and who sent it. */
export interface Knock {
  readonly entrance: Entrance
  readonly principal: Principal
  /**
   * The text of its body. That takes as long as its client likes: afterwards, entrance and principal are as they are now.
   *
   * @throws {GatewayError} as `readJson` does; `unauthorized`, if nobody may come any more who could when it began.
   */
  body(limit: number): Promise<string>
}

/** What carries a session, and can tell whether its client is there. */
export interface Carrier {
  readonly session: Pick<Session, 'id' | 'ended' | 'isWorking' | 'end'>
  /** Whether the client holds a stream open, or waits for an answer. */
  readonly isActive: boolean
  /** When it last heard from its client, on `performance.now`'s clock. */
  lastHeard: number
  /** Called every few seconds. */
  keepAlive(now: number): void
}

export interface SessionsOptions {
  /** After how many ms without request or open stream a session ends. */
  sessionTimeout: number
  maxSessions: number
}

const TICK = 5_000

export class Sessions {
  readonly #options: () => SessionsOptions
  readonly #opened = new Map<string, Opened>()
  readonly #timer: NodeJS.Timeout
  #draining = false
  #revision = 0

  /** @param options as they are now. */
  constructor(options: () => SessionsOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#tick(), TICK)
    this.#timer.unref()
  }

  get count(): number {
    return this.#opened.size
  }

  /** Whether any request waits for its answer. */
  get isWorking(): boolean {
    return this.#opened.values().some(({ carrier }) => carrier.session.isWorking)
  }

  /**
   * Keeps what `make` opens until it ends.
   *
   * @throws {GatewayError} `too_many_sessions` if all are in use; what the entrance throws.
   */
  open<C extends Carrier>(entrance: Entrance, principal: Principal, make: (at: Endpoint) => C): C {
    const endpoint = entrance.endpoint()
    if (this.#opened.size >= this.#options().maxSessions) this.#makeRoom()
    const carrier = make(endpoint)
    const { id, ended } = carrier.session
    this.#opened.set(id, { carrier, entrance, principal })
    ended.addEventListener('abort', () => this.#opened.delete(id))
    return carrier
  }

  /** Undefined also for who has no business with it. */
  find<C extends Carrier>(
    kind: abstract new (...args: never[]) => C,
    id: string,
    entrance: Entrance,
    principal: Principal,
  ): C | undefined {
    const opened = this.#opened.get(id)
    if (opened?.entrance.key !== entrance.key || opened.principal.id !== principal.id)
      return undefined
    return opened.carrier instanceof kind ? opened.carrier : undefined
  }

  /**
   * Lets messages in; without any, a request that is none.
   *
   * @throws {GatewayError} `shutting_down` for requests, once it drains.
   */
  admit(body?: Message | Message[]): void {
    if (!this.#draining) return
    if (body && [body].flat().every(({ kind }) => kind !== 'request')) return
    throw new GatewayError('shutting_down', 'the gateway is shutting down')
  }

  /** From now on takes no new requests. Answers and notifications that belong to those in flight still come through. */
  drain(): void {
    this.#draining = true
  }

  /** The logins that they were opened with. */
  get grantIds(): Set<string> {
    return new Set([...this.#opened.values()].flatMap(({ principal }) => principal.grantId ?? []))
  }

  /** Another number each time that who may come, or where to, may have changed. */
  get revision(): number {
    return this.#revision
  }

  /** Ends those that could not be opened any more. */
  sift(isGood: (principal: Principal, entrance: Entrance) => boolean, reason: string): void {
    this.#revision++
    for (const { carrier, entrance, principal } of this.#opened.values()) {
      if (!isGood(principal, entrance)) carrier.session.end(reason)
    }
  }

  /** Ends every session; what is in flight is answered with `reason`. */
  close(reason: string): void {
    clearInterval(this.#timer)
    for (const { carrier } of this.#opened.values()) carrier.session.end(reason)
  }

  /** Ends the session that was silent longest. Many clients leave without a word, and come back as somebody new. */
  #makeRoom(): void {
    const idle = [...this.#opened.values()].flatMap(({ carrier }) =>
      carrier.isActive ? [] : carrier,
    )
    const longest = idle.sort((a, b) => a.lastHeard - b.lastHeard)[0]
    if (!longest) {
      throw new GatewayError('too_many_sessions', `${this.count} sessions are in use`, {
        hint: 'raise gateway.maxSessions',
      })
    }
    longest.session.end('room was needed for another')
  }

  #tick(): void {
    const now = performance.now()
    const { sessionTimeout } = this.#options()
    for (const { carrier } of this.#opened.values()) {
      carrier.keepAlive(now)
      if (carrier.isActive) carrier.lastHeard = now
      else if (now - carrier.lastHeard > sessionTimeout) {
        carrier.session.end(`nothing was heard for ${sessionTimeout} ms`)
      }
    }
  }
}

interface Opened {
  carrier: Carrier
  /** Where it was opened. */
  entrance: Entrance
  principal: Principal
}
