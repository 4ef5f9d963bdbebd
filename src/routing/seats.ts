/**
 * A client as its servers see it, and its seats there. They outlive the visit that uses them: when the configuration
 * changes what is at an endpoint, the next visit finds the client where it sat.
 */
import { type ClientPeer, Overheard } from '../caller.ts'
import type { Json } from '../rpc/json.ts'
import type { Incoming } from '../rpc/peer.ts'
import { type Capability, CHANGES } from '../upstream/lists.ts'
import { Seat } from '../upstream/seat.ts'
import type { Upstream } from '../upstream/upstream.ts'

export class Seats extends Overheard {
  /** Told that lists of a server have changed, instead of the client. */
  onChanged: ((capability: Capability) => void) | undefined
  #taken = new Map<string, Seat>()
  /** Those of the visit before, as far as nobody has asked for them again. */
  #former = new Map<string, Seat>()

  static of(client: ClientPeer): Seats {
    return client instanceof Seats ? client : new Seats(client)
  }

  /** The client's seat at a server. At one that has taken the place of another it goes on with what it had set up there. */
  at(upstream: Upstream): Seat {
    const { name } = upstream
    const taken = this.#taken.get(name)
    if (taken?.upstream === upstream) return taken
    const former = this.#former.get(name)
    this.#former.delete(name)
    const seat = former?.upstream === upstream ? former : new Seat(upstream, this)
    if (former && former !== seat) {
      seat.succeed(former)
      former.leave()
    }
    this.#taken.set(name, seat)
    return seat
  }

  /** Runs what makes a new visit, and leaves the seats that it has no use for. */
  moved<T>(visit: () => T): T {
    this.#former = this.#taken
    this.#taken = new Map()
    this.onChanged = undefined
    try {
      return visit()
    } finally {
      for (const seat of this.#former.values()) seat.leave()
      this.#former.clear()
    }
  }

  override notify(method: string, params?: Json, relatedTo?: Incoming): void {
    const changed = this.onChanged && CHANGES.get(method)
    if (changed) this.onChanged!(changed)
    else this.tell(method, params, relatedTo)
  }

  /** Tells the client itself. */
  tell(method: string, params?: Json, relatedTo?: Incoming): void {
    super.notify(method, params, relatedTo)
  }
}
