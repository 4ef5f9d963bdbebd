/** What becomes of calls when the processes that serve them die, hang, or do not even start. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { folder, isAlive } from '../lifecycle/program.ts'
import { ask } from '../support/asking.ts'
import { dialSdk1 } from '../support/clients.ts'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { call, eventsOf, INITIALIZE, post, RawSession, request } from '../support/http.ts'
import { Gate, until } from './gate.ts'
import { Person } from './people.ts'

const PATIENCE = 60_000

const pooled = (server: string, pool: object = {}) =>
  startGateway({ [server]: stdio(server, { isolation: 'user', pool }) })

const statusOf = ({ gateway }: TestGateway, server = 'everything') => gateway.status[server]!
const spawned = ({ events }: TestGateway) =>
  events.flatMap((event) => (event.type === 'upstream_spawned' ? [event.pid] : []))

/** In how many ms after the last one all is well again. */
const RECOVERY = 2_000
const KILLS = Number(process.env.KILLS ?? 30)

test(
  'under load, with processes killed all the time, every call gets one answer, and errors name the server',
  async () => {
    await using gateway = pooled('raw', { maxConnections: 4, acquireTimeout: 30_000 })
    const sessions = await Promise.all(
      Array.from({ length: 8 }, () => RawSession.open(gateway.at('raw'))),
    )
    let killed = 0
    let good = 0
    let isOver = false
    // While a server is left alone there are many, all alike.
    const errors = new Map<string, unknown>()

    const killOne = () => {
      const living = spawned(gateway).filter(isAlive)
      const victim = living[Math.floor(Math.random() * living.length)]
      if (victim === undefined) return
      process.kill(victim, 'SIGKILL')
      killed++
    }
    const work = async (session: RawSession, worker: number) => {
      for (let i = 0; !isOver; i++) {
        const id = `${worker}-${i}`
        const answers = await answersTo(session, call(id, 'slow', { ms: 1 }))
        if (answers.length !== 1 || answers[0].id !== id) expect(answers).toEqual([{ id }])
        if (answers[0].error) {
          errors.set(answers[0].error.message, answers[0].error.data.server)
          continue
        }
        good++
        if (good % 10 === 0 && killed < KILLS) killOne()
        if (killed === KILLS && good % 10 === 0) isOver = true
      }
    }
    await Promise.all(sessions.map(work))

    expect(killed).toBe(KILLS)
    for (const [message, server] of errors) {
      expect(message).toContain('server "raw"')
      expect(server).toBe('raw')
    }
    const allSucceed = async () => {
      const calls = sessions.map((session) => answersTo(session, call('after', 'slow', { ms: 1 })))
      return (await Promise.all(calls)).every(([{ result }]) => result)
    }
    await until('all calls succeed again', allSucceed, RECOVERY)
    await until('all is quiet', () => statusOf(gateway, 'raw').active === 0)
    const status = statusOf(gateway, 'raw')
    expect(status).toMatchObject({ state: 'ready', waiting: 0 })
    expect(status.total).toBeLessThanOrEqual(4)
    expect(status.crashed).toBeGreaterThan(0)
    expect(spawned(gateway).filter(isAlive)).toHaveLength(status.processes)
  },
  PATIENCE,
)

/** All messages that answer a request, however they come. */
async function answersTo(session: RawSession, body: string) {
  const response = await session.post(body)
  if (response.headers.get('content-type') === 'application/json') return [await response.json()]
  const events = await Array.fromAsync(eventsOf(response))
  const messages = events.flatMap(({ data }) => (data === '' ? [] : JSON.parse(data)))
  return messages.filter(({ id }) => id !== undefined)
}

describe('a process that dies', () => {
  test('has its call answered at once, and the next call starts another one at once', async () => {
    await using gateway = pooled('everything')
    const session = await RawSession.open(gateway.at('everything'))
    const pid = JSON.parse(await session.call('p', 'pid')).result.content[0].text
    const { error } = await ask(session, 'tools/call', { name: 'crash' })
    expect(error.message).toContain('server "everything"')
    expect(error.message).toContain('code 3')
    expect(error.data).toMatchObject({ code: 'upstream_closed', server: 'everything' })
    const { result } = await ask(session, 'tools/call', { name: 'pid' })
    expect(result.content[0].text).not.toBe(pid)
    expect(statusOf(gateway)).toMatchObject({ state: 'ready', crashed: 1 })
  })

  test('hurts none of the calls that others work on', async () => {
    using gate = new Gate()
    await using gateway = pooled('everything')
    using ada = await Person.at(gateway, 'everything', 'ada')
    const kept = ada.call('fetch', gate.args)
    await gate.held(1)
    const lost = await ada.call('crash').catch((error) => error)
    expect(lost).toMatchObject({ code: 'upstream_closed', server: 'everything' })
    gate.open()
    expect(await kept).toBe('through')
  })

  test('while idle, hurts nobody', async () => {
    await using gateway = pooled('everything')
    using ada = await Person.at(gateway, 'everything', 'ada')
    const pid = Number(await ada.call('pid'))
    process.kill(pid, 'SIGKILL')
    await until('it is missed', () => statusOf(gateway).crashed === 1)
    expect(Number(await ada.call('pid'))).not.toBe(pid)
  })
})

