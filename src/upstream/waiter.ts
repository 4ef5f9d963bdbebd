/** One who waits for a connection, until it is given one, gives up, or is given up. */
import type { Lease, Open } from './slot.ts'

/** Who waits, and may stop waiting. */
export interface Waiting {
  /** Why nobody waits any more. */
  readonly aborted: Error | undefined
  onAbort(listener: { abort(reason: Error): void }): void
  offAbort(listener: { abort(reason: Error): void }): void
}

export class Waiter<C> {
  readonly owner: string
  readonly open: Open<C>
  readonly isCall: boolean
  readonly promise: Promise<Lease<C>>
  readonly #who: Waiting
  readonly #resolve: (lease: Lease<C> | Promise<Lease<C>>) => void
  readonly #reject: (reason: Error) => void
  onSettled: () => void = () => {}

  constructor(owner: string, open: Open<C>, who: Waiting, isCall: boolean) {
    const { promise, resolve, reject } = Promise.withResolvers<Lease<C>>()
    this.owner = owner
    this.open = open
    this.isCall = isCall
    this.promise = promise
    this.#who = who
    this.#resolve = resolve
    this.#reject = reject
    who.onAbort(this)
  }

  give(lease: Lease<C> | Promise<Lease<C>>): void {
    this.#settle()
    this.#resolve(lease)
  }

  fail(reason: Error): void {
    this.#settle()
    this.#reject(reason)
  }

  abort(reason: Error): void {
    this.fail(reason)
  }

  #settle(): void {
    this.#who.offAbort(this)
    this.onSettled()
  }
}
