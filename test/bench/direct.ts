/**
 * The floor under every gateway: one Bun process drives the fixture over stdio, without HTTP and without parsing an
 * answer (only its id is looked at). What to ask, and how many at once, arrives over Bun's IPC; the report goes back.
 */
import { openPipe } from './pipe.ts'
import { cpuOf } from './proc.ts'
import { type Call, requestText } from './result.ts'

export interface Order {
  call: Call
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

const idPlace = '"@"'
let onAnswer: (line: Buffer) => void = () => {}
let lastId = 0
const pipe = openPipe((line) => onAnswer(line))

process.on('message', async (order: Order) => process.send?.(await drive(order)))
process.on('disconnect', () => process.exit())

function drive({ call, inFlight, seconds }: Order): Promise<Report> {
  const [before = '', after = ''] = requestText(idPlace, call).split(idPlace)
  const sent: number[] = []
  const times: number[] = []
  const ask = () => {
    lastId += 1
    sent.push(performance.now())
    pipe.send(before + lastId + after)
  }
  const { promise, resolve } = Promise.withResolvers<Report>()
  const cpu = cpuOf(process.pid)
  const start = performance.now()
  const deadline = start + seconds * 1000
  const firstId = lastId + 1
  onAnswer = (line) => {
    const now = performance.now()
    const index = times.length
    // The fixture answers in order, and puts the id last.
    const tail = `"id":${firstId + index}}`
    if (line.length < call.bytes || line.toString('latin1', line.length - tail.length) !== tail) {
      throw new Error(`not the answer to ${firstId + index}: ${line.toString().slice(0, 200)}`)
    }
    times.push(now - sent[index]!)
    if (now < deadline) return ask()
    if (times.length < sent.length) return
    const used = cpuOf(process.pid) - cpu
    const sorted = Float64Array.from(times).sort()
    const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)]!
    resolve({
      calls: times.length,
      seconds: (now - start) / 1000,
      p50: at(0.5),
      p99: at(0.99),
      cpu: used,
    })
  }
  for (let count = 0; count < inFlight; count++) ask()
  return promise
}
