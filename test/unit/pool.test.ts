/** Who gets which connection: order, bounds and reuse, with connections that are only counted. */
import { afterEach, beforeEach, describe, expect, jest, test } from 'bun:test'
import fc from 'fast-check'
import { IncomingRequest } from '../../src/rpc/incoming.ts'
import { Pool, type PoolOptions } from '../../src/upstream/pool.ts'
import type { Lease } from '../../src/upstream/slot.ts'

class Connection {
  readonly owner: string
  readonly number: number
  closed: Error | undefined
  readonly #gone = Promise.withResolvers<void>()
  readonly gone = this.#gone.promise

  constructor(owner: string, number: number) {
    this.owner = owner
    this.number = number
  }

  close(reason: Error): void {
    this.closed ??= reason
  }

  /** Nothing of it is left. */
  leave(): void {
    this.#gone.resolve()
  }
}

const OPTIONS: PoolOptions = {
  minConnections: 0,
  maxConnections: 2,
  acquireTimeout: 1_000,
  idleTimeout: 1_000,
  concurrency: 1,
  queueLimit: 100,
}

/** A pool whose connections open at once, and are gone as soon as they are closed unless `lingering`. */
function pooled(options: Partial<PoolOptions> = {}, lingering = false) {
  const opened: Connection[] = []
  const pool = new Pool<Connection>('s', { ...OPTIONS, ...options })
  let number = 0
  const someone = () => new IncomingRequest('1', undefined)
  const acquire = async (owner = 'a', who = someone()) =>
    pool.acquire(
      owner,
      async () => {
        const one = new Connection(owner, ++number)
        if (!lingering) {
          const { close } = one
          one.close = (reason) => {
            close.call(one, reason)
            one.leave()
          }
        }
        opened.push(one)
        return one
      },
      who,
    )
  return { pool, opened, acquire, someone }
}

const back = (lease: Lease<Connection>) => lease[Symbol.dispose]()
/** Lets everything run that waits for nothing but its turn. */
const settle = () => new Promise(setImmediate)
const state = async (promise: Promise<unknown>) => {
  let state = 'waits'
  promise.then(
    () => (state = 'has'),
    () => (state = 'failed'),
  )
  for (let i = 0; i < 5; i++) await settle()
  return state
}

test('a caller whose calls never overlap always meets the same connection', async () => {
  const { opened, acquire } = pooled({ maxConnections: 5 })
  for (let i = 0; i < 10; i++) back(await acquire())
  expect(opened).toHaveLength(1)
})

test('among the free ones the most recently used goes first', async () => {
  const { acquire } = pooled({ maxConnections: 3 })
  const [one, two, three] = [await acquire(), await acquire(), await acquire()]
  back(two)
  back(three)
  back(one)
  const order = [await acquire(), await acquire(), await acquire()]
  expect(order.map(({ connection }) => connection.number)).toEqual([1, 3, 2])
})

test('never more than maxConnections are opened, however many come at once', async () => {
  const { pool, opened, acquire } = pooled({ maxConnections: 5 })
  const order: number[] = []
  const all = Array.from({ length: 100 }, async (_, i) => {
    const lease = await acquire()
    order.push(i)
    expect(pool.stats.total).toBeLessThanOrEqual(5)
    await settle()
    back(lease)
  })
  expect(pool.stats).toEqual({ total: 5, active: 5, idle: 0, waiting: 95 })
  await Promise.all(all)
  expect(opened).toHaveLength(5)
  expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i))
  expect(pool.stats).toEqual({ total: 5, active: 0, idle: 5, waiting: 0 })
})

test('who waits is served in order, whatever its owner', async () => {
  const { acquire, opened } = pooled({ maxConnections: 1 })
  const first = await acquire('a')
  const got: string[] = []
  const queue = ['b', 'a', 'b', 'a'].map(async (owner, i) => {
    const lease = await acquire(owner)
    got.push(`${owner}${i}`)
    expect(lease.connection.owner).toBe(owner)
    back(lease)
  })
  back(first)
  await Promise.all(queue)
  expect(got).toEqual(['b0', 'a1', 'b2', 'a3'])
  expect(opened.filter(({ closed }) => !closed)).toHaveLength(1)
})

