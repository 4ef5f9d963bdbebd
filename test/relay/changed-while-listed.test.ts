/** A list that changes while it is asked for, or without a word, is asked for again. */
import { expect, test } from 'bun:test'
import {
  afterAMinute,
  ask,
  CHANGED,
  heard,
  introducing,
  listing,
  toolNames,
  withTools,
} from '../support/asking.ts'
import { startGateway } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import { Written } from '../support/servers/remote.ts'

const names = async (asked: Promise<Awaited<ReturnType<typeof ask>>>) =>
  (await asked).result.tools.map(({ name }: { name: string }) => name)

test.each(['alone', 'merged'])('who was told of the change sees it, %s', async (place) => {
  const stream = new Written()
  const older = Promise.withResolvers<void>()
  let lists = 0
  await using one = withTools([], {
    initialize: introducing({ tools: { listChanged: true } }),
    GET: () => stream.response,
    'tools/list': async (request) => {
      if (++lists > 1) return listing('new')(request)
      await older.promise
      return listing('old')(request)
    },
  })
  await using two = withTools([])
  const tools = { prefix: '', block: ['z'] }
  await using gateway = startGateway({ one: { url: one.url, tools }, two: { url: two.url } })
  const at = place === 'alone' ? gateway.at('one') : new URL('mcp', gateway.url)
  const session = await RawSession.open(at)
  await one.next('GET')
  const first = ask(session, 'tools/list')
  await one.next('tools/list')
  stream.write(`data: ${CHANGED}\n\n`)
  await heard(session, 'notifications/tools/list_changed')
  const second = ask(session, 'tools/list')
  await one.next('tools/list')
  expect(await names(second)).toEqual(['new'])
  older.resolve()
  await first
  expect(await toolNames(session)).toEqual(['new'])
  expect(lists).toBe(2)
})

test('a server without a stream to tell of changes is asked again after a while', async () => {
  const listed = ['old']
  await using one = withTools([], {
    initialize: introducing({ tools: { listChanged: true } }),
    'tools/list': (request) => listing(...listed)(request),
  })
  await using two = withTools([])
  const tools = { prefix: '' }
  await using gateway = startGateway({ one: { url: one.url, tools }, two: { url: two.url } })
  const session = await RawSession.open(new URL('mcp', gateway.url))
  expect(await toolNames(session)).toEqual(['old'])
  listed.push('new')
  expect(await toolNames(session)).toEqual(['old'])
  await afterAMinute(async () => expect(await toolNames(session)).toEqual(['old', 'new']))
})

test('a list that is asked for again and says the same has not changed: its cursors stay good', async () => {
  const names = Array.from({ length: 1_500 }, (_, i) => `t${i}`)
  await using one = withTools(names)
  await using two = withTools([])
  await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
  const session = await RawSession.open(new URL('mcp', gateway.url))
  const { nextCursor } = (await ask(session, 'tools/list')).result
  await afterAMinute(async () => {
    const rest = await ask(session, 'tools/list', { cursor: nextCursor })
    expect(rest.result.tools).toHaveLength(500)
  })
  expect(one.seen.filter(({ kind }) => kind === 'tools/list')).toHaveLength(2)
  // It is one of this list alone.
  expect((await ask(session, 'prompts/list', { cursor: nextCursor })).error.code).toBe(-32602)
})
