/** A request of a peer's, and those who must know when it is given up. */
import type { Id } from './message.ts'
import type { AbortListener, Incoming } from './peer.ts'

/** For whoever takes requests from a peer: one of them, until it is answered or given up. */
export class IncomingRequest implements Incoming, AbortListener {
  readonly id: Id
  readonly progress: Incoming['progress']
  #listeners: AbortListener[] = []
  #aborted: Error | undefined

  constructor(id: Id, progress: Incoming['progress']) {
    this.id = id
    this.progress = progress
  }

  get aborted(): Error | undefined {
    return this.#aborted
  }

  onAbort(listener: AbortListener): void {
    this.#listeners.push(listener)
  }

  offAbort(listener: AbortListener): void {
    // Nearly always there is one.
    if (this.#listeners.at(-1) === listener) this.#listeners.pop()
    else this.#listeners = this.#listeners.filter((other) => other !== listener)
  }

  /** Gives it up. Idempotent. */
  abort(reason: Error): void {
    this.#aborted ??= reason
    // One who is told may take another one off.
    for (let next = this.#listeners.shift(); next; next = this.#listeners.shift())
      next.abort(reason)
  }
}
