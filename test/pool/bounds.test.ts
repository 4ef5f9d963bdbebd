/** How many processes there are, whoever wants how much of them. */
import { describe, expect, test } from 'bun:test'
import { isAlive } from '../lifecycle/program.ts'
import { ask } from '../support/asking.ts'
import { dialSdk1 } from '../support/clients.ts'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import { Gate, until } from './gate.ts'
import { Person } from './people.ts'

const PATIENCE = 30_000

const pooled = (pool: object) =>
  startGateway({ everything: stdio('everything', { isolation: 'user', pool }) })

const statusOf = ({ gateway }: TestGateway) => gateway.status.everything!
const spawned = ({ events }: TestGateway) =>
  events.filter(({ type }) => type === 'upstream_spawned').length

/** Looks at the number of processes in every turn of the event loop, until it is disposed of. */
class Watch implements Disposable {
  most = 0
  #isOver = false

  constructor(gateway: TestGateway) {
    const look = () => {
      const { processes, total } = statusOf(gateway)
      this.most = Math.max(this.most, processes, total)
      if (!this.#isOver) setImmediate(look)
    }
    look()
  }

  [Symbol.dispose](): void {
    this.#isOver = true
  }
}

describe('never more than `maxConnections`', () => {
  test(
    '20 clients with 5 calls each use 5 processes again and again',
    async () => {
      using gate = new Gate()
      await using gateway = pooled({ maxConnections: 5 })
      using watch = new Watch(gateway)
      const clients = await Promise.all(
        Array.from({ length: 20 }, () => dialSdk1(gateway.at('everything'))),
      )
      const warm = clients.slice(0, 5).map((client) => client.call('fetch', gate.args))
      await gate.held(5)
      gate.open()
      await Promise.all(warm)
      const before = spawned(gateway)
      expect(before).toBe(5)
      const pids = await Promise.all(
        clients.flatMap((client) => Array.from({ length: 5 }, () => client.call('pid'))),
      )
      expect(pids).toHaveLength(100)
      expect(new Set(pids).size).toBeLessThanOrEqual(5)
      expect(spawned(gateway)).toBe(before)
      expect(watch.most).toBe(5)
      expect((await gateway.health()).upstreams.everything).toMatchObject({
        state: 'ready',
        total: 5,
        active: 0,
        idle: 5,
        waiting: 0,
        spawned: 5,
        crashed: 0,
        processes: 5,
      })
      await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()))
    },
    PATIENCE,
  )

  test(
    '100 calls at once find a cold pool of 5',
    async () => {
      await using gateway = pooled({ minConnections: 0, maxConnections: 5 })
      using watch = new Watch(gateway)
      const session = await RawSession.open(gateway.at('everything'))
      const answers = await Promise.all(
        Array.from({ length: 100 }, () => ask(session, 'tools/call', { name: 'pid' })),
      )
      const pids = answers.map(({ result }) => result.content[0].text)
      expect(new Set(pids).size).toBeLessThanOrEqual(5)
      expect(watch.most).toBeLessThanOrEqual(5)
      expect(spawned(gateway)).toBeLessThanOrEqual(5)
    },
    PATIENCE,
  )

  test(
    'also while the connections of one user make room for those of another',
    async () => {
      await using gateway = pooled({ maxConnections: 2 })
      using watch = new Watch(gateway)
      const people = await Promise.all(
        ['ada', 'bob', 'eve'].map((name) => Person.at(gateway, 'everything', name)),
      )
      const calls = people.flatMap((person) => [1, 2, 3, 4].map(() => person.call('whoami')))
      expect(await Promise.all(calls)).toEqual(Array(12).fill('everything'))
      expect(watch.most).toBe(2)
      for (const person of people) person[Symbol.dispose]()
    },
    PATIENCE,
  )

  test('and as many calls at once as there are connections, if they are wanted', async () => {
    using gate = new Gate(4)
    await using gateway = pooled({ maxConnections: 4 })
    const clients = await Promise.all(
      Array.from({ length: 4 }, () => dialSdk1(gateway.at('everything'))),
    )
    // The gate opens for four; with fewer at once nothing would ever end.
    const calls = clients.flatMap((client) =>
      [1, 2, 3, 4, 5].map(() => client.call('fetch', gate.args)),
    )
    expect(await Promise.all(calls)).toEqual(Array(20).fill('through'))
    expect(gate.most).toBe(4)
    await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()))
  })

  test('with `concurrency` several calls on one connection', async () => {
    using gate = new Gate(3)
    await using gateway = pooled({ maxConnections: 1, concurrency: 3 })
    using ada = await Person.at(gateway, 'everything', 'ada')
    const calls = Array.from({ length: 6 }, () => ada.call('fetch', gate.args))
    expect(await Promise.all(calls)).toEqual(Array(6).fill('through'))
    expect([gate.most, spawned(gateway)]).toEqual([3, 1])
  })
})

