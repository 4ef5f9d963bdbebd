/**
 * An endpoint whose server may be away for a while: a gateway that restarts, behind a bridge.
 *
 * Calls that the server cannot have acted on wait for it to come back, and the connection is restored without being
 * asked for, because the server may have something to say.
 */
import type { Caller, ClientPeer } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import { Backoff } from './backoff.ts'
import type { Endpoint, ListedTool, View, Visit } from './endpoint.ts'

/** How long to wait between two attempts, in ms: doubled each time, up to the second. */
const PAUSE = 250
const LONGEST_PAUSE = 5_000

export class Patient implements Endpoint {
  readonly #endpoint: Endpoint
  readonly #patience: number
  readonly #visits = new Set<PatientVisit>()

  /** @param patience how long a call waits for the server to come back, in ms. */
  constructor(endpoint: Endpoint, patience: number) {
    this.#endpoint = endpoint
    this.#patience = patience
  }

  get name(): string {
    return this.#endpoint.name
  }

  visit(client: ClientPeer): Visit {
    const visit = new PatientVisit(this.#endpoint.visit(client), client.ended, this.#patience)
    this.#visits.add(visit)
    client.ended.addEventListener('abort', () => this.#visits.delete(visit))
    return visit
  }

  narrowed(view: View): Endpoint {
    return new Patient(this.#endpoint.narrowed(view), this.#patience)
  }

  /** To be called when a connection was lost. */
  restore(): void {
    for (const visit of this.#visits) visit.restore()
  }
}

class PatientVisit implements Visit {
  readonly #visit: Visit
  readonly #ended: AbortSignal
  readonly #patience: number
  #restoring = false

  constructor(visit: Visit, ended: AbortSignal, patience: number) {
    this.#visit = visit
    this.#ended = ended
    this.#patience = patience
  }

  initialize(): Promise<Json> {
    return this.#patiently(() => this.#visit.initialize())
  }

  request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    return this.#patiently(() => this.#visit.request(method, params, caller), caller)
  }

  notify(method: string, params: Json | undefined): void {
    this.#visit.notify(method, params)
  }

  tools(): Promise<ListedTool[]> {
    return this.#patiently(() => this.#visit.tools())
  }

  leave(): void {
    this.#visit.leave()
  }

  async restore(): Promise<void> {
    if (this.#restoring) return
    this.#restoring = true
    const backoff = new Backoff(PAUSE, LONGEST_PAUSE, this.#ended)
    while (!(await this.#isThere()) && (await backoff.pause()));
    this.#restoring = false
  }

  async #isThere(): Promise<boolean> {
    try {
      await this.#visit.initialize()
      return true
    } catch {
      return false
    }
  }

  async #patiently<T>(ask: () => Promise<T>, caller?: Caller): Promise<T> {
    const since = performance.now()
    const backoff = new Backoff(PAUSE, LONGEST_PAUSE, this.#ended)
    for (;;) {
      try {
        return await ask()
      } catch (error) {
        const isOver = performance.now() - since > this.#patience
        if (!isAway(error) || isOver || caller?.aborted) throw error
        if (!(await backoff.pause())) throw error
        if (caller?.aborted) throw caller.aborted
      }
    }
  }
}

/** Whether the server was not there to act on the call. */
function isAway(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'upstream_unreachable'
}
