/** The address of who asks: behind proxies that we trust, and behind everybody else who only says that they are one. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import * as v from 'valibot'
import { addressOf, countedAs, isAllowed } from '../../src/auth/address.ts'
import { ConfigSchema } from '../../src/config/schema.ts'

const PROXY = '10.0.0.1'
const TRUSTED = ['10.0.0.0/8', '2001:db8:1::/48']
const CLIENT = '198.51.100.7'

const HEADERS = [
  'CF-Connecting-IP',
  'True-Client-IP',
  'X-Real-IP',
  'X-Forwarded-For',
  'X-Cluster-Client-IP',
]

const behind = (headers: Record<string, string>, trusted = TRUSTED) =>
  addressOf(new Headers(headers), PROXY, trusted)

describe('without trusted proxies', () => {
  test.each([...HEADERS, 'Forwarded', 'X-Forwarded'])('%s says nothing', (name) => {
    const value = name.endsWith('orwarded') ? `for=${CLIENT}` : CLIENT
    expect(behind({ [name]: value }, [])).toBe(PROXY)
    expect(behind({ [name]: value }, ['192.168.0.0/16'])).toBe(PROXY)
  })

  test.each<[string, string | undefined]>([
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['2001:DB8::1', '2001:db8::1'],
    ['', undefined],
    ['unix', undefined],
  ])('the peer %j is %j', (peer, expected) => {
    expect(addressOf(new Headers(), peer, [])).toBe(expected)
  })
})

describe('behind a trusted proxy', () => {
  test.each(HEADERS)('%s says who asks', (name) => {
    expect(behind({ [name]: CLIENT })).toBe(CLIENT)
    expect(behind({ [name]: `::ffff:${CLIENT}` })).toBe(CLIENT)
    expect(addressOf(new Headers({ [name]: CLIENT }), `::ffff:${PROXY}`, TRUSTED)).toBe(CLIENT)
  })

  test('that says nothing, it is the proxy itself', () => {
    expect(behind({})).toBe(PROXY)
    expect(behind({ 'X-Real-IP': '10.9.9.9' })).toBe(PROXY)
  })

  test.each<[string, string | undefined]>([
    [`${CLIENT}`, CLIENT],
    [`${CLIENT}:4711`, CLIENT],
    ['[2001:db8::1]:4711', '2001:db8::1'],
    [`1.1.1.1, ${CLIENT}`, CLIENT],
    [`1.1.1.1, ${CLIENT}, 10.0.0.2, 2001:db8:1::5`, CLIENT],
    [`10.0.0.9, 192.168.0.1, ${CLIENT}`, CLIENT],
    [`nonsense, ${CLIENT}`, CLIENT],
    [`${CLIENT}, nonsense`, undefined],
    [`${CLIENT}, `, undefined],
    ['', undefined],
    ['10.0.0.3, 10.0.0.2', PROXY],
    [`${CLIENT},`.repeat(2000), undefined],
  ])('X-Forwarded-For: %j is %j', (value, expected) => {
    expect(behind({ 'X-Forwarded-For': value })).toBe(expected)
  })

  test.each<[string, string | undefined]>([
    [`for=${CLIENT}`, CLIENT],
    [`For="${CLIENT}:80";proto=http;by=10.0.0.1`, CLIENT],
    ['for="[2001:db8::1]:4711"', '2001:db8::1'],
    ['for="[2001:db8::1]"', '2001:db8::1'],
    [`by=1.1.1.1;host=x ; for=${CLIENT}`, CLIENT],
    [`for=1.1.1.1, for=${CLIENT}, for=10.0.0.2`, CLIENT],
    [`for=1.1.1.1;host="a, for=2.2.2.2", for=${CLIENT}`, CLIENT],
    ['for=unknown', undefined],
    ['for=_hidden', undefined],
    ['proto=https', undefined],
    [`for=${CLIENT};for=1.1.1.1`, undefined],
  ])('Forwarded: %j is %j', (value, expected) => {
    expect(behind({ Forwarded: value })).toBe(expected)
  })

  test.each([
    // Its end is what a proxy of ours has added.
    'for="1.1.1.1, for=198.51.100.7',
    'for=1.1.1.1;by=", for="198.51.100.7"',
    'for=1.1.1.1;by="\\", for=198.51.100.7',
    'for=1.1.1.1;by="\\", for="[2001:db8::1]"',
    'x="for=1.1.1.1;", for=_hidden',
    'for=198.51.100.7;host="x;for=1.1.1.1;y", for=_hidden',
  ])('nobody can hide behind quotes: %j', (value) => {
    expect(behind({ Forwarded: value })).not.toBe('1.1.1.1')
  })

  test('a quoted Host cannot speak for the proxy', () => {
    expect(behind({ Forwarded: `host="x;for=1.1.1.1;y";for=${CLIENT}` })).toBe(CLIENT)
  })

  test('nothing that stands before what our proxy adds makes a difference', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (spoofed) => {
        const value = `${spoofed.replace(/[^\x20-\x7e]/g, '')}, ${CLIENT}`
        expect(behind({ 'X-Forwarded-For': value })).toBe(CLIENT)
        const found = behind({ Forwarded: `${value.slice(0, -CLIENT.length)}for=${CLIENT}` })
        expect([CLIENT, undefined]).toContain(found)
      }),
    )
  })

  test('a header that the proxy only passes on cannot contradict the one it sets', () => {
    for (const name of HEADERS.filter((other) => other !== 'X-Forwarded-For')) {
      const headers = { 'X-Forwarded-For': CLIENT, [name]: '10.1.1.1' }
      expect(behind({ ...headers, [name]: '1.1.1.1' })).toBeUndefined()
      expect(behind({ ...headers, [name]: 'nonsense' })).toBeUndefined()
      expect(behind({ ...headers, [name]: CLIENT })).toBe(CLIENT)
      // One proxy of ours behind another.
      expect(behind(headers)).toBe(CLIENT)
    }
  })
})

describe('who may register', () => {
  test.each<[string | undefined, string[], boolean]>([
    ['1.2.3.4', [], true],
    [undefined, [], true],
    [undefined, ['0.0.0.0/0', '::/0'], false],
    ['1.2.3.4', ['1.2.3.4'], true],
    ['1.2.3.4', ['1.2.3.5'], false],
    ['1.2.3.4', ['1.2.0.0/16'], true],
    ['1.2.3.4', ['::ffff:1.2.3.4'], true],
    ['2001:db8::1', ['2001:db8::/32'], true],
    ['2001:db8::1', ['0.0.0.0/0'], false],
  ])('%j of %j: %p', (address, allowed, expected) => {
    expect(isAllowed(address, allowed)).toBe(expected)
  })

  test.each<[string | undefined, string]>([
    ['1.2.3.4', '1.2.3.4'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::'],
    ['2001:db8:1:2::', '2001:db8:1:2::'],
    [undefined, 'unknown'],
  ])('%j is counted as %j', (address, expected) => {
    expect(countedAs(address)).toBe(expected)
  })
})

describe('the configuration refuses', () => {
  const issues = (gateway: object, oauth: object) =>
    v.safeParse(ConfigSchema, { gateway, auth: { oauth }, mcpServers: {} }).issues ?? []

  test.each(['10.0.0.0/33', '10.0.0', 'proxy.example', '*', ''])('%j as a range', (text) => {
    expect(issues({ trustedProxies: [text] }, {})).toHaveLength(1)
    expect(issues({}, { allowedIPs: [text] })).toHaveLength(1)
  })

  test('no range that is one', () => {
    const good = ['10.0.0.0/8', '::1', '2001:db8::/32', '192.0.2.1']
    expect(issues({ trustedProxies: good }, { allowedIPs: good })).toEqual([])
  })

  test.each([
    'http://app.example/cb',
    'https://app.example/cb#x',
    'javascript:',
    'https:',
    'app',
    'https://*.example/cb#',
  ])('%j as a place for those that registered themselves', (text) => {
    expect(issues({}, { redirectURIs: [text] })).toHaveLength(1)
  })

  test.each([
    'http://app.example/cb',
    'javascript:alert(1)',
    'https://app.example/cb#x',
    '/cb',
    'https://u@app.example/',
  ])('%j as a place for a client', (text) => {
    expect(issues({}, { clients: { app: { redirectURIs: [text] } } })).toHaveLength(1)
  })

  test('no place that is one', () => {
    const redirectURIs = ['https://app.example/cb', 'com.example.app:']
    const clients = {
      app: { redirectURIs: ['https://app.example/cb', 'http://127.0.0.1/cb', 'app:/cb'] },
    }
    expect(issues({}, { redirectURIs, clients })).toEqual([])
  })
})
