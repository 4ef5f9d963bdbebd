/**
 * What others publish about themselves, fetched when it is asked for and kept for as long as they say.
 *
 * Who asks for the same at the same time waits for one fetch. The last good copy is used while no other can be had, unless
 * its publisher has taken it back. All is bounded: copies, fetches at once, and how often one that fails is tried.
 */
import { FetchError, type Fetched } from './public-fetch.ts'

interface Copy<T> {
  /** Undefined if there never was a good one. */
  value: T | undefined
  /** Why the last try failed, if it did. */
  error: FetchError | undefined
  /** Until then nothing is tried. */
  until: number
  fetchedAt: number
}

export interface PublishedOptions<T> {
  fetch: (url: string) => Promise<Fetched>
  /** @throws {FetchError} if it is not what it should be. */
  parse: (json: unknown, url: string) => T
  now: () => number
}

const MINUTE = 60_000
const LEAST_AGE = 5 * MINUTE
const USUAL_AGE = 60 * MINUTE
const MOST_AGE = 24 * 60 * MINUTE
/** For which a failure is remembered. */
const RETRY = MINUTE
const MOST_COPIES = 500
const MOST_FETCHES = 16

export class Published<T> {
  readonly #options: PublishedOptions<T>
  /** Those used last at the end. */
  readonly #copies = new Map<string, Copy<T>>()
  readonly #fetches = new Map<string, Promise<Copy<T>>>()

  constructor(options: PublishedOptions<T>) {
    this.#options = options
  }

  /**
   * @param isNewer whether it should be fetched although the copy is still good, which happens once a minute at most.
   * @throws {FetchError}
   */
  async get(url: string, isNewer = false): Promise<T> {
    const known = this.#copies.get(url)
    if (known) {
      this.#copies.delete(url)
      this.#copies.set(url, known)
    }
    const now = this.#options.now()
    const isGood = known && now < (isNewer ? known.fetchedAt + RETRY : known.until)
    const { value, error } = isGood ? known : await this.#fetched(url)
    if (value !== undefined) return value
    throw error ?? new FetchError('was not fetched', false)
  }

  #fetched(url: string): Promise<Copy<T>> {
    const running = this.#fetches.get(url)
    if (running) return running
    if (this.#fetches.size >= MOST_FETCHES)
      return Promise.reject(new FetchError('must wait: too much is fetched already', false))
    const fetch = this.#fetch(url).finally(() => this.#fetches.delete(url))
    this.#fetches.set(url, fetch)
    return fetch
  }

  async #fetch(url: string): Promise<Copy<T>> {
    const { fetch, parse, now } = this.#options
    const old = this.#copies.get(url)
    let copy: Copy<T>
    try {
      const { json, maxAge } = await fetch(url)
      const age = Math.min(
        MOST_AGE,
        Math.max(LEAST_AGE, maxAge === undefined ? USUAL_AGE : maxAge * 1000),
      )
      copy = { value: parse(json, url), error: undefined, until: now() + age, fetchedAt: now() }
    } catch (error) {
      const reason = error instanceof FetchError ? error : new FetchError(String(error), false)
      const value = reason.isFinal ? undefined : old?.value
      copy = { value, error: reason, until: now() + RETRY, fetchedAt: now() }
    }
    this.#copies.delete(url)
    this.#copies.set(url, copy)
    if (this.#copies.size > MOST_COPIES) this.#copies.delete(this.#copies.keys().next().value!)
    return copy
  }
}
