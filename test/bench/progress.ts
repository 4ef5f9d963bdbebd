/**
 * One call that reports its progress 10,000 times, as fast as its server can write: what each event
 * costs, and that the client gets all of them, in order. The client reads as fast as it can.
 */
import { burstCall, burstResult, progressText } from './burst.ts'
import { cpuOf, rssOf, settled } from './proc.ts'
import { type Bench, openSession } from './server.ts'
import { type Endpoint, type HttpTargetName, serveTarget } from './target.ts'

export interface Progress {
  target: HttpTargetName
  round: number
  /** How many were counted; none was lost. */
  events: number
  /** Events per second. */
  rate: number
  /** Microseconds of the target, user and system, per event. */
  cpu: number
  /** After the last event, in bytes. */
  rss: number
  restless: boolean
}

const names = ['echo', 'relay', 'gateway'] as const
const events = 10_000

/** @throws when an event is lost, comes twice, or in another order. */
export async function measureProgress(
  { rounds, seconds }: { rounds: number; seconds: number },
  bench: Bench,
): Promise<Progress[]> {
  const measured: Progress[] = []
  await using open = new AsyncDisposableStack()
  const clients: Client[] = []
  for (const name of names) {
    const endpoint = open.use(await serveTarget(name, bench))
    const client = new Client(name, endpoint, await endpoint.during(openSession(endpoint.url)))
    await client.burst()
    clients.push(client)
  }
  for (let round = 1; round <= rounds; round++) {
    for (const client of clients) {
      bench.signal.throwIfAborted()
      const restless = !(await settled())
      const sample = await client.measure(seconds)
      measured.push({ target: client.target, round, restless, ...sample })
      const said = `${Math.round(sample.rate)}/s, ${sample.cpu.toFixed(1)} µs each`
      console.error(`progress, round ${round}: ${client.target} ${said}`)
    }
  }
  return measured
}

class Client {
  readonly target: HttpTargetName
  readonly #endpoint: Endpoint
  readonly #headers: Record<string, string>
  #lastId = 0

  constructor(target: HttpTargetName, endpoint: Endpoint, headers: Record<string, string>) {
    this.target = target
    this.#endpoint = endpoint
    this.#headers = headers
  }

  /** Calls again and again, since one call is short beside the clock of the kernel. */
  async measure(seconds: number) {
    const { pid } = this.#endpoint.child
    const cpu = cpuOf(pid)
    const start = performance.now()
    let calls = 0
    do {
      await this.burst()
      calls += 1
    } while (performance.now() - start < seconds * 1000)
    const time = performance.now() - start
    const heard = calls * events
    return {
      events: heard,
      rate: (heard / time) * 1000,
      cpu: ((cpuOf(pid) - cpu) * 1000) / heard,
      rss: rssOf(pid),
    }
  }

  /** One call, and all that is said until it is answered. */
  burst(): Promise<void> {
    return this.#endpoint.during(this.#burst()).catch((cause) => {
      throw new Error(`${this.target}, progress: ${cause.message}`, { cause })
    })
  }

  async #burst(): Promise<void> {
    const id = ++this.#lastId
    const response = await fetch(this.#endpoint.url, {
      method: 'POST',
      headers: this.#headers,
      body: JSON.stringify(burstCall(id, events)),
    })
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
    let heard = 0
    for await (const text of messages(response.body!)) {
      heard += 1
      const expected = heard > events ? answer(id) : JSON.parse(progressText(id, heard, events))
      if (!Bun.deepEquals(JSON.parse(text), expected)) {
        throw new Error(`message ${heard} of ${events} and the answer is ${text.slice(0, 300)}`)
      }
    }
    if (heard <= events) throw new Error(`the stream ended after ${heard} of ${events} events`)
  }
}

function answer(id: number): object {
  return { jsonrpc: '2.0', id, result: burstResult({ events }) }
}

/** The data of each event that has some, as the targets write it: on one line. */
async function* messages(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let begun = ''
  for await (const bytes of body) {
    const parts = (begun + decoder.decode(bytes, { stream: true })).split('\n\n')
    begun = parts.pop()!
    for (const event of parts) {
      const data = /^data: ?(\S.*)$/m.exec(event)?.[1]
      if (data !== undefined) yield data
    }
  }
}