describe('a server that cannot start', () => {
  const FAILING = { command: 'sh', args: ['-c', 'echo no luck >&2; exit 7'] }

  test('says why, and is left alone for a while, in which calls fail at once', async () => {
    await using gateway = startGateway({ one: { ...FAILING, pool: { minConnections: 0 } } })
    const failed = () => Person.at(gateway, 'one', 'ada').catch((error) => error)
    const first = await failed()
    expect(first).toMatchObject({ server: 'one' })
    expect(first.message).toContain('server "one"')
    expect(first.message).toContain('no luck')
    expect(spawned(gateway)).toHaveLength(1)
    const second = await failed()
    expect(second).toMatchObject({ server: 'one' })
    expect(second.message).toContain('no luck')
    expect(spawned(gateway)).toHaveLength(1)
    const { state, reason } = (await gateway.health()).upstreams.one!
    expect(state).toBe('failing')
    expect(reason).toContain('no luck')
    await until('it is tried again', async () => {
      await failed()
      return spawned(gateway).length > 1
    })
  })

  test('over HTTP, is told with its name and its last words', async () => {
    await using gateway = startGateway({ one: { ...FAILING, pool: { minConnections: 0 } } })
    for (let i = 0; i < 2; i++) {
      const response = await post(gateway.at('one'), request(i, 'initialize', INITIALIZE))
      const { error } = JSON.parse((await response.text()).replace(/^[^{]*/, ''))
      expect(error.message).toContain('no luck')
      expect(error.data.server).toBe('one')
    }
  })

  test('is not started again and again for the minimum of its pool', async () => {
    await using gateway = startGateway({ one: FAILING })
    gateway.gateway.warm()
    const { reason } = await gateway.event('upstream_closed')
    expect(reason).toContain('no luck')
    // Many turns, in each of which a pool without patience would try.
    for (let i = 0; i < 50; i++) await gateway.health()
    expect(spawned(gateway)).toHaveLength(1)
    const failed = await Person.at(gateway, 'one', 'ada').catch((error) => error)
    expect(failed.message).toContain('no luck')
  })

  test('but later can, is found again', async () => {
    await using place = await folder()
    const { command, args = [] } = stdio('raw')
    const late = join(place.path, 'late')
    const script = `test -e "${late}" || { echo not yet >&2; exit 1; }; exec "$0" "$@"`
    const server = { command: 'sh', args: ['-c', script, command, ...args] }
    await using gateway = startGateway({ one: server })
    const failed = await Person.at(gateway, 'one', 'ada').catch((error) => error)
    expect(failed.message).toContain('not yet')
    await Bun.write(late, '')
    let found: Person | undefined
    await until('it is found', async () => {
      found = await Person.at(gateway, 'one', 'ada').catch(() => undefined)
      return found
    })
    using ada = found!
    expect(await ada.call('slow', { ms: 1 })).toBe('slow')
    expect(statusOf(gateway, 'one').state).toBe('ready')
  })

  test('never answers, is given up after `startupTimeout`', async () => {
    await using gateway = startGateway({
      one: { command: 'sleep', args: ['1000'], startupTimeout: 100, pool: { minConnections: 0 } },
    })
    const failed = await Person.at(gateway, 'one', 'ada').catch((error) => error)
    expect(failed).toMatchObject({ server: 'one' })
    expect(failed.message).toContain('100 ms')
    await until('its process is gone', () => statusOf(gateway, 'one').processes === 0)
  })
})

describe('a call that was cancelled', () => {
  const single = () => pooled('everything', { maxConnections: 1 })

  test('leaves its connection to others', async () => {
    await using gateway = single()
    await using ada = await dialSdk1(gateway.at('everything'))
    await using bob = await dialSdk1(gateway.at('everything'))
    const pid = await bob.call('pid')
    const stop = new AbortController()
    const options = { signal: stop.signal, onprogress: () => stop.abort('enough') }
    expect(await ada.call('wait', {}, options).catch(String)).toContain('enough')
    expect(await bob.call('last_cancelled')).toBe('wait')
    expect(await bob.call('pid')).toBe(pid)
  })

  test(
    'and is not given up by a server that hangs, has that replaced',
    async () => {
      await using gateway = pooled('raw', { maxConnections: 1, acquireTimeout: 30_000 })
      await using ada = await dialSdk1(gateway.at('raw'))
      await using bob = await dialSdk1(gateway.at('raw'))
      const stop = new AbortController()
      const hung = ada.call('hang', {}, { signal: stop.signal }).catch(String)
      await gateway.event('upstream_stderr', ({ text }) => text.includes('hanging'))
      const [pid] = spawned(gateway)
      stop.abort('enough')
      expect(await hung).toContain('enough')
      expect(await bob.call('slow', { ms: 1 })).toBe('slow')
      expect(spawned(gateway)).toHaveLength(2)
      expect(isAlive(pid!)).toBe(false)
      expect(statusOf(gateway, 'raw')).toMatchObject({ state: 'ready', total: 1 })
    },
    PATIENCE,
  )
})
