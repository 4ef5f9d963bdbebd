/** What every store keeps to, whatever it is made of. */
import { afterEach, beforeEach, describe, expect, setSystemTime, test } from 'bun:test'
import type { Bucket, Entry, Store } from '../../src/store/store.ts'

/** One bucket besides those of the catalogue. */
const OTHER = 'other' as Bucket
const NOON = new Date('2026-01-01T12:00:00Z')

/**
 * @param open an empty store, each time another.
 * @param again the same one as it is found after its `close`, if it outlives that.
 */
export function contract(
  name: string,
  open: () => Promise<Store>,
  again?: (store: Store) => Promise<Store>,
): void {
  describe(name, () => {
    let store: Store
    beforeEach(async () => {
      store = await open()
    })
    afterEach(async () => {
      setSystemTime()
      await store.close()
    })

    const put = (key: string, value: unknown, expiresAt?: number, bucket: Bucket = 'services') =>
      store.update(bucket, key, () => (expiresAt === undefined ? { value } : { value, expiresAt }))
    const get = (key: string) => store.get<unknown>('services', key)
    const listed = (bucket: Bucket = 'services') => Array.fromAsync(store.list<unknown>(bucket))

    test('has nothing at first', async () => {
      expect(await get('a')).toBeUndefined()
      expect(await listed()).toEqual([])
    })

    test.each<[string, unknown]>([
      ['an object', { a: [1, { b: null }], c: 'ü\u2028"\\' }],
      ['a list', [1, 'two', null]],
      ['a text', 'x'],
      ['an empty text', ''],
      ['zero', 0],
      ['false', false],
      ['null', null],
      ['half of a surrogate pair', 'a\ud800b'],
      ['a megabyte', 'é'.repeat(2 ** 19)],
    ])('gives back %s', async (_, value) => {
      await put('a', value)
      expect(await get('a')).toEqual(value)
      expect(await listed()).toEqual([['a', value]])
    })

    test('gives copies', async () => {
      const value = { list: [1] }
      await put('a', value)
      value.list.push(2)
      const first = (await get('a')) as typeof value
      first.list.push(3)
      expect(await get('a')).toEqual({ list: [1] })
    })

    test('refuses a value that JSON cannot say, and keeps the old one', async () => {
      await put('a', 1)
      await expect(put('a', undefined)).rejects.toThrow('JSON')
      expect(await get('a')).toBe(1)
    })

    test('shows a change what is there, and deletes when it wants nothing there', async () => {
      const seen: unknown[] = []
      const step = (next?: Entry<number>) =>
        store.update<number>('services', 'a', (old) => {
          seen.push(old)
          return next
        })
      await step({ value: 1 })
      await step({ value: 2 })
      await step()
      await step()
      expect(seen).toEqual([undefined, 1, 2, undefined])
      expect(await get('a')).toBeUndefined()
    })

    test('changes nothing when a change throws, and passes its error on', async () => {
      await put('a', 1)
      const reason = new RangeError('no')
      const refused = store.update('services', 'a', () => {
        throw reason
      })
      expect(await refused.catch((error) => error)).toBe(reason)
      expect(await get('a')).toBe(1)
      await put('a', 2)
      expect(await get('a')).toBe(2)
    })

    test('keeps buckets apart', async () => {
      await put('a', 1)
      await put('a', 2, undefined, OTHER)
      await store.update(OTHER, 'a', () => undefined)
      expect(await get('a')).toBe(1)
      expect(await listed(OTHER)).toEqual([])
    })

    test.each<[string[]]>([
      [['', ' ', 'a b', 'A', 'a']],
      [['__proto__', 'constructor', 'toString']],
      [['ü', 'u\u0308', '日本', '🙂', 'ﬀ']],
      [['a', 'a\0', 'a\0b']],
      [["'; DROP TABLE entries; --", '%', '_', '*']],
    ])('tells keys apart: %j', async (keys) => {
      for (const [i, key] of keys.entries()) await put(key, i)
      for (const [i, key] of keys.entries()) expect(await get(key)).toBe(i)
      expect(await listed()).toHaveLength(keys.length)
    })

    test('lists keys in the order of their bytes, however many', async () => {
      const keys = Array.from({ length: 250 }, (_, i) => `k${(i * 7) % 250}`)
      const all = [...keys, 'ﬀ', '🙂', 'K', '', 'é']
      for (const key of all) await put(key, key)
      const sorted = all.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      expect(await listed()).toEqual(sorted.map((key) => [key, key]))
    })

    test('can be changed while it is listed', async () => {
      for (let i = 100; i < 400; i++) await put(`${i}`, i)
      const seen: string[] = []
      for await (const [key] of store.list('services')) {
        seen.push(key)
        await store.update('services', key, () => undefined)
      }
      expect(seen).toHaveLength(300)
      expect(await listed()).toEqual([])
    })

    describe('what expires', () => {
      beforeEach(() => void setSystemTime(NOON))
      const soon = NOON.getTime() + 1_000

      test('is there until then', async () => {
        await put('a', 1, soon)
        setSystemTime(soon - 1)
        expect(await get('a')).toBe(1)
        expect(await listed()).toEqual([['a', 1]])
      })

      test('is nowhere from then on', async () => {
        await put('a', 1, soon)
        await put('b', 2)
        setSystemTime(soon)
        expect(await get('a')).toBeUndefined()
        expect(await listed()).toEqual([['b', 2]])
        const seen: unknown[] = []
        await store.update('services', 'a', (old) => void seen.push(old))
        expect(seen).toEqual([undefined])
      })

      test('stays if it is written again without that', async () => {
        await put('a', 1, soon)
        await put('a', 2)
        setSystemTime(soon)
        expect(await get('a')).toBe(2)
      })

      test('was never there if its time is over already', async () => {
        await put('a', 1, NOON.getTime())
        expect(await get('a')).toBeUndefined()
      })
    })

    test('loses none of 200 changes that are made at once', async () => {
      const increment = () =>
        store.update<number>('services', 'count', (old = 0) => ({ value: old + 1 }))
      await Promise.all(Array.from({ length: 200 }, increment))
      expect(await get('count')).toBe(200)
    })

    test('lets only one of many be the first', async () => {
      const take = async (who: number) => {
        await store.update<number>('services', 'code', (old) => {
          if (old !== undefined) throw new Error('taken')
          return { value: who }
        })
        return who
      }
      const takes = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => take(i)))
      const winners = takes.flatMap((take) => (take.status === 'fulfilled' ? [take.value] : []))
      expect(winners).toHaveLength(1)
      expect(await get('code')).toBe(winners[0])
    })

    test('can be closed twice, and is of no use then', async () => {
      await put('a', 1)
      await store.close()
      await store.close()
      await expect(get('a')).rejects.toThrow('closed')
      await expect(put('a', 2)).rejects.toThrow('closed')
      await expect(listed()).rejects.toThrow('closed')
    })

    if (!again) return
    test('has everything when it is opened again', async () => {
      const later = Date.now() + 3_600_000
      await put('a', { b: 'ü' })
      await put('c', 1, later)
      await store.close()
      store = await again(store)
      expect(await listed()).toEqual([
        ['a', { b: 'ü' }],
        ['c', 1],
      ])
      setSystemTime(later)
      expect(await get('c')).toBeUndefined()
    })
  })
}
