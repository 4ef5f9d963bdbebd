/**
 * Kills random children of a pool under load, for half a minute, and says what became of the calls.
 *
 *     bun test/soak/kills.ts [seconds]
 *
 * Exits with 1 if a call had no answer, an error did not name the server, or the rate did not return.
 */

import { isAlive } from '../lifecycle/program.ts'
import { dialSdk1 } from '../support/clients.ts'
import { startGateway, stdio } from '../support/gateway.ts'

const SECONDS = Number(process.argv[2] ?? 30)
const EVERY = 100
const CLIENTS = 8

await using gateway = startGateway({
  everything: stdio('everything', { isolation: 'user', pool: { maxConnections: 5 } }),
})
const clients = await Promise.all(
  Array.from({ length: CLIENTS }, () => dialSdk1(gateway.at('everything'))),
)

let asked = 0
let isOver = false
const answered: number[] = []
const errors: string[] = []

const load = clients.map(async (client) => {
  while (!isOver) {
    asked++
    await client.call('whoami').then(
      () => answered.push(performance.now()),
      (error) => errors.push(String(error)),
    )
  }
})

/** Calls per second in a span of time after `start`, both in ms. */
const rate = (start: number, from: number, to: number) =>
  answered.filter((at) => at >= start + from && at < start + to).length / ((to - from) / 1000)

const begun = performance.now()
await Bun.sleep(2_000)
let kills = 0
const killing = setInterval(() => {
  const living = gateway.events.flatMap((event) =>
    event.type === 'upstream_spawned' && isAlive(event.pid) ? event.pid : [],
  )
  const victim = living[Math.floor(Math.random() * living.length)]
  if (victim === undefined) return
  process.kill(victim, 'SIGKILL')
  kills++
}, EVERY)
await Bun.sleep(SECONDS * 1_000)
clearInterval(killing)
const last = performance.now()
await Bun.sleep(4_000)
isOver = true
await Promise.all(load)

const before = rate(begun, 500, 2_000)
const after = rate(last, 2_000, 4_000)
const unnamed = errors.filter((error) => !error.includes('server "everything"'))
console.log({ kills, asked, answered: answered.length, errors: errors.length, before, after })
for (const client of clients) await client[Symbol.asyncDispose]()
const isGood =
  asked === answered.length + errors.length && unnamed.length === 0 && after > before * 0.8
process.exitCode = isGood ? 0 : 1