describe('across owners', () => {
  test('a connection never changes hands', async () => {
    const { acquire } = pooled({ maxConnections: 2 })
    back(await acquire('a'))
    const b = await acquire('b')
    expect(b.connection.owner).toBe('b')
    back(b)
    expect((await acquire('a')).connection.number).toBe(1)
  })

  test('the longest idle one of another makes room, and its slot is free when it is gone', async () => {
    const { pool, opened, acquire } = pooled({ maxConnections: 2 }, true)
    back(await acquire('a'))
    back(await acquire('b'))
    const c = acquire('c')
    expect(await state(c)).toBe('waits')
    expect(opened.map(({ closed }) => closed !== undefined)).toEqual([true, false])
    expect(pool.stats).toMatchObject({ total: 2, waiting: 1 })
    opened[0]!.leave()
    expect((await c).connection.owner).toBe('c')
  })

  test('one that waits evicts one, not all', async () => {
    const { opened, acquire } = pooled({ maxConnections: 3 }, true)
    const leases = [await acquire('a'), await acquire('a'), await acquire('a')]
    const b = acquire('b')
    for (const lease of leases) back(lease)
    await settle()
    expect(opened.filter(({ closed }) => closed)).toHaveLength(1)
    opened.find(({ closed }) => closed)!.leave()
    await b
  })
})

describe('with concurrency', () => {
  test('several calls share a connection before another is opened', async () => {
    const { opened, acquire } = pooled({ maxConnections: 2, concurrency: 3 })
    const leases = [await acquire(), await acquire(), await acquire()]
    expect(opened).toHaveLength(1)
    const fourth = await acquire()
    expect(opened).toHaveLength(2)
    for (const lease of [...leases, fourth]) back(lease)
  })

  test('it is free again as soon as one of them ends', async () => {
    const { opened, acquire } = pooled({ maxConnections: 1, concurrency: 2 })
    const [one] = [await acquire(), await acquire()]
    const third = acquire()
    expect(await state(third)).toBe('waits')
    back(one!)
    await third
    expect(opened).toHaveLength(1)
  })
})

describe('what waits', () => {
  beforeEach(() => void jest.useFakeTimers())
  afterEach(() => void jest.useRealTimers())

  test('is told after acquireTimeout which knob to turn', async () => {
    const { acquire, pool } = pooled({ maxConnections: 1 })
    await acquire()
    const second = acquire().catch((error) => error)
    await Promise.resolve()
    jest.advanceTimersByTime(999)
    expect(pool.stats.waiting).toBe(1)
    jest.advanceTimersByTime(1)
    const error = await second
    expect(error).toMatchObject({ code: 'upstream_busy', server: 's' })
    expect(error.message).toBe('server "s": all 1 connections stayed busy for 1000 ms')
    expect(error.hint).toContain(
      'raise mcpServers.s.pool.maxConnections or mcpServers.s.pool.acquireTimeout',
    )
    expect(pool.stats.waiting).toBe(0)
  })

  test('may stop waiting, and those behind it move up', async () => {
    const { acquire, someone, pool } = pooled({ maxConnections: 1 })
    const lease = await acquire()
    const who = someone()
    const second = acquire('a', who).catch((error) => error)
    const third = acquire()
    await Promise.resolve()
    who.abort(new Error('enough'))
    expect((await second).message).toBe('enough')
    back(lease)
    back(await third)
    expect(pool.stats).toEqual({ total: 1, active: 0, idle: 1, waiting: 0 })
  })

  test('is no more than queueLimit', async () => {
    const { acquire, pool } = pooled({ maxConnections: 1, queueLimit: 2 })
    await acquire()
    acquire().catch(() => {})
    acquire().catch(() => {})
    await expect(acquire()).rejects.toMatchObject({ code: 'upstream_busy' })
    expect(pool.stats.waiting).toBe(2)
    pool.close(new Error('over'))
  })
})

describe('idle connections', () => {
  beforeEach(() => void jest.useFakeTimers())
  afterEach(() => void jest.useRealTimers())

  test('are closed down to the minimum, the others stay', async () => {
    const { opened, acquire, pool } = pooled({ maxConnections: 3, minConnections: 1 })
    const leases = [await acquire(), await acquire(), await acquire()]
    for (const lease of leases) back(lease)
    jest.advanceTimersByTime(900)
    expect(pool.stats.total).toBe(3)
    jest.advanceTimersByTime(700)
    await Promise.resolve()
    expect(opened.filter(({ closed }) => closed)).toHaveLength(2)
    jest.advanceTimersByTime(10_000)
    expect(opened.filter(({ closed }) => closed)).toHaveLength(2)
  })

  test('with a minimum of none, all', async () => {
    const { opened, acquire } = pooled()
    back(await acquire())
    jest.advanceTimersByTime(1_500)
    expect(opened[0]!.closed?.message).toBe('it was idle for 1000 ms')
  })

  test('that are used stay', async () => {
    const { opened, acquire } = pooled()
    for (let i = 0; i < 10; i++) {
      back(await acquire())
      jest.advanceTimersByTime(600)
    }
    expect(opened).toHaveLength(1)
  })
})

