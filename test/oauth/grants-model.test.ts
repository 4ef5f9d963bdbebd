/** Refresh tokens in whatever order they come back, compared with what must be true of them. */
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { TokenSet } from '../../src/auth/grants.ts'
import { DAY, HOUR, logIn, newDesk } from './approvals.ts'

type Step =
  | { do: 'refresh'; back: number; times: number }
  | { do: 'wait'; ms: number }
  | { do: 'revoke'; back: number }
  | { do: 'foreign'; back: number }

const back = fc.nat(3)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('refresh' as const),
      back,
      times: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1_000, 30_000, 59_500, 61_000, HOUR, DAY),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revoke' as const), back }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('foreign' as const), back }) },
)

/** What must be true, told in generations: every refresh by the current token begins one. */
class Model {
  isAlive = true
  /** Refresh tokens as they were given out, by generation. */
  readonly given: string[]
  current: string
  previous: string | undefined
  rotatedAt: number

  constructor(first: string, now: number) {
    this.rotatedAt = now
    this.given = [first]
    this.current = first
  }

  /** Whether it must be answered; it is told of the answer by `answered`. */
  judge(token: string): boolean {
    if (!this.isAlive) return false
    if (token === this.current || token === this.previous) return true
    this.isAlive = false
    return false
  }

  answered(shown: string, next: string, now: number): void {
    const isRetry = shown === this.previous
    const isSoon = isRetry && now - this.rotatedAt < 60_000
    expect(next === this.current).toBe(isSoon)
    if (!isSoon) this.rotatedAt = now
    this.previous = shown
    this.current = next
    if (!this.given.includes(next)) this.given.push(next)
  }
}

test('the current and the previous one are answered, any older one ends all, nothing else does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      let time = Date.now()
      const { grants } = newDesk({
        now: () => time,
        lifetimes: () => ({ access: HOUR, refresh: 365 * DAY }),
      })
      const first = await logIn(grants)
      const model = new Model(first.refreshToken, time)
      const accesses: { token: string; until: number }[] = []
      const remember = ({ accessToken }: TokenSet) =>
        accesses.push({ token: accessToken, until: time + HOUR })
      remember(first)
      for (const step of steps) {
        if (step.do === 'wait') {
          time += step.ms
          continue
        }
        const token = model.given.at(-1 - step.back) ?? first.refreshToken
        if (step.do === 'foreign') {
          const stolen = grants.refresh({ token, clientId: 'other' })
          await expect(stolen).rejects.toMatchObject({ code: 'invalid_grant' })
          // Whoever has an old one shows that it got around.
          model.judge(token)
        } else if (step.do === 'revoke') {
          await grants.revoke({ token, clientId: 'editor' })
          model.isAlive = false
        } else {
          const asked = Array.from({ length: step.times }, () =>
            grants.refresh({ token, clientId: 'editor' }),
          )
          for (const outcome of await Promise.allSettled(asked)) {
            expect(outcome.status).toBe(model.judge(token) ? 'fulfilled' : 'rejected')
            if (outcome.status === 'rejected') continue
            model.answered(token, outcome.value.refreshToken, time)
            remember(outcome.value)
          }
        }
        for (const { token, until } of accesses) {
          const isGood = (await grants.find(token)) !== undefined
          expect(isGood).toBe(model.isAlive && until > time)
        }
      }
    }),
    { numRuns: 300 },
  )
})
