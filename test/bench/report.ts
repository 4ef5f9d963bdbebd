/**
 * Measurements as Markdown for the README. Absolute numbers are medians over the rounds; a ratio is
 * the median of the ratios of each round, whose two sides were measured within seconds of one
 * another: the machine's moods cancel out.
 */
import type { Sample } from './load.ts'
import type { Call } from './result.ts'
import { type Start, type TargetName, targets } from './target.ts'

export interface Measurement extends Sample {
  target: TargetName
  call: Call
  inFlight: number
  round: number
}

export interface Outcome {
  command: string
  date: string
  machine: { cpu: string; cores: number; kernel: string; bun: string; wrk: string }
  gateway: string
  rounds: number
  seconds: number
  start: Start | undefined
  /** How many measurements began although the machine was not at rest. */
  restless: number
  measurements: Measurement[]
}

export function reportOf(outcome: Outcome): string {
  const { machine, measurements, rounds, seconds, restless } = outcome
  const names = namesIn(measurements)
  // Until there is a gateway, the relay is what can be looked at.
  const subjects = names.filter(
    (name) => name === (names.includes('gateway') ? 'gateway' : 'relay'),
  )
  const parts = [
    `\`${outcome.command}\`, ${outcome.date}: ${machine.cores} cores of ${machine.cpu}, ` +
      `${machine.kernel}, Bun ${machine.bun}, wrk ${machine.wrk}, gateway: ${outcome.gateway}. ` +
      `Rounds of ${seconds} s: ${rounds}, the targets in turn. ` +
      'Load generator, target and server share the cores.',
    names.map((name) => `- **${name}**: ${targets[name]}`).join('\n'),
    'Each cell: requests/s · p50 / p99 ms · CPU µs per call of the target · its RSS in MB.',
    absoluteTable(measurements),
    ...subjects.flatMap((name) => [
      `**${name}** compared (medians of the ratios of each round):`,
      ratioTable(measurements, name),
    ]),
    outcome.start && startText(outcome.start),
    'The load is closed: each connection asks again when it was answered. All share one MCP ' +
      'session. wrk corrects its percentiles for what it could not ask meanwhile, direct does ' +
      'not. Answers are ASCII.',
    restless > 0 && `${restless} of ${measurements.length} measurements began on a busy machine.`,
  ]
  return parts.filter(Boolean).join('\n\n')
}

function startText({ ready, idleRss }: Start): string {
  const [least, middle, most] = [Math.min(...ready), median(ready), Math.max(...ready)].map(
    Math.round,
  )
  return (
    `Start of the gateway, from exec to the first answer: ${middle} ms ` +
    `(${least}–${most}, ${ready.length} starts). ` +
    `Idle RSS a second later: ${megabytes(idleRss)} MB.`
  )
}

function absoluteTable(measurements: Measurement[]): string {
  const names = namesIn(measurements)
  const head = ['result', 'in flight', ...names]
  const rows = cells(measurements).map((cell) => [
    sizeText(cell[0]!.call),
    `${cell[0]!.inFlight}`,
    ...names.map((name) => {
      const of = (metric: keyof Sample) =>
        median(cell.filter((each) => each.target === name).map((each) => each[metric]))
      const times = `${short(of('p50'))} / ${short(of('p99'))}`
      return `${whole(of('rate'))} · ${times} · ${short(of('cpu'))} · ${megabytes(of('rss'))}`
    }),
  ])
  return table(head, rows)
}

/** What `subject` costs beside the others; columns for those that were measured. */
function ratioTable(measurements: Measurement[], subject: TargetName): string {
  const others = namesIn(measurements)
  const columns: Column[] = [
    ['echo', 'req/s ÷ echo', (own, other) => own.rate / other.rate],
    ['relay', 'req/s ÷ relay', (own, other) => own.rate / other.rate],
    ['direct', 'p50 − direct, ms', (own, other) => own.p50 - other.p50],
    ['relay', 'p50 − relay, ms', (own, other) => own.p50 - other.p50],
    ['echo', 'CPU ÷ echo', (own, other) => own.cpu / other.cpu],
    ['relay', 'CPU ÷ relay', (own, other) => own.cpu / other.cpu],
  ]
  const shown = columns.filter(([other]) => other !== subject && others.includes(other))
  const head = ['result', 'in flight', ...shown.map(([, title]) => title)]
  const rows = cells(measurements).map((cell) => [
    sizeText(cell[0]!.call),
    `${cell[0]!.inFlight}`,
    ...shown.map(([name, , compare]) => {
      const own = cell.filter((each) => each.target === subject)
      const pairs = own.flatMap((each) => {
        const other = cell.find(({ target, round }) => target === name && round === each.round)
        return other ? [compare(each, other)] : []
      })
      return short(median(pairs))
    }),
  ])
  return table(head, rows)
}

export function sizeText({ shape, bytes }: Call): string {
  if (bytes < 1024) return `${bytes} B`
  const size = bytes < 2 ** 20 ? `${bytes / 1024} KB` : `${bytes / 2 ** 20} MB`
  return `${size} ${shape}`
}

type Column = [other: TargetName, title: string, compare: (own: Sample, other: Sample) => number]

/** What belongs in one row, in the order measured. */
function cells(measurements: Measurement[]): Measurement[][] {
  const keyOf = ({ call, inFlight }: Measurement) => `${sizeText(call)} ${inFlight}`
  return [...Map.groupBy(measurements, keyOf).values()]
}

function namesIn(measurements: Measurement[]): TargetName[] {
  return [...new Set(measurements.map(({ target }) => target))]
}

function table(head: string[], rows: string[][]): string {
  const rule = head.map((_, index) => (index === 0 ? '---' : '---:'))
  return [head, rule, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

function megabytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0)
}

/** Two or three significant digits. */
function short(value: number): string {
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}
