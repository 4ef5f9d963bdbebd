/**
 * The things compared, each in processes of its own and behind one interface. Whoever opens a
 * target closes it.
 */
import { merged, toolsOf } from './catalog.ts'
import type { Order, Report } from './direct.ts'
import { child, serveGateway } from './gateway.ts'
import { load, type Sample } from './load.ts'
import { keptLogins, logins } from './logins.ts'
import { rssOf } from './proc.ts'
import { idPlace, type Question } from './question.ts'
import { type Bench, openSession, run, type Server, script, serve } from './server.ts'

export const targets = {
  echo: 'bare `Bun.serve`: parses the request and serialises an answer; nothing behind it',
  direct: 'the server driven over stdio by a Bun process that parses no answer; no HTTP',
  relay:
    'HTTP in front of one server process; parses and serialises both ways; no sessions or checks',
  gateway: 'mcp-gateway in front of the same server, which belongs to the session',
  guarded: `mcp-gateway as the target before, with logins: calls come with a token, one of ${logins.toLocaleString('en')} that are good`,
  pooled: 'the same as it is by default: up to five processes, which get one call at a time each',
  ruled:
    'the same with naming rules: 20 of 25 tools renamed, among them the one called, and a block list with globs',
  merged: `mcp-gateway at \`/mcp\`, in front of ${merged.servers.length} servers of ${merged.tools} tools each`,
}
export type TargetName = keyof typeof targets
export type HttpTargetName = Exclude<TargetName, 'direct'>

export interface Stint {
  inFlight: number
  seconds: number
}

export interface Target extends AsyncDisposable {
  name: TargetName
  /** Asks what will be measured, and looks at every answer. */
  warm(question: Question): Promise<void>
  measure(question: Question, stint: Stint): Promise<Sample>
}

export function openTarget(name: TargetName, bench: Bench): Promise<Target> {
  return name === 'direct' ? openDirect(bench) : openHttp(name, bench)
}

/** Where MCP is spoken. */
export interface Endpoint extends Server {
  url: string
  /** For every request. */
  headers?: Record<string, string>
}

export async function serveTarget(name: HttpTargetName, bench: Bench): Promise<Endpoint> {
  if (name === 'guarded') {
    const { dataDir, auth, headers } = await keptLogins(bench)
    const server = await serveGateway({ bench: child('read', 1) }, bench, { dataDir }, { auth })
    return { ...server, url: `${server.origin}/bench/mcp`, headers }
  }
  const server = await startTarget(name, bench)
  return { ...server, url: `${server.origin}${name === 'merged' ? '' : '/bench'}/mcp` }
}

function startTarget(name: Exclude<HttpTargetName, 'guarded'>, bench: Bench): Promise<Server> {
  switch (name) {
    case 'echo':
    case 'relay':
      return serve((port) => [...script(name), `${port}`], bench)
    case 'gateway':
      return serveGateway({ bench: child('read', 1) }, bench)
    case 'pooled':
      return serveGateway({ bench: { ...child('read', 1), isolation: 'user' } }, bench)
    case 'ruled':
      return serveGateway({ bench: { ...child('view', 25), tools: rules } }, bench)
    case 'merged': {
      const server = child('read', merged.tools)
      return serveGateway(Object.fromEntries(merged.servers.map((own) => [own, server])), bench)
    }
  }
}

/** Of a server whose tool is called `view`, so that the same call means the same there. */
const rules = {
  block: ['delete_*', '*_secret', 'admin_*_all'],
  rename: Object.fromEntries(
    toolsOf('view', 20).map(({ name }) => [name, name === 'view' ? 'read' : `repository_${name}`]),
  ),
}

async function openDirect(bench: Bench): Promise<Target> {
  let report: (report: Report) => void = () => {}
  const running = run(script('direct'), bench, (message) => report(message as Report))
  const drive = ({ text, result }: Question, { inFlight, seconds }: Stint) => {
    const { promise, resolve } = Promise.withResolvers<Report>()
    report = resolve
    const order: Order = { text, bytes: JSON.stringify(result).length, inFlight, seconds }
    running.child.send(order)
    return running.during(promise)
  }
  return {
    name: 'direct',
    async warm(question) {
      await drive(question, { inFlight: 16, seconds: 0.5 })
    },
    async measure(question, stint) {
      const { calls, seconds, p50, p99, cpu } = await drive(question, stint)
      const rss = rssOf(running.child.pid)
      return { rate: calls / seconds, p50, p99, cpu: (cpu * 1000) / calls, rss }
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  }
}

async function openHttp(name: HttpTargetName, bench: Bench): Promise<Target> {
  const server = await serveTarget(name, bench)
  const { url } = server
  let headers: Record<string, string> | undefined
  let answerBytes = 0
  // Every run of wrk counts up from a block of ids of its own.
  let block = 20
  const drive = (question: Question, stint: Stint, check: boolean) => {
    if (!headers) throw new Error('a target is warmed first')
    block += 1
    const ids = { firstId: block * 5_000_000, answerBytes }
    const watched = { pid: server.child.pid, signal: bench.signal }
    return server.during(load({ ...stint, ...watched, ...ids, url, headers, question, check }))
  }
  return {
    name,
    async warm(question) {
      headers ??= await server.during(openSession(url, server.headers))
      answerBytes = await server.during(checkedAnswer(url, headers, question))
      await drive(question, { inFlight: 16, seconds: 0.5 }, true)
    },
    measure: (question, stint) => drive(question, stint, false),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** Compares one answer to the last member, and returns the size of the whole response. */
async function checkedAnswer(url: string, headers: Record<string, string>, question: Question) {
  const id = 100_000_000
  const body = question.text.replace(idPlace, `${id}`)
  const response = await fetch(url, { method: 'POST', headers, body })
  const text = await response.text()
  const type = response.headers.get('content-type') ?? 'no content type'
  if (response.status !== 200 || !type.startsWith('application/json')) {
    throw new Error(`it was answered with ${response.status}, ${type}: ${text.slice(0, 500)}`)
  }
  const { result } = question
  if (!Bun.deepEquals(JSON.parse(text), { jsonrpc: '2.0', id, result }, true)) {
    throw new Error(`it was answered wrongly: ${text.slice(0, 500)}`)
  }
  const lines = [
    'HTTP/1.1 200 OK',
    ...response.headers.entries().map((line) => line.join(': ')),
    '',
  ]
  return Buffer.byteLength(`${lines.join('\r\n')}\r\n${text}`)
}
