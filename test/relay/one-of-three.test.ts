/** One of three servers is killed, hangs and comes back under load: the other two never notice. */
import { describe, expect, test } from 'bun:test'
import { dialSdk1, type TestClient } from '../support/clients.ts'
import { type Servers, startGateway, stdio } from '../support/gateway.ts'
import { startServer } from '../support/remote-servers.ts'

/** The operator's bound for calls to a server that may hang. */
const TIMEOUT = 500

const everything = (name: string) =>
  stdio('everything', { args: [...stdio('everything').args!, '--name', name] })

/** Calls a server again and again until it is told to stop. */
class Load {
  answered = 0
  readonly failures: string[] = []
  #stopped = false
  readonly #done: Promise<unknown>

  constructor(client: TestClient, name: string, parallel: number) {
    const call = async () => {
      while (!this.#stopped) {
        await client.call(`${name}_whoami`).then(
          (text) => {
            expect(text).toBe(name)
            this.answered++
          },
          (error) => this.failures.push(String(error)),
        )
      }
    }
    this.#done = Promise.all(Array.from({ length: parallel }, call))
  }

  /** Resolves when it has been answered so many times more. */
  async more(count: number): Promise<void> {
    const wanted = this.answered + count
    while (this.answered < wanted) await new Promise(setImmediate)
  }

  /** Resolves when it has failed once more. */
  async failure(): Promise<void> {
    const before = this.failures.length
    while (this.failures.length === before) await new Promise(setImmediate)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }
}

interface Third extends AsyncDisposable {
  config: Servers[string]
  kill(client: TestClient): Promise<void>
  hang(client: TestClient): Promise<() => void>
}

const THIRDS: Record<string, () => Promise<Third>> = {
  async 'a command'() {
    const pid = async (client: TestClient) => Number(await client.call('third_pid'))
    return {
      config: { ...everything('third'), timeout: TIMEOUT },
      kill: async (client) => void process.kill(await pid(client), 'SIGKILL'),
      async hang(client) {
        const hung = await pid(client)
        process.kill(hung, 'SIGSTOP')
        return () => process.kill(hung, 'SIGCONT')
      },
      async [Symbol.asyncDispose]() {},
    }
  },
  async 'a URL'() {
    let server = await startServer(['--http', '--name', 'third'])
    const { port } = server.url
    return {
      config: { url: server.url.href, timeout: TIMEOUT },
      async kill() {
        await server[Symbol.asyncDispose]()
        server = await startServer(['--http', port, '--name', 'third'])
      },
      async hang() {
        const { pid } = server
        process.kill(pid, 'SIGSTOP')
        return () => process.kill(pid, 'SIGCONT')
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
}

describe.each(Object.keys(THIRDS))('the third is %s:', (kind) => {
  test('it is killed, comes back, hangs and comes back', async () => {
    await using third = await THIRDS[kind]!()
    await using gateway = startGateway({
      first: everything('first'),
      second: everything('second'),
      third: third.config,
    })
    await using client = await dialSdk1(new URL('mcp', gateway.url))
    await client.toolNames()
    const others = [new Load(client, 'first', 2), new Load(client, 'second', 2)]
    const load = new Load(client, 'third', 2)
    const all = (count: number) => Promise.all([...others, load].map((one) => one.more(count)))
    await all(20)

    await third.kill(client)
    await all(20)

    const wake = await third.hang(client)
    await load.failure()
    await Promise.all(others.map((one) => one.more(20)))
    wake()
    await all(20)

    for (const one of [...others, load]) await one.stop()
    for (const one of others) expect(one.failures).toEqual([])
    for (const failure of load.failures) expect(failure).toContain('server "third"')
    expect(load.failures.length).toBeGreaterThan(0)
  })
})
