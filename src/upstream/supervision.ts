/**
 * How a server is doing, and when it may be tried again after it failed.
 *
 * One that fails to open is left alone for a while, twice as long each time: whoever calls meanwhile is told at once what
 * is wrong with it. One that was open and is lost may be opened again at once, unless it never got anything done.
 */

/** `ready` also before anybody needed it, as long as it looks as if it could start. */
export type State = 'starting' | 'ready' | 'failing' | 'stopped'

/** How long a server is left alone after its first failure, in ms, and at most. */
const PAUSE = 500
const LONGEST_PAUSE = 30_000

export class Supervision {
  #state: State = 'ready'
  #reason: string | undefined
  #failures = 0
  #opening = 0
  #retryAt = 0
  #crashed = 0
  /** It was open once. */
  #isProven = false

  get state(): State {
    return this.#state === 'ready' && this.#opening > 0 && !this.#isProven
      ? 'starting'
      : this.#state
  }

  /** Why it is failing, or how it was last lost. */
  get reason(): string | undefined {
    return this.#reason
  }

  /** How often it was lost by its own fault. */
  get crashed(): number {
    return this.#crashed
  }

  /** For how many ms it is still to be left alone; 0 if it may be tried. */
  get pause(): number {
    return this.#failures === 0 ? 0 : Math.max(0, Math.ceil(this.#retryAt - performance.now()))
  }

  get isStopped(): boolean {
    return this.#state === 'stopped'
  }

  get isOpening(): boolean {
    return this.#opening > 0
  }

  /** It is being opened. */
  opening(): void {
    this.#opening++
  }

  /** It could be opened. */
  opened(): void {
    this.#opening--
    this.#isProven = true
    this.#failures = 0
    if (this.#state === 'stopped') return
    this.#state = 'ready'
    this.#reason = undefined
  }

  /** It could not be opened, for no fault of its own. */
  gaveUp(): void {
    this.#opening--
  }

  /** It could not be opened. False if that is no news. */
  failed(reason: string): boolean {
    this.#opening--
    return this.#fail(reason)
  }

  /** One more connection could not be opened, but others are: they serve, and no more are tried for a while. */
  stumbled(reason: string): void {
    this.#opening--
    this.#crashed++
    this.#wait()
    if (this.#state === 'ready') this.#reason = reason
  }

  /** A connection was open, and is lost by its own fault. */
  lost(reason: string, isProven: boolean): void {
    this.#crashed++
    if (isProven) {
      if (this.#state === 'ready') this.#reason = reason
    } else this.#fail(reason)
  }

  /** Something is known to be in its way before it was tried. */
  blocked(reason: string): boolean {
    this.#state = 'failing'
    this.#reason = reason
    return true
  }

  stop(): void {
    this.#state = 'stopped'
  }

  #fail(reason: string): boolean {
    this.#wait()
    if (this.#state === 'stopped') return false
    const isNews = this.#state !== 'failing' || this.#reason !== reason
    this.#state = 'failing'
    this.#reason = reason
    return isNews
  }

  #wait(): void {
    const pause = Math.min(PAUSE * 2 ** this.#failures, LONGEST_PAUSE)
    this.#failures++
    // With jitter, so that gateways that lost the same server do not come back at the same moment.
    this.#retryAt = performance.now() + pause * (0.75 + Math.random() / 2)
  }
}