describe('who has to wait', () => {
  test('is served in order', async () => {
    await using gateway = pooled({ maxConnections: 1 })
    const people = await Promise.all(
      Array.from({ length: 10 }, () => Person.at(gateway, 'everything', 'ada')),
    )
    const counts = await Promise.all(
      Array.from({ length: 100 }, (_, i) => people[i % 10]!.call('count')),
    )
    expect(counts).toEqual(Array.from({ length: 100 }, (_, i) => String(i + 1)))
    for (const person of people) person[Symbol.dispose]()
  })

  test('is told after `acquireTimeout` which options to change', async () => {
    using gate = new Gate()
    await using gateway = pooled({ maxConnections: 1, acquireTimeout: 50 })
    const session = await RawSession.open(gateway.at('everything'))
    const held = session.call('held', 'fetch', gate.args)
    await gate.held(1)
    const { error } = await ask(session, 'tools/call', { name: 'pid' })
    expect(error.message).toBe('server "everything": all 1 connections stayed busy for 50 ms')
    expect(error.data).toMatchObject({ code: 'upstream_busy', server: 'everything' })
    expect(error.data.hint).toContain('mcpServers.everything.pool.maxConnections')
    expect(error.data.hint).toContain('mcpServers.everything.pool.acquireTimeout')
    gate.open()
    expect(await held).toContain('through')
    expect((await ask(session, 'tools/call', { name: 'whoami' })).error).toBeUndefined()
  })

  test('is refused where `queueLimit` others wait', async () => {
    using gate = new Gate()
    await using gateway = pooled({ maxConnections: 1, queueLimit: 1 })
    using ada = await Person.at(gateway, 'everything', 'ada')
    const held = ada.call('fetch', gate.args)
    await gate.held(1)
    const waits = ada.call('whoami')
    await until('one waits', () => statusOf(gateway).waiting === 1)
    expect(statusOf(gateway)).toMatchObject({ active: 1, idle: 0, waiting: 1 })
    const refused = await ada.call('whoami').catch((error) => error)
    expect(refused).toMatchObject({ code: 'upstream_busy' })
    expect(refused.hint).toContain('mcpServers.everything.pool.queueLimit')
    gate.open()
    expect(await Promise.all([held, waits])).toEqual(['through', 'everything'])
  })

  test('and leaves, leaves nothing behind', async () => {
    using gate = new Gate()
    await using gateway = pooled({ maxConnections: 1 })
    using ada = await Person.at(gateway, 'everything', 'ada')
    const stop = new AbortController()
    await using client = await dialSdk1(gateway.at('everything'))
    const held = ada.call('fetch', gate.args)
    await gate.held(1)
    const waits = client.call('pid', {}, { signal: stop.signal }).catch(String)
    await until('one waits', () => statusOf(gateway).waiting === 1)
    stop.abort('enough')
    expect(await waits).toContain('enough')
    await until('nobody waits', () => statusOf(gateway).waiting === 0)
    gate.open()
    expect(await held).toBe('through')
  })
})

describe('what is idle', () => {
  test.each([1, 2])(
    'ends, down to a minimum of %i',
    async (minConnections) => {
      using gate = new Gate()
      await using gateway = pooled({ minConnections, maxConnections: 4, idleTimeout: 100 })
      using ada = await Person.at(gateway, 'everything', 'ada')
      const calls = [1, 2, 3, 4].map(() => ada.call('fetch', gate.args))
      await gate.held(4)
      expect(statusOf(gateway)).toMatchObject({ active: 4, idle: 0, processes: 4 })
      gate.open()
      await Promise.all(calls)
      await until('the rest has gone', () => statusOf(gateway).processes === minConnections)
      const before = spawned(gateway)
      await ada.call('pid')
      expect(spawned(gateway)).toBe(before)
    },
    PATIENCE,
  )

  test('under a minimum of 0 is not there before it is needed, nor long after', async () => {
    await using gateway = pooled({ minConnections: 0, idleTimeout: 100 })
    expect(statusOf(gateway)).toMatchObject({ state: 'ready', total: 0, processes: 0, spawned: 0 })
    const session = await RawSession.open(gateway.at('everything'))
    const pid = async () => JSON.parse(await session.call(1, 'pid')).result.content[0].text
    const first = await pid()
    await until('it has stopped', () => statusOf(gateway).processes === 0)
    expect(isAlive(Number(first))).toBe(false)
    expect(statusOf(gateway)).toMatchObject({ state: 'ready', total: 0, crashed: 0 })
    // The session is still there, and does not notice.
    expect(await pid()).not.toBe(first)
  })

  test('is started before anybody comes, and waits for whoever comes first', async () => {
    await using gateway = pooled({ minConnections: 1 })
    gateway.gateway.warm()
    const { pid } = await gateway.event('upstream_spawned')
    using ada = await Person.at(gateway, 'everything', 'ada', { sampling: {} })
    expect(await ada.call('pid')).toBe(String(pid))
  })
})

test('after `maxCalls` a process is replaced', async () => {
  await using gateway = pooled({ maxConnections: 1, maxCalls: 2, minConnections: 0 })
  using ada = await Person.at(gateway, 'everything', 'ada')
  const counts = []
  for (let i = 0; i < 5; i++) counts.push(await ada.call('count'))
  expect(counts).toEqual(['1', '2', '1', '2', '1'])
  expect(statusOf(gateway).crashed).toBe(0)
})
