/** The gateway under measurement: which one that is, and how it is started. */
import { randomUUID } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { rssOf } from './proc.ts'
import { type Bench, type Server, serve } from './server.ts'

const root = `${import.meta.dir}/../..`
const compiled = `${root}/dist/mcp-gateway`
const source = `${root}/src/main.ts`

/** The compiled one if there is one. Where it is older than the source, that is said. */
export function gatewayKind(): string {
  if (!existsSync(compiled)) return '`bun src/main.ts`'
  const built = statSync(compiled).mtimeMs
  const files = [...new Bun.Glob('**/*.ts').scanSync(`${root}/src`)]
  const stale = files.some((file) => statSync(`${root}/src/${file}`).mtimeMs > built)
  return stale ? '`dist/mcp-gateway` (**older than src/**)' : '`dist/mcp-gateway`'
}

/** `child.ts` as the gateway is to start it: one for each session, to which many calls go at once. */
export function child(called: string, listed: number) {
  const args = [`${import.meta.dir}/child.ts`, called, `${listed}`]
  return { command: process.execPath, args, isolation: 'session' }
}

/** Takes servers, and options besides the default ones, and other sections, as they are written in a configuration. */
export async function serveGateway(
  mcpServers: object,
  bench: Bench,
  options: object = {},
  rest: object = {},
): Promise<Server> {
  const config = `${bench.directory}/${randomUUID()}.json`
  const gateway = { host: '127.0.0.1', ...options }
  await Bun.write(config, JSON.stringify({ gateway, mcpServers, ...rest }))
  const command = existsSync(compiled) ? [compiled] : [process.execPath, source]
  const flags = ['--config', config, '--log-level', 'warn']
  return serve((port) => [...command, ...flags, '--port', `${port}`], bench)
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
    await using server = await serveGateway({ bench: child('read', 1) }, bench)
    start.ready.push(server.ready)
    if (time > 0) continue
    await Bun.sleep(1000)
    bench.signal.throwIfAborted()
    start.idleRss = rssOf(server.child.pid)
  }
  return start
}
