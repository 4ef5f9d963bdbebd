/** What an address or a host name says of where somebody is. All of it is pure: no name is looked up. */

/** Whether it means this machine: a name, an IPv4 or IPv6 address, in brackets or not, also one mapped into IPv6. */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|\[?::1\]?|\[?(?:::ffff:)?127(?:\.\d{1,3}){3}\]?)$/i.test(host)
}

/** An IP address. One of IPv4 that was mapped into IPv6 is one of IPv4 here. */
export interface Address {
  readonly version: 4 | 6
  readonly bits: bigint
}

/** Addresses that begin with the same bits. */
export interface Range {
  readonly first: Address
  /** How many bits they share. */
  readonly prefix: number
}

/**
 * Undefined if it is none.
 *
 * Strict, since others read the same text: no leading zeros, which some take for octal, no numbers for a whole address, no
 * zones, no brackets.
 */
export function parseAddress(text: string): Address | undefined {
  if (text.length > LONGEST) return undefined
  return text.includes(':') ? parseIPv6(text) : parseIPv4(text)
}

/** As it is written in short: `::1`, `10.0.0.1`. Equal addresses have equal texts. */
export function showAddress({ version, bits }: Address): string {
  if (version === 4) return octets(bits).join('.')
  const groups = bits.toString(16).padStart(32, '0').match(/.{4}/g)!.join(':')
  // It knows the rules of RFC 5952 for what is left out.
  return new URL(`http://[${groups}]`).hostname.slice(1, -1)
}

/** Of an address, or of one with the number of its first bits that count: `10.0.0.0/8`. Undefined if it is neither. */
export function parseRange(text: string): Range | undefined {
  const [, written = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const first = parseAddress(written)
  if (!first) return undefined
  const own = WIDTH[first.version]
  // Of a range that is written with mapped addresses, the first 96 bits only say that they are.
  const mapped = first.version === 4 && written.includes(':') ? 96 : 0
  const prefix = bits === undefined ? own : Number(bits) - mapped
  return prefix >= 0 && prefix <= own ? { first, prefix } : undefined
}

export function isWithin({ first, prefix }: Range, { version, bits }: Address): boolean {
  if (first.version !== version) return false
  const rest = BigInt(WIDTH[version] - prefix)
  return first.bits >> rest === bits >> rest
}

const WIDTH = { 4: 32, 6: 128 } as const
/** `xxxx:xxxx:xxxx:xxxx:xxxx:xxxx:255.255.255.255` */
const LONGEST = 45

function parseIPv4(text: string): Address | undefined {
  if (!/^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/.test(text)) return undefined
  const parts = text.split('.').map(Number)
  if (parts.some((part) => part > 255)) return undefined
  return { version: 4, bits: parts.reduce((bits, part) => (bits << 8n) | BigInt(part), 0n) }
}

/** Not left to `URL`: Bun's does not take some that end like one of IPv4. */
function parseIPv6(text: string): Address | undefined {
  const [head = '', tail, ...more] = text.split('::')
  // Only the end of all may be written as one of IPv4.
  if (tail !== undefined && head.includes('.')) return undefined
  const before = groups(head)
  const after = groups(tail ?? '')
  if (!before || !after || more.length > 0) return undefined
  const missing = 8 - before.length - after.length
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  const all = [...before, ...Array<number>(missing).fill(0), ...after]
  const bits = all.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n)
  return bits >> 32n === 0xffffn ? { version: 4, bits: bits & 0xffff_ffffn } : { version: 6, bits }
}

/** Sixteen bits each; the last two may be written as an address of IPv4. Undefined if there is something else. */
function groups(text: string): number[] | undefined {
  if (text === '') return []
  const [, start, last = ''] = /^(.*:)?([\d.]+\.[\d.]+)$/.exec(text) ?? []
  const v4 = parseIPv4(last)
  const low = v4 ? `${(v4.bits >> 16n).toString(16)}:${(v4.bits & 0xffffn).toString(16)}` : ''
  const parts = (v4 ? (start ?? '') + low : text).split(':')
  return parts.every((part) => /^[\da-f]{1,4}$/i.test(part))
    ? parts.map((part) => Number.parseInt(part, 16))
    : undefined
}

function octets(bits: bigint): number[] {
  return [24n, 16n, 8n, 0n].map((shift) => Number((bits >> shift) & 0xffn))
}
