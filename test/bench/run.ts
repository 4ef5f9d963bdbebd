/**
 * `bun run bench`: compares the gateway with what it could cost at least, in one run and on one
 * machine.
 *
 * Targets are measured in turn (A B C A B C …), because the machine's speed drifts and only
 * neighbours compare. Each size of result meets freshly started targets, so that memory says what
 * that size takes. The tables go to stdout, progress to stderr; any wrong answer ends the run with
 * exit code 1.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, release, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { settled } from './proc.ts'
import { type Measurement, type Outcome, reportOf, sizeText } from './report.ts'
import type { Call } from './result.ts'
import type { Bench } from './server.ts'
import { gatewayKind, measureStart, openTarget, type TargetName, targets } from './target.ts'

const usage = `bun run bench [options]

  --rounds N      measurements of each, medians are shown (5)
  --seconds S     length of one measurement (0.8)
  --quick         one short round: --rounds 1 --seconds 0.3
  --only LIST     of ${Object.keys(targets).join(',')} (all)
  --results LIST  such as 200,10240/text,1048576/structured (all five)
  --in-flight LIST  (1,16,64)
  --json FILE     every single measurement

Targets:
${Object.entries(targets)
  .map(([name, what]) => `  ${name.padEnd(8)} ${what}`)
  .join('\n')}`

interface Plan {
  names: TargetName[]
  calls: Call[]
  inFlight: number[]
  rounds: number
  seconds: number
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
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: 'echo,direct,relay,gateway' },
      results: {
        type: 'string',
        default: '200/text,10240/text,10240/structured,1048576/text,1048576/structured',
      },
      'in-flight': { type: 'string', default: '1,16,64' },
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
  const plan: Plan = {
    names: values.only.split(',').map(targetNamed),
    calls: values.results.split(',').map(callNamed),
    inFlight: values['in-flight'].split(',').map((count) => within(count, 1, 1000)),
    // Above 50 rounds the ids of one session would run out of digits (see `target.ts`).
    rounds: within(values.rounds ?? (values.quick ? '1' : '5'), 1, 50),
    seconds: within(values.seconds ?? (values.quick ? '0.3' : '0.8'), 0.2, 30),
  }
  if (gatewayKind() === undefined && plan.names.includes('gateway')) {
    console.error('gateway: skipped, there is neither dist/mcp-gateway nor src/main.ts')
    plan.names = plan.names.filter((name) => name !== 'gateway')
  }
  const stop = new AbortController()
  const giveUp = () => stop.abort(new Error('given up'))
  process.once('SIGINT', giveUp).once('SIGTERM', giveUp)
  const directory = await mkdtemp(`${tmpdir()}/mcp-gateway-bench-`)
  try {
    const bench = { directory, signal: stop.signal }
    const start = plan.names.includes('gateway') ? await measureStart(9, bench) : undefined
    const { measurements, restless } = await measure(plan, bench)
    const outcome: Outcome = {
      command: ['bun run bench', ...process.argv.slice(2)].join(' '),
      date: new Date().toISOString().slice(0, 10),
      machine: machine(),
      gateway: gatewayKind() ?? 'none',
      rounds: plan.rounds,
      seconds: plan.seconds,
      start,
      restless,
      measurements,
    }
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

async function measure(plan: Plan, bench: Bench) {
  const measurements: Measurement[] = []
  let restless = 0
  for (const call of plan.calls) {
    await using open = new AsyncDisposableStack()
    const ready = []
    for (const name of plan.names) {
      const target = open.use(await during(name, call, openTarget(name, bench)))
      await during(name, call, target.warm(call))
      ready.push(target)
    }
    for (const inFlight of plan.inFlight) {
      for (let round = 1; round <= plan.rounds; round++) {
        for (const target of ready) {
          bench.signal.throwIfAborted()
          if (!(await settled())) restless++
          const { name } = target
          const order = { call, inFlight, seconds: plan.seconds }
          const sample = await during(name, call, target.measure(order))
          measurements.push({ target: name, call, inFlight, round, ...sample })
          const rate = `${Math.round(sample.rate)}/s`
          console.error(`${sizeText(call)}, ${inFlight} in flight, round ${round}: ${name} ${rate}`)
        }
      }
    }
  }
  return { measurements, restless }
}

async function during<T>(name: TargetName, call: Call, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    throw new Error(`${name}, ${sizeText(call)}: ${(cause as Error).message}`, { cause })
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

function targetNamed(name: string): TargetName {
  if (Object.hasOwn(targets, name)) return name as TargetName
  throw new Error(`--only: ${name} is none of ${Object.keys(targets).join(', ')}`)
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
