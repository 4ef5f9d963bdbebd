/** Who gets in by a password, how much work that is, and how often somebody may fail. */
import { describe, expect, test } from 'bun:test'
import { inspect } from 'node:util'
import type { Person } from '../../src/auth/people/person.ts'
import { Throttle } from '../../src/auth/people/throttle.ts'
import { People, passwordNotes, type Refusal } from '../../src/auth/people.ts'
import { edited } from '../../src/commands/hash-password.ts'
import { configOf } from './dialog.ts'

const CHEAP = { algorithm: 'argon2id', memoryCost: 8, timeCost: 1 } as const
const HASH = await Bun.password.hash('correct', CHEAP)
const BCRYPT = await Bun.password.hash('correct', { algorithm: 'bcrypt', cost: 4 })

const users = {
  ann: HASH,
  bea: BCRYPT,
  cid: 'plain text',
  dan: { password: HASH, admin: true, servers: ['web'] },
}
const config = configOf({ auth: { oauth: { users } } })

function counted(now: () => number = () => 0) {
  const hashes: string[] = []
  const people = new People(
    () => config,
    now,
    (password, hash) => {
      hashes.push(hash)
      return Bun.password.verify(password, hash)
    },
  )
  return { people, hashes }
}

const HERE = { address: '192.0.2.1' }
const refusal = (result: Person | Refusal) => ('refused' in result ? result.refused : 'let in')

describe('a login', () => {
  test.each([
    ['ann', 'correct'],
    ['bea', 'correct'],
    ['cid', 'plain text'],
    ['dan', 'correct'],
  ])('of %s is right', async (name, password) => {
    const { people } = counted()
    const person = (await people.login(name, password, HERE)) as Person
    expect(person).toMatchObject({ id: `user:${name}`, name, isAdmin: name === 'dan' })
    expect(person.servers).toEqual(name === 'dan' ? new Set(['web']) : undefined)
  })

  test.each([
    ['ann', 'wrong'],
    ['ann', HASH],
    ['bea', 'wrong'],
    ['cid', 'plain'],
    ['cid', ''],
    ['ann', ''],
    ['ann', 'x'.repeat(100_000)],
    ['nobody', 'correct'],
    ['', ''],
    ['__proto__', 'correct'],
    ['constructor', 'correct'],
    ['ANN', 'correct'],
    ['user:ann', 'correct'],
  ])('of %p with %p is wrong, and exactly as much work as any other', async (name, password) => {
    const { people, hashes } = counted()
    expect(await people.login(name, password, HERE)).toEqual({ refused: 'wrong' })
    expect(hashes.length).toBe(1)
    expect(hashes[0]).toMatch(/^\$(argon2id|2b)\$/)
  })

  test('of somebody who does not exist works on a hash of the kind that the others have', async () => {
    const { people, hashes } = counted()
    await people.login('nobody', 'x', HERE)
    await people.login('cid', 'x', HERE)
    expect(hashes).toEqual([HASH, HASH])
  })

  test('works also where nobody has a hash', async () => {
    const hashes: string[] = []
    const plain = configOf({ auth: { oauth: { users: { a: 'b' } } } })
    const people = new People(
      () => plain,
      () => 0,
      async (_, hash) => hashes.push(hash) < 0,
    )
    expect(refusal(await people.login('a', 'c', HERE))).toBe('wrong')
    expect(refusal(await people.login('nobody', 'c', HERE))).toBe('wrong')
    expect(refusal(await people.login('a', 'b', HERE))).toBe('let in')
    expect(new Set(hashes).size).toBe(1)
    expect(await Bun.password.verify('anything', hashes[0]!)).toBe(false)
  })

  test('with a hash that cannot be read is wrong, and breaks nothing', async () => {
    const broken = configOf({ auth: { oauth: { users: { a: '$2b$10$short' } } } })
    const people = new People(() => broken)
    expect(refusal(await people.login('a', '$2b$10$short', HERE))).toBe('wrong')
    expect(passwordNotes(broken)[0]).toContain('"a": the hash is not a whole one')
  })

  test('goes by the configuration as it is now', async () => {
    let users: Record<string, string> = { a: 'one' }
    const people = new People(
      () => configOf({ auth: { oauth: { users } } }),
      () => 0,
      async () => false,
    )
    const before = people.mark('user:a', 'salt')
    expect(people.mark('user:a', 'salt')).toBe(before!)
    users = { a: 'two' }
    expect(people.mark('user:a', 'salt')).not.toBe(before!)
    expect(refusal(await people.login('a', 'one', HERE))).toBe('wrong')
    users = {}
    expect(people.find('user:a')).toBeUndefined()
    expect(people.mark('user:a', 'salt')).toBeUndefined()
  })
})

