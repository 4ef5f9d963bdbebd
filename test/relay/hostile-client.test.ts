/** What a client does wrong is its own trouble. */
import { expect, test } from 'bun:test'
import { startGateway, stdio } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'

const FLOOD = 1_000

test('progress and cancellations that belong to nothing go nowhere', async () => {
  await using gateway = startGateway({ raw: stdio('raw') })
  const [flooding, other] = [
    await RawSession.open(gateway.at('raw')),
    await RawSession.open(gateway.at('raw')),
  ]
  const noise = Array.from({ length: FLOOD }, (_, i) => {
    const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${i},"progress":1}}`
    const cancelled = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${i}}}`
    return flooding.post(i % 2 ? progress : cancelled)
  })
  expect(await other.call(1, 'crlf')).toContain('"id":1')
  expect(new Set((await Promise.all(noise)).map(({ status }) => status))).toEqual(new Set([202]))
  // What the server got next, after none of them: it is asked with the second id that was minted for it.
  const answer = JSON.parse(await flooding.call('mine', 'echo'))
  expect(JSON.parse(answer.result.content[0].text)).toMatchObject({ id: 2, method: 'tools/call' })
})

test('an answer that nobody waits for goes nowhere', async () => {
  await using gateway = startGateway({ raw: stdio('raw') })
  const session = await RawSession.open(gateway.at('raw'))
  for (const id of ['1', '"x"', 'null', '2147483648']) {
    const answer = `{"jsonrpc":"2.0","id":${id},"error":{"code":1,"message":"no"}}`
    expect((await session.post(answer)).status).toBe(202)
  }
  expect(await session.call(1, 'crlf')).toContain('crlf')
})
