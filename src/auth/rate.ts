/** How often somebody may do something: several times at once, and then once per interval. Remembers a bounded number. */
export class Rate {
  readonly #burst: number
  readonly #interval: number
  readonly #now: () => number
  /** When each will have made up for all that they did. Who has done nothing for longest comes first. */
  readonly #even = new Map<string, number>()

  /** @param interval in ms. */
  constructor(burst: number, interval: number, now: () => number = Date.now) {
    this.#burst = burst
    this.#interval = interval
    this.#now = now
  }

  /** Does it, if it returns 0; otherwise says in how many ms it may be done. */
  take(who: string): number {
    const now = this.#now()
    const even = Math.max(now, this.#even.get(who) ?? now)
    const wait = even + this.#interval - (now + this.#burst * this.#interval)
    if (wait > 0) return wait
    this.#even.delete(who)
    this.#even.set(who, even + this.#interval)
    if (this.#even.size > MOST) this.#even.delete(this.#even.keys().next().value!)
    return 0
  }
}

const MOST = 10_000