describe('whoever fails too often', () => {
  test('has to wait, longer each time, also for an account that does not exist', async () => {
    for (const name of ['ann', 'nobody']) {
      let now = 1_000_000
      const { people, hashes } = counted(() => now)
      for (let i = 0; i < 5; i++) expect(refusal(await people.login(name, 'x', HERE))).toBe('wrong')
      expect(await people.login(name, 'correct', HERE)).toEqual({
        ...{ refused: 'throttled', retryAfter: 1 },
      })
      expect(hashes.length).toBe(5)
      now += 1000
      expect(refusal(await people.login(name, 'x', HERE))).toBe('wrong')
      expect(await people.login(name, 'x', HERE)).toMatchObject({ retryAfter: 2 })
    }
  })

  test('comes in when the wait is over, and then has failed never', async () => {
    let now = 1_000_000
    const { people } = counted(() => now)
    for (let i = 0; i < 5; i++) await people.login('ann', 'x', HERE)
    now += 1000
    expect(refusal(await people.login('ann', 'correct', HERE))).toBe('let in')
    for (let i = 0; i < 5; i++) expect(refusal(await people.login('ann', 'x', HERE))).toBe('wrong')
  })

  test('is stopped also when all attempts come at the same time', async () => {
    const { people, hashes } = counted()
    const results = await Promise.all(
      Array.from({ length: 12 }, () => people.login('ann', 'x', HERE)),
    )
    expect(results.filter((result) => refusal(result) === 'wrong').length).toBe(5)
    expect(hashes.length).toBe(5)
  })

  test('cannot lock out the owner from a browser that is known there', async () => {
    const { people } = counted()
    for (let i = 0; i < 40; i++) await people.login('ann', 'x', { address: `192.0.2.${i}` })
    expect(refusal(await people.login('ann', 'correct', HERE))).toBe('throttled')
    const known = { ...HERE, browser: 'known' }
    expect(refusal(await people.login('ann', 'correct', known))).toBe('let in')
    for (let i = 0; i < 5; i++) await people.login('ann', 'x', known)
    expect(refusal(await people.login('ann', 'correct', known))).toBe('throttled')
  })

  test('is stopped by address, whichever accounts they try', async () => {
    const { people } = counted()
    for (let i = 0; i < 30; i++) await people.login(`user${i}`, 'x', HERE)
    expect(refusal(await people.login('ann', 'correct', HERE))).toBe('throttled')
    expect(refusal(await people.login('ann', 'correct', { address: undefined }))).toBe('let in')
  })

  test('is stopped by the network that they have, where addresses cost nothing', async () => {
    const { people } = counted()
    const from = (i: number, net = 1) => ({ address: `2001:db8:0:${net}::${i.toString(16)}` })
    for (let i = 0; i < 30; i++) await people.login(`user${i}`, 'x', from(i))
    expect(refusal(await people.login('ann', 'correct', from(99)))).toBe('throttled')
    expect(refusal(await people.login('ann', 'correct', from(99, 2)))).toBe('let in')
  })

  test('cannot make up for it with an account of their own', async () => {
    const { people } = counted()
    for (let i = 0; i < 30; i++) {
      await people.login(`user${i}`, 'x', HERE)
      if (i % 5 === 0) await people.login('bea', 'correct', HERE)
    }
    expect(refusal(await people.login('cid', 'plain text', HERE))).toBe('throttled')
    const own = await people.login('bea', 'correct', { ...HERE, browser: 'known' })
    expect(refusal(own)).toBe('let in')
    expect(refusal(await people.login('cid', 'plain text', HERE))).toBe('throttled')
  })

  test('is forgotten when others have come since, and never more are remembered', () => {
    const throttle = new Throttle({ free: 1, first: 1000, longest: 1000, memory: 10_000 }, () => 0)
    for (let i = 0; i < 10_001; i++) throttle.fail(`${i}`)
    expect(throttle.delay('0')).toBe(0)
    expect(throttle.delay('1')).toBe(1000)
  })
})

test('only two hashes are worked on at once, sixteen wait, and the others are told so', async () => {
  let atOnce = 0
  let most = 0
  const release = Promise.withResolvers<void>()
  const people = new People(
    () => config,
    () => 0,
    async () => {
      most = Math.max(most, ++atOnce)
      await release.promise
      atOnce--
      return false
    },
  )
  const logins = Array.from({ length: 25 }, (_, i) =>
    people.login(`user${i}`, 'x', { address: `192.0.2.${i}` }),
  )
  release.resolve()
  const results = (await Promise.all(logins)).map(refusal)
  expect(results.filter((result) => result === 'wrong').length).toBe(18)
  expect(results.filter((result) => result === 'busy').length).toBe(7)
  expect(most).toBe(2)
  expect(refusal(await people.login('ann', 'x', HERE))).toBe('wrong')
})

describe('passwords', () => {
  test('that are written down themselves are noted by name, once, and never shown', () => {
    const notes = passwordNotes(config)
    expect(notes.length).toBe(1)
    expect(notes[0]).toContain('"cid"')
    expect(notes[0]).toContain('hash-password')
    expect(notes.join()).not.toContain('plain text')
    expect(inspect(counted().people, { depth: 10 })).not.toContain('plain text')
  })

  test('are edited on a terminal as on any other', () => {
    expect(edited('', 'abc\r')).toEqual({ text: 'abc', end: 'line' })
    expect(edited('ab', '\x7f\x7fx')).toEqual({ text: 'x' })
    expect(edited('ab', '\x15c')).toEqual({ text: 'c' })
    expect(edited('ab', '\x03')).toEqual({ text: 'ab', end: 'abandoned' })
    expect(edited('', 'pä\x1bß😀\x7f')).toEqual({ text: 'päß' })
  })
})
