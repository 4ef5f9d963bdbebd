/**
 * The floor under every gateway: one Bun process drives the fixture over stdio, without HTTP and
 * without parsing an answer (only its id is looked at). What to ask, and how many at once, arrives
 * over Bun's IPC; the report goes back.
 */
import { openPipe } from './pipe.ts'
import { cpuOf } from './proc.ts'
import { idPlace } from './question.ts'

export interface Order {
  /** The request, with `idPlace` where its id belongs. */
  text: string
  /** What its result takes. */
  bytes: number
  inFlight: number
  seconds: number
}

export interface Report {
  calls: number
  seconds: number
  /** Milliseconds. */
  p50: number
  p99: number
  /** Milliseconds of this process in the whole run. */
  cpu: number
}

let onAnswer: (line: Buffer) => void = () => {}
let lastId = 0
const pipe = openPipe((line) => onAnswer(line))

process.on('message', async (order: Order) => process.send?.(await drive(order)))
process.on('disconnect', () => process.exit())

function drive({ text, bytes, inFlight, seconds }: Order): Promise<Report> {
  const [before = '', after = ''] = text.split(idPlace)
  const sent = new Float64Array(inFlight)
  const times = new Times()
  let asked = 0
  const firstId = lastId + 1
  const ask = () => {
    sent[asked % inFlight] = performance.now()
    pipe.send(before + (firstId + asked) + after)
    asked += 1
    lastId += 1
  }
  const { promise, resolve } = Promise.withResolvers<Report>()
  const cpu = cpuOf(process.pid)
  const start = performance.now()
  const deadline = start + seconds * 1000
  onAnswer = (line) => {
    const now = performance.now()
    const index = times.count
    // The fixture answers in order, and puts the id last.
    const tail = `"id":${firstId + index}}`
    if (line.length < bytes || line.toString('latin1', line.length - tail.length) !== tail) {
      throw new Error(`not the answer to ${firstId + index}: ${line.toString().slice(0, 200)}`)
    }
    times.add(now - sent[index % inFlight]!)
    if (now < deadline) return ask()
    if (times.count < asked) return
    const used = cpuOf(process.pid) - cpu
    const [p50, p99] = [times.percentile(50), times.percentile(99)]
    resolve({ calls: asked, seconds: (now - start) / 1000, p50, p99, cpu: used })
  }
  for (let count = 0; count < inFlight; count++) ask()
  return promise
}

/** Milliseconds counted by the microsecond, up to two seconds: a list of each would show in RSS. */
class Times {
  count = 0
  #buckets = new Uint32Array(2_000_000)

  add(time: number): void {
    this.count += 1
    this.#buckets[Math.min(Math.round(time * 1000), this.#buckets.length - 1)]! += 1
  }

  percentile(percent: number): number {
    let left = (this.count * percent) / 100
    let bucket = 0
    for (; left > 0; bucket++) left -= this.#buckets[bucket]!
    return (bucket - 1) / 1000
  }
}
