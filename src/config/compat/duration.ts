/** Durations as Go writes them: `"1m30s"`, or a number of nanoseconds. */
import * as v from 'valibot'

/** One that is written; whether it is one is seen when it is read. */
export const goDuration = v.pipe(
  v.any(),
  v.check(
    (given) => typeof given === 'number' || typeof given === 'string',
    'must be a duration as "30s", or a number of nanoseconds',
  ),
  v.transform((given: number | string) => given),
)

/** In ms. */
const UNITS: Record<string, number> = {
  ...{ ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3 },
  ...{ ms: 1, s: 1000, m: 60_000, h: 3_600_000 },
}
const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g

/** In ms, which may be a fraction; undefined if it is no duration. */
export function milliseconds(duration: number | string): number | undefined {
  if (typeof duration === 'number') return duration / 1e6
  const [, sign, amount = ''] = /^([-+]?)(.*)$/s.exec(duration)!
  if (amount !== '0' && (amount === '' || amount.replace(PART, '') !== '')) return undefined
  const sum = [...amount.matchAll(PART)].reduce(
    (total, [, number, unit]) => total + Number(number) * UNITS[unit!]!,
    0,
  )
  return sign === '-' ? -sum : sum
}
