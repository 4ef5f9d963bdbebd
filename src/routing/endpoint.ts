/** What a client sees at one URL: the only way in for every downstream dialect. */
import type { Caller, ClientPeer } from '../caller.ts'
import type { Json } from '../rpc/json.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** One upstream under its own name. Every method goes to it, known or not yet invented. */
export class Endpoint {
  readonly name: string
  readonly #upstream: Upstream

  constructor(name: string, upstream: Upstream) {
    this.name = name
    this.#upstream = upstream
  }

  /** The result of `initialize` for the caller's session. */
  initialize(caller: Caller): Promise<Json> {
    return this.#upstream.initialize(caller)
  }

  request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    return this.#upstream.request(method, params, caller)
  }

  notify(method: string, params: Json | undefined, session: ClientPeer): void {
    this.#upstream.notify(method, params, session)
  }
}
