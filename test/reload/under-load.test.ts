/** Two hundred configurations, one after the other, while clients call. */
import { expect, test } from 'bun:test'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { folder, type Program, start } from '../lifecycle/program.ts'
import { Family, hasProc } from '../pool/family.ts'
import { until } from '../pool/gate.ts'
import { ask } from '../support/asking.ts'
import { type Health, stdio } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'

const RELOADS = Number(process.env.RELOADS ?? 200)
const PATIENCE = 120_000
const NAMES = ['a', 'b', 'c', 'd', 'e']

test.skipIf(!hasProc)(
  `${RELOADS} reloads under load: who stays notices nothing, and nothing is left of who goes`,
  async () => {
    const family = new Family()
    const server = (version: number) =>
      stdio('raw', { isolation: 'user', env: { ...family.env, VERSION: String(version) } })
    const kept = { ...server(0), pool: { maxConnections: 1 } }
    let servers = Object.fromEntries(NAMES.map((name) => [name, server(0)]))
    const config = { gateway: { port: 0 }, mcpServers: { kept, ...servers } }
    await using place = await folder({ 'config.json': config })
    const path = join(place.path, 'config.json')
    await using gateway = await start([], { in: place })
    const told = (what: string) => gateway.stderr.text.split(` ${what}`).length - 1

    try {
      const calling = new Calling(gateway)
      const workers = [
        ...[1, 2, 3].map(() => calling.kept('kept/mcp', 'pid')),
        ...[1, 2].map(() => calling.kept('mcp', 'kept_pid')),
        ...NAMES.slice(0, 2).map((name) => calling.other('mcp', `${name}_pid`)),
      ]
      await until('all call', () => calling.good > 50)
      for (let i = 1; i <= RELOADS; i++) {
        const isBroken = i % 10 === 0
        const name = NAMES[i % NAMES.length]!
        const next = { ...servers, [name]: server(i) }
        if (i % 3 === 0 && servers[name]) delete next[name]
        const text = JSON.stringify({ ...config, mcpServers: { kept, ...next } })
        if (!isBroken) servers = next
        const [before, event] = isBroken
          ? [told('config_refused'), 'config_refused']
          : [told('config_applied'), 'config_applied']
        await write(path, isBroken ? text.slice(0, -2) : text, i % 2 === 0)
        await until(`reload ${i}: ${event}`, () => told(event) > before)
      }
      calling.isOver = true
      await Promise.all(workers)

      expect(calling.failures).toEqual([])
      expect(calling.pids.size).toBe(1)
      expect(told('config_refused')).toBe(RELOADS / 10)
      const health = (await (await fetch(new URL('health', gateway.url))).json()) as Health
      expect(Object.keys(health.upstreams).sort()).toEqual(['kept', ...Object.keys(servers)].sort())
      const wanted = Object.values(health.upstreams).length
      await until('only the processes of those that are there are left', async () => {
        const { upstreams } = (await (await fetch(new URL('health', gateway.url))).json()) as Health
        const known = Object.values(upstreams).reduce((sum, { processes }) => sum + processes, 0)
        return known >= wanted && family.groups === known
      })
      gateway.signal('SIGTERM')
      expect(await gateway.exited).toBe(0)
      expect(family.pids).toEqual([])
    } finally {
      family.kill()
    }
  },
  PATIENCE,
)

class Calling {
  good = 0
  isOver = false
  readonly failures: unknown[] = []
  /** Of the server that stays. */
  readonly pids = new Set<string>()
  readonly #gateway: Program

  constructor(gateway: Program) {
    this.#gateway = gateway
  }

  async kept(path: string, tool: string): Promise<void> {
    const session = await this.#open(path)
    while (!this.isOver) {
      const { result, error } = await ask(session, 'tools/call', { name: tool, arguments: {} })
      if (error) this.failures.push(error)
      else {
        this.good++
        this.pids.add(result.content[0].text)
      }
    }
  }

  /** Its calls may fail, but each is answered, and the session goes on. */
  async other(path: string, tool: string): Promise<void> {
    const session = await this.#open(path)
    while (!this.isOver) {
      const { result, error } = await ask(session, 'tools/call', { name: tool, arguments: {} })
      if (!result && typeof error?.message !== 'string') this.failures.push({ tool, error })
    }
  }

  #open(path: string): Promise<RawSession> {
    return RawSession.open(new URL(path, this.#gateway.url))
  }
}

/** As some editors do it, or as others do. */
async function write(path: string, text: string, isReplaced: boolean): Promise<void> {
  if (!isReplaced) return void (await Bun.write(path, text))
  await Bun.write(`${path}~`, text)
  await rename(`${path}~`, path)
}
