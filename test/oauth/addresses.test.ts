/** Addresses as texts, ranges of them, and which are somebody's on the internet. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { isWithin, parseAddress, parseRange, showAddress } from '../../src/addresses.ts'
import { isPublic } from '../../src/auth/clients/public-address.ts'

const shown = (text: string) => {
  const address = parseAddress(text)
  return address && showAddress(address)
}

test.each<[string, string]>([
  ['192.0.2.1', '192.0.2.1'],
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['::1', '::1'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['2001:db8::1:0:0:1', '2001:db8::1:0:0:1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::FFFF:c000:0201', '192.0.2.1'],
  ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
  ['::1:2:3:4:1.2.3.4', '::1:2:3:4:102:304'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
  ['1::', '1::'],
])('%s is written %s', (text, expected) => {
  expect(shown(text)).toBe(expected)
})

test.each([
  '',
  'localhost',
  '1.2.3',
  '1.2.3.4.5',
  '256.1.1.1',
  '1.2.3.04',
  '0x7f.0.0.1',
  '2130706433',
  '127.1',
  ' 1.2.3.4',
  '1.2.3.4\n',
  '1.2.3.4:80',
  '[::1]',
  'fe80::1%eth0',
  '::1::',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '12345::',
  '1.2.3.4::',
  '1.2.3.4:1:2:3:4:5:6',
  '::1.2.3.4:5',
  '1:2:3:4:5:6:7:1.2.3.4',
  '1::2:3:4:5:6:7:8',
  '::g',
  ':::',
  '1:',
  '::ffff:1.2.3.256',
  ':',
  '1'.repeat(1000),
])('%j is no address', (text) => {
  expect(parseAddress(text)).toBeUndefined()
})

const ipv4 = fc.ipV4()
const ipv6 = fc.ipV6()

test('what is shown of an address is that address', () => {
  fc.assert(
    fc.property(fc.oneof(ipv4, ipv6), (text) => {
      const address = parseAddress(text)!
      expect(parseAddress(showAddress(address))).toEqual(address)
    }),
  )
})

test('an address is in the range of its first bits, and not where one of them is another', () => {
  fc.assert(
    fc.property(fc.oneof(ipv4, ipv6), fc.nat(128), fc.nat(127), (text, asked, other) => {
      const address = parseAddress(text)!
      const width = address.version === 4 ? 32 : 128
      const prefix = Math.min(asked, width)
      const range = parseRange(`${showAddress(address)}/${prefix}`)!
      expect(isWithin(range, address)).toBe(true)
      const bit = other % width
      const flipped = { ...address, bits: address.bits ^ (1n << BigInt(width - 1 - bit)) }
      expect(isWithin(range, flipped)).toBe(bit >= prefix)
    }),
  )
})

test.each<[string, string, boolean]>([
  ['10.0.0.0/8', '10.255.0.1', true],
  ['10.0.0.0/8', '11.0.0.1', false],
  ['10.1.2.3', '10.1.2.3', true],
  ['10.1.2.3', '10.1.2.4', false],
  ['0.0.0.0/0', '1.2.3.4', true],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['::/0', '1.2.3.4', false],
  ['10.1.2.3/8', '10.9.9.9', true],
  ['::ffff:10.0.0.0/104', '10.9.9.9', true],
  ['10.0.0.0/8', '::ffff:10.9.9.9', true],
  ['2001:db8::/32', '2001:db8:ffff::1', true],
  ['2001:db8::/32', '2001:db9::1', false],
])('%s has %s: %p', (range, address, expected) => {
  expect(isWithin(parseRange(range)!, parseAddress(address)!)).toBe(expected)
})

test.each([
  '',
  '/',
  '10.0.0.0/',
  '10.0.0.0/33',
  '::/129',
  '10.0.0.0/-1',
  '10.0.0.0/8/8',
  'a/8',
  '::ffff:10.0.0.0/8',
  '10.0.0.0/ 8',
])('%j is no range', (text) => {
  expect(parseRange(text)).toBeUndefined()
})

describe('on the internet', () => {
  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '172.15.0.1',
    '172.32.0.1',
    '100.63.0.1',
    '192.169.0.1',
    '223.255.255.255',
    '2606:4700::6812:202f',
    '2a00:1450::1',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
  ])('is %s', (text) => {
    expect(isPublic(parseAddress(text)!)).toBe(true)
  })

  test.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::8.8.8.8',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:169.254.169.254',
    '64:ff9b::127.0.0.1',
    '64:ff9b::10.0.0.1',
    '64:ff9b:1::8.8.8.8',
    '100::1',
    '2001::1',
    '2001:2::1',
    '2001:db8::1',
    '2002:7f00:1::1',
    '2002:808:808::1',
    '3fff::1',
    '5f00::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fec0::1',
    'ff02::1',
  ])('is not %s', (text) => {
    expect(isPublic(parseAddress(text)!)).toBe(false)
  })
})
