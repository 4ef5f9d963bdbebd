/**
 * The official suites judge the fixture server directly, then through the gateway: same verdicts, check by check.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Servers, startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { type RemoteServer, startServer } from '../support/remote-servers.ts'
import { type Check, runSuite, type Suite } from './suite.ts'

const MINUTE = 60_000

/** What the suite saw go by, as often as it did; no judgement. */
const TRACES = new Set([
  'outgoing-request',
  'incoming-response',
  'incoming-sse-event',
  'stream-closed',
])

const TRANSPORTS = ['stdio', 'Streamable HTTP', 'SSE'] as const

const remotes: RemoteServer[] = []
const gateways = new Map<string, TestGateway>()
let direct: string

beforeAll(async () => {
  const remote = async (flag: string) => {
    const server = await startServer([flag])
    remotes.push(server)
    return server.url.href
  }
  direct = await remote('--http')
  const servers: Record<(typeof TRANSPORTS)[number], Servers[string]> = {
    stdio: stdio('everything'),
    'Streamable HTTP': { url: direct },
    SSE: { url: await remote('--sse') },
  }
  for (const transport of TRANSPORTS) {
    // In one scenario the fixture closes its stream and answers 300 ms later. Over stdio it has none: then the gateway
    // closes one, and the one that resumes it lives long enough for the answer.
    const gateway = startGateway({ everything: servers[transport] }, { streamLifetime: 200 })
    gateways.set(transport, gateway)
  }
})

afterAll(async () => {
  await Promise.all([...gateways.values()].map((gateway) => gateway.close()))
  await Promise.all(remotes.map((server) => server[Symbol.asyncDispose]()))
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

  test.each(
    TRANSPORTS.flatMap((transport) => [
      ['everything/mcp', transport],
      ['mcp', transport],
    ]),
  )(
    'gives the same verdicts through /%s, to a server over %s',
    async (path, transport) => {
      const through = await runSuite(suite, new URL(path!, gateways.get(transport!)!.url).href)
      expect(through.filter(({ status }) => status === 'FAILURE')).toEqual([])
      expect(verdicts(through)).toEqual(verdicts(checks))
    },
    MINUTE,
  )
})
