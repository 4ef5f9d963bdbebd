/**
 * The official suites judge the fixture server directly, then through the gateway: same verdicts, check by check.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { type Check, runSuite, type Suite } from './suite.ts'

const MINUTE = 60_000

/** What the suite saw go by, as often as it did; no judgement. */
const TRACES = new Set([
  'outgoing-request',
  'incoming-response',
  'incoming-sse-event',
  'stream-closed',
])

let server: Bun.Subprocess<'ignore', 'pipe', 'inherit'>
let direct: string
let gateway: TestGateway

beforeAll(async () => {
  const { command, args } = stdio('everything')
  server = Bun.spawn([command, ...args!, '--http'], { stdin: 'ignore', stdout: 'pipe' })
  const { value } = await server.stdout.getReader().read()
  direct = new TextDecoder().decode(value).trim().replace('listening ', '')
  // In one scenario the fixture closes its stream and answers 300 ms later. Over stdio it has none: then the gateway
  // closes one, and the one that resumes it lives long enough for the answer.
  gateway = startGateway({ everything: stdio('everything') }, { streamLifetime: 200 })
})

afterAll(async () => {
  server.kill()
  await Promise.all([server.exited, gateway.close()])
})

const verdicts = (checks: Check[]) =>
  checks
    .filter(({ check }) => !TRACES.has(check.split('#')[0]!))
    .map(({ scenario, check, status }) => `${scenario}: ${check}: ${status}`)

const count = (checks: Check[], status: Check['status']) =>
  checks.filter((check) => check.status === status).length

describe.each<[Suite, number]>([
  ['0.1.16', 44],
  ['0.2.0-alpha.12', 84],
])('conformance suite %s', (suite, good) => {
  let checks: Check[]

  test(
    'finds no fault with the fixture itself',
    async () => {
      checks = await runSuite(suite, direct)
      expect(checks.filter(({ status }) => status === 'FAILURE')).toEqual([])
      expect(count(checks, 'SUCCESS')).toBe(good)
    },
    MINUTE,
  )

  test.each(['everything/mcp', 'mcp'])(
    'gives the same verdicts through /%s',
    async (path) => {
      const through = await runSuite(suite, new URL(path, gateway.url).href)
      expect(through.filter(({ status }) => status === 'FAILURE')).toEqual([])
      expect(verdicts(through)).toEqual(verdicts(checks))
    },
    MINUTE,
  )
})
