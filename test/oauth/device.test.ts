/** Logins of devices without a browser: codes that people type, and how patiently devices ask. */
import { describe, expect, test } from 'bun:test'
import { Devices } from '../../src/auth/grants/device.ts'
import { newDesk, refusalOf } from './approvals.ts'

const REQUEST = {
  client: { id: 'tv', name: 'TV' },
  scopes: ['mcp', 'admin'] as const,
  endpoint: 'files',
}
const ALICE = { id: 'user:alice', name: 'alice', isAdmin: false }
const BOSS = { id: 'user:boss', name: 'boss', isAdmin: true }

function newDevices() {
  const { grants, clock, store } = newDesk()
  const devices = new Devices(store, (approval) => grants.issue(approval), clock.now)
  const poll = (code: string, clientId = 'tv') => devices.poll({ code, clientId })
  return { devices, grants, clock, store, poll }
}

const HOME = '192.0.2.1'

describe('a user code', () => {
  test('has eight letters of which no word can be made', async () => {
    const { devices } = newDevices()
    for (let i = 0; i < 20; i++) {
      const { userCode } = await devices.begin(REQUEST, `${i}`)
      expect(userCode).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/)
    }
  })

  test('is understood however it is typed', async () => {
    const { devices } = newDevices()
    const { userCode } = await devices.begin(REQUEST, HOME)
    const plain = userCode.replace('-', '')
    for (const typed of [userCode, plain, plain.toLowerCase(), ` ${plain.split('').join(' ')}\n`]) {
      expect(await devices.pending(typed, 'user:alice')).toEqual({
        ...REQUEST,
        scopes: ['mcp', 'admin'],
      })
    }
  })

  test('cannot be guessed for long, and others may still try', async () => {
    const { devices, clock } = newDevices()
    const { userCode } = await devices.begin(REQUEST, HOME)
    for (let i = 0; i < 10; i++) {
      expect(await devices.pending('BBBB-BBBB', 'user:eve')).toBeUndefined()
    }
    expect(await refusalOf(devices.pending(userCode, 'user:eve'))).toMatch(/^too_many_requests/)
    expect(await devices.pending(userCode, 'user:alice')).toBeDefined()
    // What the machine takes for all this comes on top.
    clock.ahead += 540_000
    expect(await refusalOf(devices.pending(userCode, 'user:eve'))).toMatch(/^too_many_requests/)
    clock.ahead += 60_001
    expect(await devices.pending(userCode, 'user:eve')).toBeUndefined()
  })

  test('is settled once', async () => {
    const { devices } = newDevices()
    const { userCode } = await devices.begin(REQUEST, HOME)
    expect(await devices.deny(userCode)).toBe(true)
    expect(await devices.approve(userCode, ALICE)).toBe(false)
    expect(await devices.pending(userCode, 'user:alice')).toBeUndefined()
    expect(await devices.approve('BBBBBBBB', ALICE)).toBe(false)
  })

  test('lies nowhere, nor does the device code', async () => {
    const { devices, store } = newDevices()
    const { userCode, deviceCode } = await devices.begin(REQUEST, HOME)
    const kept = JSON.stringify(await Array.fromAsync(store.list('devices')))
    expect(kept).not.toContain(userCode.replace('-', ''))
    expect(kept).not.toContain(deviceCode.slice(15, 35))
  })
})

describe('a device that asks', () => {
  test.each([
    ['a person', ALICE, ['mcp']],
    ['an admin', BOSS, ['mcp', 'admin']],
  ])('gets what %s may give', async (_, person, scopes) => {
    const { devices, grants, poll } = newDevices()
    const { userCode, deviceCode } = await devices.begin(REQUEST, HOME)
    await devices.approve(userCode, person)
    const { accessToken } = await poll(deviceCode)
    expect(await grants.find(accessToken)).toMatchObject({
      person: { id: person.id, name: person.name },
      clientId: 'tv',
      endpoint: 'files',
      scopes,
    })
  })

  test('gets tokens once, however many ask at once', async () => {
    const { devices, grants, poll } = newDevices()
    const { userCode, deviceCode } = await devices.begin(REQUEST, HOME)
    await devices.approve(userCode, ALICE)
    const asked = await Promise.allSettled(Array.from({ length: 10 }, () => poll(deviceCode)))
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await grants.all()).toHaveLength(1)
  })

  test('has to wait longer when it asks too often', async () => {
    const { devices, clock, poll } = newDevices()
    const { deviceCode } = await devices.begin(REQUEST, HOME)
    expect(await refusalOf(poll(deviceCode))).toMatch(/^authorization_pending/)
    expect(await refusalOf(poll(deviceCode))).toMatch(/^slow_down/)
    clock.ahead += 5_000
    expect(await refusalOf(poll(deviceCode))).toMatch(/^slow_down/)
    clock.ahead += 15_000
    expect(await refusalOf(poll(deviceCode))).toMatch(/^authorization_pending/)
  })

  test('is told that it was denied, once', async () => {
    const { devices, poll } = newDevices()
    const { userCode, deviceCode } = await devices.begin(REQUEST, HOME)
    await devices.deny(userCode)
    expect(await refusalOf(poll(deviceCode))).toMatch(/^access_denied/)
    expect(await refusalOf(poll(deviceCode))).toMatch(/^invalid_grant/)
  })

  test('is told that its time is over, also if somebody agreed too late', async () => {
    const { devices, clock, poll } = newDevices()
    const { userCode, deviceCode } = await devices.begin(REQUEST, HOME)
    clock.ahead += 600_000
    expect(await devices.pending(userCode, 'user:alice')).toBeUndefined()
    expect(await devices.approve(userCode, ALICE)).toBe(false)
    expect(await refusalOf(poll(deviceCode))).toMatch(/^expired_token/)
  })

  test.each<[string, (code: string) => string]>([
    ['the user code', (code) => code.slice(7, 15)],
    ['another secret', (code) => code.slice(0, -43) + 'A'.repeat(43)],
    ['nothing', () => ''],
  ])('with %s gets nothing', async (_, change) => {
    const { devices, poll } = newDevices()
    const { userCode, deviceCode } = await devices.begin(REQUEST, HOME)
    await devices.approve(userCode, ALICE)
    expect(await refusalOf(poll(change(deviceCode)))).toMatch(/^invalid_grant/)
    expect(await refusalOf(poll(deviceCode, 'other'))).toMatch(/^invalid_grant/)
    expect(await poll(deviceCode)).toBeDefined()
  })
})

describe('devices that begin', () => {
  test('from one address are ten at once, and ten in a minute; others do not suffer from it', async () => {
    const { devices, clock } = newDevices()
    for (let i = 0; i < 10; i++) await devices.begin(REQUEST, HOME)
    expect(await refusalOf(devices.begin(REQUEST, HOME))).toMatch(/^temporarily_unavailable/)
    expect(await devices.begin(REQUEST, 'elsewhere')).toBeDefined()
    clock.ahead += 6_000
    expect(await devices.begin(REQUEST, HOME)).toBeDefined()
  })

  test('are six hundred in a minute, from wherever', async () => {
    const { devices, clock } = newDevices()
    for (let i = 0; i < 600; i++) await devices.begin(REQUEST, `${i}`)
    expect(await refusalOf(devices.begin(REQUEST, 'one more'))).toMatch(/^temporarily_unavailable/)
    clock.ahead += 60_000
    expect(await devices.begin(REQUEST, 'one more')).toBeDefined()
  })
})
