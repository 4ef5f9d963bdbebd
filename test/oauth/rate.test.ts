/** How often somebody may do something, and how many clients there may be. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Rate } from '../../src/auth/rate.ts'
import { HERE, surroundings } from './outside.ts'

describe('somebody may do it', () => {
  test('several times at once, and then once per interval', () => {
    let now = 1000
    const rate = new Rate(3, 10, () => now)
    expect([1, 2, 3, 4].map(() => rate.take('a'))).toEqual([0, 0, 0, 10])
    now += 9
    expect(rate.take('a')).toBe(1)
    now += 1
    expect([rate.take('a'), rate.take('a')]).toEqual([0, 10])
    expect(rate.take('b')).toBe(0)
    now += 1000
    expect([1, 2, 3, 4].map(() => rate.take('a'))).toEqual([0, 0, 0, 10])
  })

  test('never more often than that, whenever they try', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(30), { maxLength: 100 }), (pauses) => {
        let now = 0
        const rate = new Rate(3, 10, () => now)
        let done = 0
        for (const pause of pauses) {
          now += pause
          if (rate.take('a') === 0) done++
          expect(done).toBeLessThanOrEqual(3 + Math.floor(now / 10))
        }
      }),
    )
  })

  test('again, once ten thousand others have', () => {
    const rate = new Rate(1, 1_000_000, () => 0)
    expect([rate.take('a'), rate.take('a')]).toEqual([0, 1_000_000])
    for (let i = 0; i < 10_000; i++) rate.take(`other ${i}`)
    expect(rate.take('a')).toBe(0)
  })
})

test('of clients that are used, those go that were let in longest ago, beyond five thousand', async () => {
  const { clients, store } = surroundings()
  const body = { redirect_uris: ['http://localhost/cb'] }
  const oldest = await clients.register(body, HERE)
  await clients.used(oldest.id)
  const others = Array.from({ length: 4999 }, (_, i) => [`other ${i}`, ''])
  await store.update<unknown[]>('rosters', 'used', (old = []) => ({ value: [...old, ...others] }))
  const next = await clients.register(body, HERE)
  expect(await clients.find(oldest.id)).toBeDefined()
  await clients.used(next.id)
  expect(await clients.find(oldest.id)).toBeUndefined()
  expect(await clients.find(next.id)).toBeDefined()
})
