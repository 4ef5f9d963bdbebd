/** What a client sees at one URL: the only way in for every downstream dialect. */
import type { Caller, ClientPeer } from '../caller.ts'
import type { Observer } from '../events.ts'
import type { Json } from '../rpc/json.ts'
import { outcomeOf } from '../upstream/connection.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** One upstream under its own name. Every method goes to it, known or not yet invented. */
export class Endpoint {
  readonly name: string
  readonly #upstream: Upstream
  readonly #observe: Observer

  constructor(name: string, upstream: Upstream, observe: Observer) {
    this.name = name
    this.#upstream = upstream
    this.#observe = observe
  }

  /** The result of `initialize` for the caller's session. */
  initialize(caller: Caller): Promise<Json> {
    return this.#upstream.initialize(caller)
  }

  async request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const started = performance.now()
    let outcome: ReturnType<typeof outcomeOf> = 'ok'
    try {
      return await this.#upstream.request(method, params, caller)
    } catch (error) {
      outcome = outcomeOf(error)
      throw error
    } finally {
      const ms = performance.now() - started
      this.#observe({ type: 'request', method, server: this.#upstream.name, outcome, ms })
    }
  }

  notify(method: string, params: Json | undefined, session: ClientPeer): void {
    this.#upstream.notify(method, params, session)
  }
}
