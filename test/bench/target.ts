/**
 * The things compared, each in processes of its own and behind one interface. Whoever opens a
 * target closes it.
 */
import { existsSync, statSync } from 'node:fs'
import type { Order, Report } from './direct.ts'
import { load, type Sample } from './load.ts'
import { rssOf } from './proc.ts'
import { type Call, requestText, resultOf } from './result.ts'
import { type Bench, openSession, run, type Server, serve } from './server.ts'

export const targets = {
  echo: 'bare `Bun.serve`: parses the request and serialises an answer; nothing behind it',
  direct: 'the server driven over stdio by a Bun process that parses no answer; no HTTP',
  relay:
    'HTTP in front of one server process; parses and serialises both ways; no sessions or checks',
  gateway: 'mcp-gateway as configured by default, in front of the same server',
}
export type TargetName = keyof typeof targets

export interface Target extends AsyncDisposable {
  name: TargetName
  /** Asks what will be measured, and looks at every answer. */
  warm(call: Call): Promise<void>
  measure(order: Order): Promise<Sample>
}

export function openTarget(name: TargetName, bench: Bench): Promise<Target> {
  return name === 'direct' ? openDirect(bench) : openHttp(name, bench)
}

export interface Start {
  /** Milliseconds from exec to the first answer to anything, of each start. */
  ready: number[]
  /** A second after the first start and without any session, in bytes. */
  idleRss: number
}

export async function measureStart(times: number, bench: Bench): Promise<Start> {
  const start: Start = { ready: [], idleRss: 0 }
  for (let time = 0; time < times; time++) {
    await using server = await serveTarget('gateway', bench)
    start.ready.push(server.ready)
    if (time > 0) continue
    await Bun.sleep(1000)
    bench.signal.throwIfAborted()
    start.idleRss = rssOf(server.child.pid)
  }
  return start
}

const root = `${import.meta.dir}/../..`
const compiled = `${root}/dist/mcp-gateway`
const source = `${root}/src/main.ts`

/** Which gateway is measured, if there is one. A compiled one older than the source is named so. */
export function gatewayKind(): string | undefined {
  if (!existsSync(compiled)) return existsSync(source) ? '`bun src/main.ts`' : undefined
  const built = statSync(compiled).mtimeMs
  const files = [...new Bun.Glob('**/*.ts').scanSync(`${root}/src`)]
  const stale = files.some((file) => statSync(`${root}/src/${file}`).mtimeMs > built)
  return stale ? '`dist/mcp-gateway` (**older than src/**)' : '`dist/mcp-gateway`'
}

async function openDirect(bench: Bench): Promise<Target> {
  let report: (report: Report) => void = () => {}
  const running = run(script('direct'), bench, (message) => report(message as Report))
  const drive = (order: Order) => {
    const { promise, resolve } = Promise.withResolvers<Report>()
    report = resolve
    running.child.send(order)
    return running.during(promise)
  }
  return {
    name: 'direct',
    async warm(call) {
      await drive({ call, inFlight: 16, seconds: 0.5 })
    },
    async measure(order) {
      const { calls, seconds, p50, p99, cpu } = await drive(order)
      const rss = rssOf(running.child.pid)
      return { rate: calls / seconds, p50, p99, cpu: (cpu * 1000) / calls, rss }
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  }
}

async function openHttp(name: Exclude<TargetName, 'direct'>, bench: Bench): Promise<Target> {
  const server = await serveTarget(name, bench)
  const url = `${server.origin}/bench/mcp`
  let headers: Record<string, string> | undefined
  let answerBytes = 0
  // Every run of wrk counts up from a block of ids of its own.
  let block = 20
  const drive = (order: Order, check: boolean) => {
    if (!headers) throw new Error('a target is warmed first')
    block += 1
    const ids = { firstId: block * 5_000_000, answerBytes }
    const watched = { pid: server.child.pid, signal: bench.signal }
    return server.during(load({ ...order, ...watched, ...ids, url, headers, check }))
  }
  return {
    name,
    async warm(call) {
      headers ??= await server.during(openSession(url))
      answerBytes = await server.during(checkedAnswer(url, headers, call))
      await drive({ call, inFlight: 16, seconds: 0.5 }, true)
    },
    measure: (order) => drive(order, false),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** Compares one answer to the last member, and returns the size of the whole response. */
async function checkedAnswer(url: string, headers: Record<string, string>, call: Call) {
  const id = 100_000_000
  const response = await fetch(url, { method: 'POST', headers, body: requestText(`${id}`, call) })
  const text = await response.text()
  const type = response.headers.get('content-type') ?? 'no content type'
  if (response.status !== 200 || !type.startsWith('application/json')) {
    throw new Error(`a call was answered with ${response.status}, ${type}: ${text.slice(0, 500)}`)
  }
  if (!Bun.deepEquals(JSON.parse(text), { jsonrpc: '2.0', id, result: resultOf(call) }, true)) {
    throw new Error(`a call was answered wrongly: ${text.slice(0, 500)}`)
  }
  const lines = [
    'HTTP/1.1 200 OK',
    ...response.headers.entries().map((line) => line.join(': ')),
    '',
  ]
  return Buffer.byteLength(`${lines.join('\r\n')}\r\n${text}`)
}

async function serveTarget(name: Exclude<TargetName, 'direct'>, bench: Bench): Promise<Server> {
  if (name === 'echo' || name === 'relay') {
    return serve((port) => [...script(name), `${port}`], bench)
  }
  const server = { command: process.execPath, args: [`${import.meta.dir}/child.ts`] }
  const config = `${bench.directory}/${name}.json`
  await Bun.write(
    config,
    JSON.stringify({ gateway: { host: '127.0.0.1' }, mcpServers: { bench: server } }),
  )
  const command = existsSync(compiled) ? [compiled] : [process.execPath, source]
  const options = ['--config', config, '--log-level', 'warn']
  return serve((port) => [...command, ...options, '--port', `${port}`], bench)
}

function script(name: string): string[] {
  return [process.execPath, `${import.meta.dir}/${name}.ts`]
}
