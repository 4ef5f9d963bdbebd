/** Whatever a server sends, nobody gets an answer that was not meant for them, and every call ends. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { call, RawSession, request } from '../support/http.ts'

let gateway: TestGateway
let session: RawSession

beforeAll(async () => {
  gateway = startGateway({
    raw: stdio('raw'),
    everything: stdio('everything'),
    missing: { command: 'no-such-program' },
    silent: {
      command: 'sh',
      args: ['-c', 'echo "cannot reach $TOKEN" >&2; exit 7'],
      env: { TOKEN: 'hunter2' },
    },
  })
  session = await RawSession.open(gateway.at('raw'))
})
afterAll(() => gateway.close())

const textOf = (answer: string) => JSON.parse(answer).result.content[0].text as string

describe('an answer that closes its envelope early', () => {
  test.each([
    'duplicate-members',
    'duplicate-id',
    'early-close',
    'two-values',
    'bad-literal',
    'raw-control',
  ])('reaches nobody (%s)', async (variant) => {
    // The victim is asked next, so it has the id that the hijacker aims at.
    const hijacked = session.post(call('hijacked', 'hijack', { variant }))
    const victim = session.post(call('victim', 'wrong_id'))
    const answer = await (await hijacked).json()
    expect(answer).toMatchObject({
      id: 'hijacked',
      error: { code: -32603, data: { code: 'upstream_protocol', server: 'raw' } },
    })
    expect(textOf(await (await victim).text())).toBe('right')
  })
})

test('noise between messages is skipped and told', async () => {
  expect(textOf(await session.call(1, 'noise'))).toBe('after the noise')
  const event = await gateway.event('upstream_noise', ({ text }) => text.startsWith('Server'))
  expect(event).toMatchObject({ server: 'raw', text: 'Server listening on stdio' })
})

test.each([
  ['crlf', 'crlf'],
  ['split', 'in three parts'],
  ['twice', 'first'],
  ['wrong_id', 'right'],
])('%s: the right answer arrives, once', async (name, text) => {
  expect(textOf(await session.call(2, name))).toBe(text)
  expect(textOf(await session.call(3, 'wrong_id'))).toBe('right')
})

test('an answer that comes after its call was cancelled is dropped', async () => {
  const late = session.post(call(4, 'late'))
  const cancel = { requestId: 4, reason: 'changed my mind' }
  await session.post(request(undefined, 'notifications/cancelled', cancel))
  const response = await late
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  expect(await response.text()).toBe('')
  expect(textOf(await session.call(4, 'wrong_id'))).toBe('right')
})

test('a server that dies in mid-call: the call ends at once, the next one gets a fresh server', async () => {
  const other = await RawSession.open(gateway.at('everything'))
  const pid = textOf(await other.call(1, 'pid'))
  const crashed = other.post(call(2, 'crash'))
  const waiting = other.post(call(3, 'wait'))
  for (const [id, response] of [
    [2, crashed],
    [3, waiting],
  ] as const) {
    const answer = await (await response).json()
    expect(answer).toMatchObject({
      id,
      error: { data: { code: 'upstream_closed', server: 'everything' } },
    })
    expect((answer as { error: Error }).error.message).toContain('exited with code 3')
  }
  expect(textOf(await other.call(4, 'pid'))).not.toBe(pid)
})

test('a command that does not exist: the server is failing, the gateway runs on', async () => {
  const { upstreams, status, ready } = await gateway.health()
  expect({ status, ready }).toEqual({ status: 'degraded', ready: true })
  expect(upstreams.missing).toMatchObject({
    state: 'failing',
    reason: 'command not found: no-such-program',
  })
  const refused = await RawSession.open(gateway.at('missing')).catch((error) => String(error))
  expect(refused).toContain('upstream_unreachable')
  expect(refused).toContain('no-such-program')
  expect(textOf(await session.call(5, 'wrong_id'))).toBe('right')
})

test.each([
  [
    { command: 'npx -y server' },
    'command not found: npx -y server; arguments are written under "args"',
  ],
  [{ command: '~/bin/server' }, 'command not found: ~/bin/server; "~" is not expanded here'],
  [{ command: 'cat', cwd: '/no/such/place' }, 'its cwd does not exist: /no/such/place'],
])('what cannot start is known beforehand: %j', async (server, reason) => {
  await using other = startGateway({ server })
  expect((await other.health()).upstreams.server).toMatchObject({ state: 'failing', reason })
})

test('a server that cannot start says why, without repeating its secrets', async () => {
  const refused = await RawSession.open(gateway.at('silent')).catch((error) => String(error))
  expect(refused).toContain('exited with code 7')
  expect(refused).toContain('cannot reach [secret]')
  expect(JSON.stringify(await gateway.health())).not.toContain('hunter2')
  expect(JSON.stringify(gateway.events)).not.toContain('hunter2')
})
