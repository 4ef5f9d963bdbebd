/** How a server is doing, and how long it is left alone. */
import { afterEach, beforeEach, describe, expect, jest, test } from 'bun:test'
import { Supervision } from '../../src/upstream/supervision.ts'

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

function failing(times: number) {
  const server = new Supervision()
  for (let i = 0; i < times; i++) {
    server.opening()
    server.failed('no')
  }
  return server
}

test('it looks ready before anybody needed it, starts, and is ready', () => {
  const server = new Supervision()
  expect(server.state).toBe('ready')
  server.opening()
  expect(server.state).toBe('starting')
  server.opened()
  expect(server.state).toBe('ready')
  server.opening()
  expect(server.state).toBe('ready')
})

describe('one that fails', () => {
  test.each([
    [1, 375, 625],
    [2, 750, 1_250],
    [3, 1_500, 2_500],
    [20, 22_500, 37_500],
  ])('%p times is left alone for %p to %p ms', (times, least, most) => {
    const { pause, state, reason } = failing(times)
    expect({ state, reason }).toEqual({ state: 'failing', reason: 'no' })
    expect(pause).toBeGreaterThanOrEqual(least - 1)
    expect(pause).toBeLessThanOrEqual(most)
  })

  test('is told of once for each reason', () => {
    const server = new Supervision()
    const fail = (reason: string) => {
      server.opening()
      return server.failed(reason)
    }
    expect([fail('a'), fail('a'), fail('b'), fail('a')]).toEqual([true, false, true, true])
  })

  test('is forgiven all as soon as it opens', () => {
    const server = failing(5)
    server.opening()
    server.opened()
    expect({ pause: server.pause, state: server.state, reason: server.reason }).toEqual({
      pause: 0,
      state: 'ready',
      reason: undefined,
    })
  })
})

describe('one that is lost', () => {
  test('may be opened again at once if it has got something done', () => {
    const server = new Supervision()
    server.opening()
    server.opened()
    server.lost('killed', true)
    expect({ ...{ pause: server.pause, state: server.state, crashed: server.crashed } }).toEqual({
      pause: 0,
      state: 'ready',
      crashed: 1,
    })
    expect(server.reason).toBe('killed')
  })

  test('is left alone if it never has', () => {
    const server = new Supervision()
    server.opening()
    server.opened()
    server.lost('killed', false)
    expect(server.state).toBe('failing')
    expect(server.pause).toBeGreaterThan(0)
  })
})

test('a client that leaves while it is opened says nothing about it', () => {
  const server = new Supervision()
  server.opening()
  server.gaveUp()
  expect(server.state).toBe('ready')
})

test('once it is stopped it stays so', () => {
  const server = new Supervision()
  server.stop()
  server.opening()
  expect(server.failed('late')).toBe(false)
  expect(server.state).toBe('stopped')
})

test('while others are open, one that cannot be opened changes nothing but that no more are tried', () => {
  const server = new Supervision()
  server.opening()
  server.opened()
  server.opening()
  server.stumbled('no')
  expect(server.state).toBe('ready')
  expect(server.pause).toBeGreaterThan(0)
})
