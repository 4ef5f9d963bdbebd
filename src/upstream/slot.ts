/** Room for one connection in a pool, and what is lent from it. */

/** Told, while a connection is opened, when nothing will be left of it: until then it takes its room. */
export type Hold = (gone: Promise<void>) => void
export type Open<C> = (hold: Hold) => Promise<C>

/** What is pooled. */
export interface Pooled {
  /** Why it takes no more calls; undefined while it does. */
  readonly closed: Error | undefined
  /** Idempotent. */
  close(reason: Error): void
  /** Resolves when nothing of it is left. */
  readonly gone: Promise<void>
}

/** A connection lent for one call. Disposing of it gives it back. Idempotent. */
export interface Lease<C> extends Disposable {
  readonly connection: C
}

/** Room for one connection: empty while it is being opened. */
export class Slot<C> {
  readonly owner: string
  readonly opened = performance.now()
  connection: C | undefined
  leases = 0
  calls = 0
  /** Since when it has been as it is. */
  since = this.opened
  retired: Error | undefined
  /** It is being closed. */
  isGoing = false

  constructor(owner: string) {
    this.owner = owner
  }

  get isIdle(): boolean {
    return this.connection !== undefined && this.leases === 0 && !this.isGoing
  }
}

export class Loan<C> implements Lease<C> {
  readonly connection: C
  #giveBack: (() => void) | undefined

  constructor(connection: C, giveBack: () => void) {
    this.connection = connection
    this.#giveBack = giveBack
  }

  [Symbol.dispose](): void {
    this.#giveBack?.()
    this.#giveBack = undefined
  }
}
