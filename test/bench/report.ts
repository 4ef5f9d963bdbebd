/**
 * Measurements as Markdown for the README. Absolute numbers are medians over the rounds; a ratio is
 * the median of the ratios of each round, whose two sides were measured within seconds of one
 * another: the machine's moods cancel out.
 */
import type { Start } from './gateway.ts'
import { type Idle, idleTargets } from './idle.ts'
import type { Sample } from './load.ts'
import type { Progress } from './progress.ts'
import type { Measurement } from './rounds.ts'
import { median, megabytes, short, table, whole } from './table.ts'
import { type TargetName, targets } from './target.ts'

/** Rates of several targets, of which one is looked at. */
export interface Comparison {
  title: string
  subject: TargetName
  measurements: Measurement[]
}

export interface Outcome {
  command: string
  date: string
  machine: { cpu: string; cores: number; kernel: string; bun: string; wrk: string }
  gateway: string
  rounds: number
  seconds: number
  comparisons: Comparison[]
  progress: Progress[]
  idle: Idle[]
  start: Start | undefined
}

export function reportOf(outcome: Outcome): string {
  const { machine, comparisons, progress, idle, start, rounds, seconds } = outcome
  const rates = comparisons.flatMap(({ measurements }) => measurements)
  const taken = [...rates, ...progress]
  const measured = new Set(taken.map(({ target }) => target))
  const legend = Object.entries(targets).filter(([name]) => measured.has(name as TargetName))
  const restless = taken.filter((each) => each.restless).length
  const parts = [
    `\`${outcome.command}\`, ${outcome.date}: ${machine.cores} cores of ${machine.cpu}, ` +
      `${machine.kernel}, Bun ${machine.bun}, wrk ${machine.wrk}, gateway: ${outcome.gateway}. ` +
      `Rounds of ${seconds} s: ${rounds}, the targets in turn. ` +
      'Load generator, target and server share the cores.',
    legend.map(([name, what]) => `- **${name}**: ${what}`).join('\n'),
    rates.length > 0 &&
      'Each cell: requests/s · p50 / p99 ms · CPU µs per call of the target · its RSS in MB.',
    ...comparisons.map(comparisonText),
    rates.length > 0 &&
      'The load is closed: each connection asks again when it was answered. All share one MCP ' +
        'session. wrk corrects its percentiles for what it could not ask meanwhile, direct does ' +
        'not. Answers are ASCII.',
    progress.length > 0 && progressText(progress),
    idle.length > 0 && idleText(idle),
    start && startText(start),
    restless > 0 && `${restless} of ${taken.length} measurements began on a busy machine.`,
  ]
  return parts.filter(Boolean).join('\n\n')
}

function comparisonText({ title, subject, measurements }: Comparison): string {
  const ratios = ratioTable(measurements, subject)
  return [
    `${title}:`,
    absoluteTable(measurements),
    ratios && `**${subject}** compared (medians of the ratios of each round):`,
    ratios,
  ]
    .filter(Boolean)
    .join('\n\n')
}

function absoluteTable(measurements: Measurement[]): string {
  const names = namesIn(measurements)
  const head = ['result', 'in flight', ...names]
  const rows = cells(measurements).map((cell) => [
    cell[0]!.question,
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
function ratioTable(measurements: Measurement[], subject: TargetName): string | undefined {
  const others = namesIn(measurements)
  const columns: Column[] = [
    ['echo', 'req/s ÷ echo', (own, other) => own.rate / other.rate],
    ['relay', 'req/s ÷ relay', (own, other) => own.rate / other.rate],
    ['gateway', 'req/s ÷ gateway', (own, other) => own.rate / other.rate],
    ['direct', 'p50 − direct, ms', (own, other) => own.p50 - other.p50],
    ['relay', 'p50 − relay, ms', (own, other) => own.p50 - other.p50],
    ['gateway', 'p50 − gateway, ms', (own, other) => own.p50 - other.p50],
    ['echo', 'CPU ÷ echo', (own, other) => own.cpu / other.cpu],
    ['relay', 'CPU ÷ relay', (own, other) => own.cpu / other.cpu],
    ['gateway', 'CPU ÷ gateway', (own, other) => own.cpu / other.cpu],
  ]
  const shown = columns.filter(([other]) => other !== subject && others.includes(other))
  if (shown.length === 0) return undefined
  const head = ['result', 'in flight', ...shown.map(([, title]) => title)]
  const rows = cells(measurements).map((cell) => [
    cell[0]!.question,
    `${cell[0]!.inFlight}`,
    ...shown.map(([name, , compare]) => short(median(compared(cell, subject, name, compare)))),
  ])
  return table(head, rows)
}

type Column = [other: TargetName, title: string, compare: (own: Sample, other: Sample) => number]

function progressText(measured: Progress[]): string {
  const echo = measured.filter(({ target }) => target === 'echo')
  const head = ['progress', 'events/s', 'CPU µs per event', 'CPU ÷ echo', 'RSS in MB']
  const rows = [...Map.groupBy(measured, ({ target }) => target)].map(([name, all]) => {
    const of = (metric: 'rate' | 'cpu' | 'rss') => median(all.map((each) => each[metric]))
    const ratios = compared([...all, ...echo], name, 'echo', (own, other) => own.cpu / other.cpu)
    return [
      `**${name}**`,
      whole(of('rate')),
      short(of('cpu')),
      short(median(ratios)),
      megabytes(of('rss')),
    ]
  })
  const heard = measured.reduce((sum, { events }) => sum + events, 0)
  return [
    'Calls that report their progress 10,000 times, one after the other, over Streamable HTTP:',
    table(head, rows),
    `All ${whole(heard)} events were counted at the client: none was lost, none came out of order.`,
  ].join('\n\n')
}

function idleText(measured: Idle[]): string {
  const head = ['idle', 'sessions', 'KB each', 'RSS in MB', 'CPU', 'opened in']
  const rows = measured.map(({ target, sessions, before, after, cpuShare, opening }) => [
    `**${target}**: ${idleTargets[target]}`,
    whole(sessions),
    short((after - before) / sessions / 1024),
    `${megabytes(before)} → ${megabytes(after)}`,
    `${short(cpuShare * 100)} %`,
    `${short(opening)} s`,
  ])
  return [
    `Sessions that hold an event stream open and say nothing, after ${measured[0]!.seconds} s; ` +
      'CPU of one core meanwhile; without what the kernel keeps for sockets:',
    table(head, rows),
  ].join('\n\n')
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

/** What belongs in one row, in the order measured. */
function cells(measurements: Measurement[]): Measurement[][] {
  const keyOf = ({ question, inFlight }: Measurement) => `${question} ${inFlight}`
  return [...Map.groupBy(measurements, keyOf).values()]
}

/** One target with another, round by round. */
function compared<T extends { target: TargetName; round: number }>(
  all: T[],
  subject: TargetName,
  other: TargetName,
  compare: (own: T, other: T) => number,
): number[] {
  return all
    .filter(({ target }) => target === subject)
    .flatMap((own) => {
      const pair = all.find(({ target, round }) => target === other && round === own.round)
      return pair ? [compare(own, pair)] : []
    })
}

function namesIn(measured: { target: TargetName }[]): TargetName[] {
  return [...new Set(measured.map(({ target }) => target))]
}
