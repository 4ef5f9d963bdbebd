/** A store that is gone with its process, for tests of what is kept and not of where. */
import type { Bucket, Entry, Store } from '../../src/store/store.ts'
import { StoreError } from '../../src/store/store.ts'

interface Kept {
  text: string
  expiresAt: number
}

export class MemoryStore implements Store {
  readonly #buckets = new Map<Bucket, Map<string, Kept>>()
  #isClosed = false

  async get<T>(bucket: Bucket, key: string): Promise<T | undefined> {
    this.#check()
    return this.#value<T>(bucket, key)
  }

  async update<T>(
    bucket: Bucket,
    key: string,
    change: (old: T | undefined) => Entry<T> | undefined,
  ): Promise<void> {
    this.#check()
    const next = change(this.#value<T>(bucket, key))
    if (!next) return void this.#in(bucket).delete(key)
    const { value, expiresAt = Number.POSITIVE_INFINITY } = next
    const text: string | undefined = JSON.stringify(value)
    if (text === undefined) throw new TypeError('a value that JSON cannot say')
    this.#in(bucket).set(key, { text, expiresAt })
  }

  async *list<T>(bucket: Bucket): AsyncGenerator<[key: string, value: T]> {
    this.#check()
    const keys = [...this.#in(bucket).keys()]
    for (const key of keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
      const value = this.#value<T>(bucket, key)
      if (value !== undefined) yield [key, value]
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  #in(bucket: Bucket): Map<string, Kept> {
    const known = this.#buckets.get(bucket) ?? new Map<string, Kept>()
    this.#buckets.set(bucket, known)
    return known
  }

  #value<T>(bucket: Bucket, key: string): T | undefined {
    const kept = this.#in(bucket).get(key)
    return kept && kept.expiresAt > Date.now() ? (JSON.parse(kept.text) as T) : undefined
  }

  #check(): void {
    if (this.#isClosed) throw new StoreError('the store is closed')
  }
}
