/**
 * Clients come, call and vanish, and afterwards everything is as it was.
 *
 * It takes two minutes; to work on something else, fewer will do: `CYCLES=60 bun test`.
 */
import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { folder, type Program, start } from '../lifecycle/program.ts'
import { type Health, stdio } from '../support/gateway.ts'
import { ACCEPT, call, INITIALIZE, request } from '../support/http.ts'
import { Family, hasProc } from './family.ts'
import { until } from './gate.ts'

/** For each isolation. */
const CYCLES = Number(process.env.CYCLES ?? 1000)
/** So many before the first look. */
const WARM_UP = Math.max(30, CYCLES / 2)
const WORKERS = 6
/** Sessions without a client end in time, and processes that do not want to are killed. */
const SETTLED = 30_000
const PATIENCE = 60_000 + CYCLES * 900

const ISOLATIONS = ['user', 'session', 'shared'] as const
const POOL = { maxConnections: WORKERS, idleTimeout: 500, acquireTimeout: 60_000 }

describe.skipIf(!hasProc).each(ISOLATIONS)('under `%s`', (isolation) => {
  // Most of the time they wait for what takes its time.
  test.concurrent(
    `${CYCLES} clients leave nothing behind that was not there before`,
    async () => {
      const family = new Family()
      const raw = stdio('raw', {
        isolation,
        env: family.env,
        pool: POOL,
        maxSessionConnections: 1000,
      })
      const config = {
        gateway: { port: 0, sessionTimeout: 1000, maxSessions: 1000 },
        mcpServers: { raw },
      }
      await using place = await folder({ 'config.json': config })
      await using gateway = await start(['--log-level', 'error'], { in: place })
      try {
        await cycles(gateway, WARM_UP)
        const before = await settled(gateway, family)
        await cycles(gateway, CYCLES)
        let after = await settled(gateway, family)
        // Memory grows in steps. What leaks grows again.
        if (after.memory >= before.memory * 1.1) {
          before.memory = after.memory
          await cycles(gateway, CYCLES)
          after = await settled(gateway, family)
        }
        if (process.env.CYCLES) console.log(isolation, before, after)
        expect(after.processes).toEqual(before.processes)
        expect(after.descriptors).toBe(before.descriptors)
        expect(after.memory).toBeLessThan(before.memory * 1.1)
      } finally {
        family.kill()
      }
    },
    PATIENCE,
  )
})

/** What a gateway has, once no session is left. */
async function settled(gateway: Program, family: Family) {
  let health = await healthOf(gateway)
  const isIdle = ({ sessions, upstreams: { raw } }: Health) =>
    sessions === 0 && raw!.active === 0 && raw!.processes <= 1
  await until(
    'all sessions and what they had are gone',
    async () => {
      health = await healthOf(gateway)
      return isIdle(health) && family.groups === health.upstreams.raw!.processes
    },
    SETTLED,
  )
  const { total, waiting, connections, processes } = health.upstreams.raw!
  const files = () => readdirSync(`/proc/${gateway.pid}/fd`).length
  let descriptors = files()
  // The last sockets take a moment.
  for (let same = 0; same < 20; same++) {
    await Bun.sleep(10)
    if (files() !== descriptors) same = 0
    descriptors = files()
  }
  return {
    processes: { total, waiting, connections, processes, alive: family.groups },
    descriptors,
    memory: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))![1]),
  }
}

async function healthOf({ url }: Program): Promise<Health> {
  const response = await fetch(new URL('health', url), { keepalive: false })
  return (await response.json()) as Health
}

/** One cycle after the other, by several workers at once. */
async function cycles(gateway: Program, count: number): Promise<void> {
  const url = new URL('raw/mcp', gateway.url)
  let next = 0
  const work = async () => {
    for (let i = next++; i < count; i = next++) await cycle(url, i)
  }
  await Promise.all(Array.from({ length: WORKERS }, work))
}

/** Connects, calls, and goes: a third says goodbye, a third does not, and a third is gone in the midst of a call. */
async function cycle(url: URL, i: number): Promise<void> {
  const client = await Client.open(url)
  // What the process does when it is to go.
  if (i % 10 === 4) await client.call('ignore_term')
  else if (i % 10 === 8) await client.call('grandchild')
  else await client.call('slow', { ms: 1 })
  if (i % 3 === 0) await client.leave()
  else if (i % 3 === 1) return
  else {
    // Of those that answer only when they are cancelled a few: they hold their connection until the session ends.
    const isEndless = i % 30 === 2
    const stop = new AbortController()
    const abandoned = isEndless
      ? client.call('late', {}, stop.signal)
      : client.call('slow', { ms: 100 }, stop.signal)
    await client.ping()
    stop.abort()
    await abandoned.catch(() => {})
    if (i % 2 === 0 && !isEndless) await client.leave()
  }
}

/** One that never keeps a socket: those of a pool would be counted as the gateway's. */
class Client {
  readonly #url: URL
  readonly #session: string

  private constructor(url: URL, session: string) {
    this.#url = url
    this.#session = session
  }

  static async open(url: URL): Promise<Client> {
    const response = await send(url, 'POST', {}, request(0, 'initialize', INITIALIZE))
    const text = await response.text()
    const session = response.headers.get('mcp-session-id')
    if (!session) throw new Error(text)
    return new Client(url, session)
  }

  async call(name: string, args: unknown = {}, signal?: AbortSignal): Promise<void> {
    const text = await this.#post(call(1, name, args), signal)
    if (!text.includes('"result"')) throw new Error(text)
  }

  /** When it is answered, what was sent before has arrived. */
  async ping(): Promise<void> {
    await this.#post(request(2, 'ping'))
  }

  async leave(): Promise<void> {
    await send(this.#url, 'DELETE', { 'mcp-session-id': this.#session })
  }

  async #post(body: string, signal?: AbortSignal): Promise<string> {
    const headers = { 'mcp-session-id': this.#session }
    return (await send(this.#url, 'POST', headers, body, signal)).text()
  }
}

function send(
  url: URL,
  method: string,
  headers: Record<string, string>,
  body?: string,
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(url, {
    method,
    headers: { 'content-type': 'application/json', accept: ACCEPT, ...headers },
    keepalive: false,
    ...(body === undefined ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
  })
}
