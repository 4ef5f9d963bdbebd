/**
 * A process under measurement, and, when it listens, the way to its first answer. Whoever starts
 * one closes it; after that neither it nor a child of it is left.
 */
import { randomUUID } from 'node:crypto'
import type { Subprocess } from 'bun'

export interface Bench {
  /** For logs and config files; removed by its owner. */
  directory: string
  /** Ends every process when the run is given up. */
  signal: AbortSignal
}

export interface Running extends AsyncDisposable {
  child: Subprocess
  /**
   * The outcome of `work`.
   *
   * @throws what `work` throws, or that the process died meanwhile, with what it wrote to stderr.
   */
  during<T>(work: Promise<T>): Promise<T>
}

export interface Server extends Running {
  origin: string
  /** From exec to the first answer, in milliseconds. */
  ready: number
}

/** How to run one of the scripts here. */
export function script(name: string): string[] {
  return [process.execPath, `${import.meta.dir}/${name}.ts`]
}

export function run(command: string[], bench: Bench, ipc?: (message: unknown) => void): Running {
  const log = Bun.file(`${bench.directory}/${randomUUID()}.log`)
  const child = Bun.spawn(command, {
    cwd: bench.directory,
    // What keeps state keeps it here; and what runs on Bun ends with us even if we are killed.
    env: { ...process.env, HOME: bench.directory, BUN_FEATURE_FLAG_NO_ORPHANS: '1' },
    stdio: ['ignore', 'ignore', log],
    signal: bench.signal,
    ...(ipc && { ipc }),
  })
  return {
    child,
    async during(work) {
      try {
        return await Promise.race([work, death(child)])
      } catch (cause) {
        bench.signal.throwIfAborted()
        const written = (await log.exists()) ? (await log.text()).slice(-2000) : ''
        throw new Error(`${(cause as Error).message}\n${written}`.trim(), { cause })
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      const timer = setTimeout(() => {
        console.error(`had to be killed, 5 s after SIGTERM: ${command.join(' ')}`)
        child.kill('SIGKILL')
      }, 5000)
      await child.exited
      clearTimeout(timer)
    },
  }
}

/** Starts a server on a port of our choice, and waits until it answers anything at all. */
export async function serve(command: (port: number) => string[], bench: Bench): Promise<Server> {
  const port = freePort()
  const origin = `http://127.0.0.1:${port}`
  const start = performance.now()
  const running = run(command(port), bench)
  try {
    await running.during(answered(`${origin}/health`, bench.signal))
    return { ...running, origin, ready: performance.now() - start }
  } catch (error) {
    await running[Symbol.asyncDispose]()
    throw error
  }
}

/** How a client introduces itself, and the headers of all that it says. */
export const hello = {
  headers: {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2025-11-25',
  },
  initialize: {
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'bench', version: '1.0.0' },
    },
  },
  initialized: { jsonrpc: '2.0', method: 'notifications/initialized' },
}

/** Opens an MCP session, and returns the headers that belong on every request of it. */
export async function openSession(
  url: string,
  always: Record<string, string> = {},
): Promise<Record<string, string>> {
  const post = async (message: object, more: Record<string, string>) => {
    const body = JSON.stringify(message)
    const headers = { ...hello.headers, ...always, ...more }
    const response = await fetch(url, { method: 'POST', headers, body })
    const text = await response.text()
    if (!response.ok) throw new Error(`${response.status} to ${body}: ${text.slice(0, 500)}`)
    return response
  }
  const initialized = await post(hello.initialize, {})
  // Targets without sessions are sent the header all the same, for equal requests.
  const session = { 'mcp-session-id': initialized.headers.get('mcp-session-id') ?? randomUUID() }
  await post(hello.initialized, session)
  return { ...hello.headers, ...always, ...session }
}

async function death(child: Subprocess): Promise<never> {
  await child.exited
  throw new Error(`ended with ${child.signalCode ?? child.exitCode}`)
}

async function answered(url: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + 20_000
  while (performance.now() < deadline) {
    signal.throwIfAborted()
    try {
      await fetch(url, { keepalive: false, signal: AbortSignal.timeout(5000) })
      return
    } catch {
      await Bun.sleep(1) // not listening yet
    }
  }
  throw new Error('no answer within 20 s')
}

function freePort(): number {
  using listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  return listener.port
}
