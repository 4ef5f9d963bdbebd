/**
 * How often somebody may try and fail: a few times at once, then after delays that double.
 *
 * It knows so many at once, and no more; who was quiet longest is forgotten first.
 */
export interface Patience {
  /** So many failures are free. */
  free: number
  /** The first delay, in ms; each is twice the one before. */
  first: number
  /** The longest delay, in ms. */
  longest: number
  /** After so many ms without a failure all is forgotten. */
  memory: number
}

interface Failures {
  count: number
  /** When the next attempt may be, in ms since 1970. */
  until: number
  /** When it could have been before the latest failure. */
  former: number
  last: number
}

const MOST = 10_000

export class Throttle {
  readonly #patience: Patience
  readonly #now: () => number
  /** Who failed last is last. */
  readonly #failures = new Map<string, Failures>()

  constructor(patience: Patience, now: () => number = Date.now) {
    this.#patience = patience
    this.#now = now
  }

  /** How many ms are left until this one may try again; 0 if they may. */
  delay(who: string): number {
    return Math.max(0, (this.#current(who)?.until ?? 0) - this.#now())
  }

  /** Counts an attempt as failed. It is best counted before it is known to be: many may come at the same time. */
  fail(who: string): void {
    const { free, first, longest } = this.#patience
    const known = this.#current(who)
    const count = (known?.count ?? 0) + 1
    const last = this.#now()
    const wait = count < free ? 0 : Math.min(longest, first * 2 ** Math.min(30, count - free))
    this.#failures.delete(who)
    this.#failures.set(who, { count, until: last + wait, former: known?.until ?? 0, last })
    if (this.#failures.size > MOST) this.#failures.delete(this.#failures.keys().next().value!)
  }

  /** Takes back the latest failure: it was none. */
  pardon(who: string): void {
    const known = this.#failures.get(who)
    if (!known) return
    const { count, former } = known
    if (count === 1) this.#failures.delete(who)
    else this.#failures.set(who, { ...known, count: count - 1, until: former })
  }

  forget(who: string): void {
    this.#failures.delete(who)
  }

  #current(who: string): Failures | undefined {
    const known = this.#failures.get(who)
    return known && this.#now() - known.last < this.#patience.memory ? known : undefined
  }
}
