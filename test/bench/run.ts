/**
 * `bun run bench`: compares the gateway with what it could cost at least, in one run and on one
 * machine.
 *
 * The tables go to stdout, progress to stderr; any wrong answer, lost event or lost session ends
 * the run with exit code 1.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, release, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { gatewayKind, measureStart } from './gateway.ts'
import { measureIdle } from './idle.ts'
import { measureProgress } from './progress.ts'
import { calling, listing, type Question } from './question.ts'
import { type Comparison, type Outcome, reportOf } from './report.ts'
import type { Call } from './result.ts'
import { measureRates, type Pace } from './rounds.ts'
import type { Bench } from './server.ts'
import { type TargetName, targets } from './target.ts'

const parts = {
  calls: 'calls of one tool, by the size of its result; and the start of the gateway',
  names: 'what naming rules cost a call',
  logins: 'what it costs a call to ask who it is',
  lists: '`tools/list` of many servers merged',
  progress: '10,000 progress notifications of one call',
  idle: 'thousands of sessions that do nothing',
}
type Part = keyof typeof parts

const callTargets = ['echo', 'direct', 'relay', 'gateway', 'pooled'] as const

const usage = `bun run bench [options]

  --measure LIST  of ${Object.keys(parts).join(',')} (all)
  --rounds N      measurements of each, medians are shown (5)
  --seconds S     length of one measurement (0.8)
  --quick         one short round: --rounds 1 --seconds 0.3 --sessions 500 --idle 1
  --in-flight LIST  (1,16,64)
  --only LIST     for calls, of ${callTargets.join(',')} (all)
  --results LIST  for calls, such as 200,10240/text,1048576/structured (all five)
  --sessions N    for idle (5000)
  --idle S        for idle, how long nothing happens (30)
  --json FILE     every single measurement

Measurements:
${lines(parts)}

Targets:
${lines(targets)}`

interface Plan extends Pace {
  parts: Part[]
  names: TargetName[]
  calls: Question[]
  sessions: number
  idle: number
}

process.exit(
  await main().catch((error: Error) => {
    console.error(error.message)
    return 2
  }),
)

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      measure: { type: 'string', default: Object.keys(parts).join() },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: callTargets.join() },
      results: {
        type: 'string',
        default: '200/text,10240/text,10240/structured,1048576/text,1048576/structured',
      },
      'in-flight': { type: 'string', default: '1,16,64' },
      sessions: { type: 'string' },
      idle: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    return 0
  }
  if (!Bun.which('wrk')) {
    console.error('wrk is missing, which makes the load: apt-get install wrk')
    return 1
  }
  const { quick } = values
  const plan: Plan = {
    parts: chosen('--measure', values.measure, Object.keys(parts) as Part[]),
    names: chosen('--only', values.only, callTargets),
    calls: values.results.split(',').map((text) => calling(callNamed(text))),
    inFlight: values['in-flight'].split(',').map((count) => within(count, 1, 1000)),
    // Above 50 rounds the ids of one session would run out of digits (see `target.ts`).
    rounds: within(values.rounds ?? (quick ? '1' : '5'), 1, 50),
    seconds: within(values.seconds ?? (quick ? '0.3' : '0.8'), 0.2, 30),
    sessions: within(values.sessions ?? (quick ? '500' : '5000'), 1, 20_000),
    idle: within(values.idle ?? (quick ? '1' : '30'), 1, 3600),
  }
  const stop = new AbortController()
  const giveUp = () => stop.abort(new Error('given up'))
  process.once('SIGINT', giveUp).once('SIGTERM', giveUp)
  const directory = await mkdtemp(`${tmpdir()}/mcp-gateway-bench-`)
  try {
    const outcome = await measure(plan, { directory, signal: stop.signal })
    if (values.json) await Bun.write(values.json, JSON.stringify(outcome, null, 2))
    console.log(reportOf(outcome))
    return 0
  } catch (error) {
    if (stop.signal.aborted) return 130
    console.error(`\nThe benchmark failed: ${(error as Error).message}`)
    return 1
  } finally {
    stop.abort()
    await rm(directory, { recursive: true, force: true })
  }
}

async function measure(plan: Plan, bench: Bench): Promise<Outcome> {
  const wants = (part: Part) => plan.parts.includes(part)
  const withStart = wants('calls') && plan.names.includes('gateway')
  const start = withStart ? await measureStart(9, bench) : undefined
  const comparisons: Comparison[] = []
  const compare = async (title: string, names: TargetName[], questions: Question[]) => {
    const measurements = await measureRates(names, questions, plan, bench)
    comparisons.push({ title, subject: names.at(-1)!, measurements })
  }
  if (wants('calls')) await compare('Calls of one tool', plan.names, plan.calls)
  if (wants('names')) {
    const call = calling({ shape: 'text', bytes: 200 })
    await compare('Calls with and without naming rules', ['echo', 'gateway', 'ruled'], [call])
  }
  if (wants('logins')) {
    const call = calling({ shape: 'text', bytes: 200 })
    await compare('Calls with and without a token', ['echo', 'gateway', 'guarded'], [call])
  }
  if (wants('lists')) await compare('`tools/list`', ['echo', 'merged'], [listing()])
  const progress = wants('progress') ? await measureProgress(plan, bench) : []
  const idle = wants('idle') ? await measureIdle(plan.sessions, plan.idle, bench) : []
  return {
    command: ['bun run bench', ...process.argv.slice(2)].join(' '),
    date: new Date().toISOString().slice(0, 10),
    machine: machine(),
    gateway: gatewayKind(),
    rounds: plan.rounds,
    seconds: plan.seconds,
    comparisons,
    progress,
    idle,
    start,
  }
}

function machine() {
  return {
    cpu: cpus()[0]?.model ?? 'unknown CPU',
    cores: cpus().length,
    kernel: `${process.platform} ${release()}`,
    bun: Bun.version,
    wrk: /^wrk (\S+)/.exec(Bun.spawnSync(['wrk', '-v']).stdout.toString())?.[1] ?? 'unknown',
  }
}

function lines(described: Record<string, string>): string {
  return Object.entries(described)
    .map(([name, what]) => `  ${name.padEnd(8)} ${what}`)
    .join('\n')
}

/** In the order of `known`. */
function chosen<Name extends string>(option: string, text: string, known: readonly Name[]): Name[] {
  const names = text.split(',')
  const stranger = names.find((name) => !known.includes(name as Name))
  if (stranger === undefined) return known.filter((name) => names.includes(name))
  throw new Error(`${option}: ${stranger} is none of ${known.join(', ')}`)
}

function callNamed(text: string): Call {
  const [bytes, shape = 'text'] = text.split('/')
  if (shape !== 'text' && shape !== 'structured') throw new Error(`--results: no shape ${shape}`)
  return { shape, bytes: within(bytes ?? '', shape === 'text' ? 60 : 300, 2 ** 26) }
}

function within(text: string, least: number, most: number): number {
  const value = Number(text)
  if (value >= least && value <= most) return value
  throw new Error(`expected a number from ${least} to ${most}, got ${text}`)
}
