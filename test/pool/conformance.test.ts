/** However its processes are shared, the official suite finds a server as good as without us. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Check, runSuite } from '../conformance/suite.ts'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { type RemoteServer, startServer } from '../support/remote-servers.ts'

const MINUTE = 60_000
const SUITE = '0.2.0-alpha.12'
const ISOLATIONS = ['user', 'session', 'shared'] as const

/** What the suite saw go by, as often as it did; no judgement. */
const TRACES = new Set([
  'outgoing-request',
  'incoming-response',
  'incoming-sse-event',
  'stream-closed',
])

const verdicts = (checks: Check[]) =>
  checks
    .filter(({ check }) => !TRACES.has(check.split('#')[0]!))
    .map(({ scenario, check, status }) => `${scenario}: ${check}: ${status}`)

let server: RemoteServer
let gateway: TestGateway
let direct: Check[]

beforeAll(async () => {
  server = await startServer(['--http'])
  const servers = ISOLATIONS.map((isolation) => [isolation, stdio('everything', { isolation })])
  gateway = startGateway(Object.fromEntries(servers), { streamLifetime: 200 })
  direct = await runSuite(SUITE, server.url.href)
}, MINUTE)

afterAll(async () => {
  await gateway.close()
  await server[Symbol.asyncDispose]()
})

test.each(ISOLATIONS)(
  'the verdicts under `%s` are those without a gateway',
  async (isolation) => {
    const through = await runSuite(SUITE, gateway.at(isolation).href)
    expect(through.filter(({ status }) => status === 'FAILURE')).toEqual([])
    expect(verdicts(through)).toEqual(verdicts(direct))
  },
  MINUTE,
)
