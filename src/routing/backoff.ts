/** Pauses for who tries again until it works: each twice as long as the one before, and not in step with others. */
export class Backoff {
  #next: number
  readonly #longest: number
  readonly #ended: AbortSignal

  /** In ms. @param ended it is no use to try again after that. */
  constructor(first: number, longest: number, ended: AbortSignal) {
    this.#next = first
    this.#longest = longest
    this.#ended = ended
  }

  /** False if it has ended meanwhile. Keeps no process alive. */
  async pause(): Promise<boolean> {
    if (this.#ended.aborted) return false
    const { promise, resolve } = Promise.withResolvers<void>()
    const stop = () => resolve()
    const timer = setTimeout(stop, this.#next * (0.75 + Math.random() / 2))
    timer.unref()
    this.#next = Math.min(this.#next * 2, this.#longest)
    this.#ended.addEventListener('abort', stop, { once: true })
    await promise
    clearTimeout(timer)
    this.#ended.removeEventListener('abort', stop)
    return !this.#ended.aborted
  }
}
