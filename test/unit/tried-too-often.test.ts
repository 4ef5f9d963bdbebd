/** A server that fails is not tried by everybody who misses it, each time that one of them would. */
import { expect, test } from 'bun:test'
import * as v from 'valibot'
import { ServerSchema } from '../../src/config/server.ts'
import { Upstream } from '../../src/upstream/upstream.ts'
import { afterAMinute } from '../support/asking.ts'

test('it is tried once for all, and ever less often', async () => {
  const config = v.parse(ServerSchema, { command: 'no-such-command' })
  const upstream = new Upstream('x', config, 1_000, () => {})
  expect(upstream.status.state).toBe('failing')
  expect(upstream.mayTry()).toBe(true)
  expect(upstream.mayTry()).toBe(false)
  await afterAMinute(async () => {
    expect(upstream.mayTry()).toBe(true)
    expect(upstream.mayTry()).toBe(false)
  })
})

test('one that does not fail may be tried by all', () => {
  const config = v.parse(ServerSchema, { command: process.execPath })
  const upstream = new Upstream('x', config, 1_000, () => {})
  expect([upstream.mayTry(), upstream.mayTry()]).toEqual([true, true])
})
