/**
 * Rates of targets that answer the same question, measured in turn (A B C A B C …), because the
 * machine's speed drifts and only neighbours compare. Each question meets freshly started targets,
 * so that memory says what that question takes.
 */
import type { Sample } from './load.ts'
import { settled } from './proc.ts'
import type { Question } from './question.ts'
import type { Bench } from './server.ts'
import { openTarget, type TargetName } from './target.ts'

export interface Pace {
  inFlight: number[]
  rounds: number
  seconds: number
}

export interface Measurement extends Sample {
  target: TargetName
  /** The title of the question. */
  question: string
  inFlight: number
  round: number
  /** Whether it began although the machine was not at rest. */
  restless: boolean
}

export async function measureRates(
  names: readonly TargetName[],
  questions: readonly Question[],
  { inFlight: numbers, rounds, seconds }: Pace,
  bench: Bench,
): Promise<Measurement[]> {
  const measurements: Measurement[] = []
  for (const question of questions) {
    const { title } = question
    await using open = new AsyncDisposableStack()
    const ready = []
    for (const name of names) {
      const target = open.use(await during(name, title, openTarget(name, bench)))
      await during(name, title, target.warm(question))
      ready.push(target)
    }
    for (const inFlight of numbers) {
      for (let round = 1; round <= rounds; round++) {
        for (const target of ready) {
          bench.signal.throwIfAborted()
          const restless = !(await settled())
          const { name } = target
          const measuring = target.measure(question, { inFlight, seconds })
          const sample = await during(name, title, measuring)
          measurements.push({ target: name, question: title, inFlight, round, restless, ...sample })
          const rate = `${Math.round(sample.rate)}/s`
          console.error(`${title}, ${inFlight} in flight, round ${round}: ${name} ${rate}`)
        }
      }
    }
  }
  return measurements
}

async function during<T>(name: TargetName, title: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    throw new Error(`${name}, ${title}: ${(cause as Error).message}`, { cause })
  }
}