describe('a connection is replaced', () => {
  test('after maxCalls', async () => {
    const { opened, acquire } = pooled({ maxConnections: 1, maxCalls: 2 })
    for (let i = 0; i < 5; i++) back(await acquire())
    expect(opened.map(({ closed }) => closed?.message)).toEqual([
      'it has served its 2 calls',
      'it has served its 2 calls',
      undefined,
    ])
  })

  test('after maxLifetime, when it is idle', async () => {
    const { opened, acquire } = pooled({ maxLifetime: 0 })
    const lease = await acquire()
    expect(opened[0]!.closed).toBeUndefined()
    back(lease)
    expect(opened[0]!.closed?.message).toBe('it has lived its 0 ms')
  })

  test('when it is retired, after its calls', async () => {
    const { opened, acquire, pool } = pooled()
    const lease = await acquire()
    pool.retire(lease.connection, new Error('too big'))
    expect(opened[0]!.closed).toBeUndefined()
    back(lease)
    expect(opened[0]!.closed?.message).toBe('too big')
    back(await acquire())
    pool.retire(opened[1]!, new Error('too big'))
    expect(opened[1]!.closed?.message).toBe('too big')
  })

  test('when it has closed itself', async () => {
    const { opened, acquire, pool } = pooled({ maxConnections: 1 }, true)
    const lease = await acquire()
    pool.remove(lease.connection)
    const next = acquire()
    expect(await state(next)).toBe('waits')
    opened[0]!.leave()
    back(lease)
    expect((await next).connection.number).toBe(2)
    expect(pool.stats).toMatchObject({ total: 1, active: 1 })
  })
})

test('one that cannot be opened gives its slot back', async () => {
  const pool = new Pool<Connection>('s', { ...OPTIONS, maxConnections: 1 })
  const who = new IncomingRequest('1', undefined)
  const fails = () => Promise.reject(new Error('no'))
  for (let i = 0; i < 3; i++) {
    await expect(Promise.resolve(pool.acquire('a', fails, who))).rejects.toThrow('no')
  }
  expect(pool.stats.total).toBe(0)
})

test('while no more are to be opened, those that are there serve in turn', async () => {
  let pause = 0
  let opened = 0
  const options = { ...OPTIONS, maxConnections: 3 }
  const pool = new Pool<Connection>('s', options, { pause: () => pause })
  const acquire = async () =>
    pool.acquire(
      'a',
      async () => new Connection('a', ++opened),
      new IncomingRequest('1', undefined),
    )
  const first = await acquire()
  pause = 20
  const second = acquire()
  const third = acquire()
  expect(await state(second)).toBe('waits')
  back(first)
  expect((await second).connection.number).toBe(1)
  pause = 0
  expect((await third).connection.number).toBe(2)
})

test('closing ends what is open, and tells who waits', async () => {
  const { opened, acquire, pool } = pooled({ maxConnections: 1 })
  await acquire()
  const second = acquire().catch((error) => error.message)
  await settle()
  pool.close(new Error('over'))
  expect(await second).toBe('over')
  expect(opened[0]!.closed?.message).toBe('over')
  await expect(acquire()).rejects.toThrow('over')
})

test('whatever happens: never too many, never another owner, nobody forgotten', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('acquire' as const), owner: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ do: fc.constantFrom('back' as const, 'crash' as const), nth: fc.nat(5) }),
    fc.constant({ do: 'turn' as const }),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 3 }),
      async (steps, max) => {
        const { pool, acquire } = pooled({ maxConnections: max, concurrency: 2 })
        const held: Lease<Connection>[] = []
        const asked: Promise<void>[] = []
        for (const one of steps) {
          if (one.do === 'acquire') {
            const got = acquire(one.owner).then((lease) => {
              expect(lease.connection.owner).toBe(one.owner)
              held.push(lease)
            })
            asked.push(got)
          } else if (one.do === 'turn') await settle()
          else {
            const lease = held.splice(one.nth, 1)[0]
            if (one.do === 'crash' && lease) {
              pool.remove(lease.connection)
              lease.connection.leave()
            }
            if (lease) back(lease)
          }
          expect(pool.stats.total).toBeLessThanOrEqual(max)
        }
        for (let turns = 0; turns < 200 && (pool.stats.waiting > 0 || held.length > 0); turns++) {
          for (const lease of held.splice(0)) back(lease)
          await settle()
        }
        await Promise.all(asked)
        for (const lease of held.splice(0)) back(lease)
        expect(pool.stats).toMatchObject({ active: 0, waiting: 0 })
      },
    ),
    { numRuns: 200 },
  )
})
