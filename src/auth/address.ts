/**
 * The address of who asks.
 *
 * It is that of the other end of the connection. What headers say of it counts only if that is one of our own proxies
 * (`gateway.trustedProxies`): everybody else can write them as well. And since a proxy sets one of them and passes on the
 * others as they came, they must not contradict each other.
 */
import {
  type Address,
  isWithin,
  parseAddress,
  parseRange,
  type Range,
  showAddress,
} from '../addresses.ts'

/**
 * In its shortest form; one that is mapped into IPv6 as that of IPv4. Undefined if it is not known: the peer is gone, or
 * our own proxy says nothing that makes sense.
 *
 * @param peer the address at the other end of the connection.
 * @param trustedProxies addresses and ranges.
 */
export function addressOf(
  headers: Headers,
  peer: string | undefined,
  trustedProxies: readonly string[],
): string | undefined {
  const direct = parseAddress(withoutZone(peer ?? ''))
  if (!direct) return undefined
  const proxies = trustedProxies.flatMap((text) => parseRange(text) ?? [])
  if (!isAmong(proxies, direct)) return showAddress(direct)
  const said = HEADERS.flatMap(([name, parse]) => {
    const text = headers.get(name)
    return text === null
      ? []
      : [nearest(text.length > LONGEST ? [undefined] : parse(text), proxies)]
  })
  const strangers = new Set(said.filter((address) => address !== OURS))
  if (strangers.size > 1) return undefined
  // Nobody but our proxy has to do with it, for all that it says.
  if (strangers.size === 0) return showAddress(direct)
  return [...strangers][0]
}

/** Whether it is one of them, or in one of the ranges. All are, if there are none. */
export function isAllowed(address: string | undefined, allowed: readonly string[]): boolean {
  if (allowed.length === 0) return true
  const parsed = parseAddress(address ?? '')
  const ranges = allowed.flatMap((text) => parseRange(text) ?? [])
  return parsed !== undefined && isAmong(ranges, parsed)
}

const HEADERS: [name: string, parse: (text: string) => (Address | undefined)[]][] = [
  ['cf-connecting-ip', only],
  ['true-client-ip', only],
  ['x-real-ip', only],
  ['x-forwarded-for', chain],
  ['x-cluster-client-ip', only],
  ['x-forwarded', forwardedFor],
  ['forwarded', forwardedFor],
]

const LONGEST = 8192
/** A header that names nobody but our proxies. */
const OURS = 'ours'

/**
 * Each proxy writes down, behind the others, whom it was asked by. The last that is not one of ours was seen by one of
 * ours; all before it were written by who asks, and can be anything.
 */
function nearest(chain: (Address | undefined)[], proxies: readonly Range[]): string | undefined {
  for (const address of chain.toReversed()) {
    if (!address) return undefined
    if (!isAmong(proxies, address)) return showAddress(address)
  }
  return OURS
}

function only(text: string): (Address | undefined)[] {
  return [node(text)]
}

function chain(text: string): (Address | undefined)[] {
  return text.split(',').map(node)
}

/**
 * `for` of each element; one without it says that somebody is there who is not told.
 *
 * A quote that stays open would swallow what our proxy has written behind it: then nothing of it counts.
 *
 * @see [RFC 7239 §4](https://www.rfc-editor.org/rfc/rfc7239#section-4)
 */
function forwardedFor(text: string): (Address | undefined)[] {
  if (!/^(?:[^"]|"(?:[^"\\]|\\.)*")*$/.test(text)) return [undefined]
  const elements = text.match(/(?:[^",]|"(?:[^"\\]|\\.)*")+/g) ?? []
  return elements.map((element) => {
    const pairs = element.match(/(?:[^";]|"(?:[^"\\]|\\.)*")+/g) ?? []
    const named = pairs.flatMap((pair) => /^\s*for\s*=\s*(.*)$/i.exec(pair)?.[1] ?? [])
    return named.length === 1 ? node(unquoted(named[0]!.trim())) : undefined
  })
}

function unquoted(text: string): string {
  const [, inside] = /^"(.*)"$/.exec(text) ?? []
  return inside === undefined ? text : inside.replace(/\\(.)/g, '$1')
}

/** An address as headers have it: perhaps in brackets, perhaps with a port. */
function node(text: string): Address | undefined {
  const trimmed = text.trim()
  const [, bracketed] = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(trimmed) ?? []
  const [, v4] = /^([\d.]+)(?::\d{1,5})?$/.exec(trimmed) ?? []
  return parseAddress(bracketed ?? v4 ?? trimmed)
}

function isAmong(ranges: readonly Range[], address: Address): boolean {
  return ranges.some((range) => isWithin(range, address))
}

/** Link-local peers come with the interface they came over. */
function withoutZone(address: string): string {
  return address.replace(/%.*$/, '')
}

/**
 * What stands for an address where somebody is counted: of IPv6 the network, since whoever has one address there has all of
 * them. All who are not known count as one.
 */
export function countedAs(address: string | undefined): string {
  const parsed = parseAddress(address ?? '')
  if (!parsed) return 'unknown'
  if (parsed.version === 4) return showAddress(parsed)
  return showAddress({ version: 6, bits: (parsed.bits >> 64n) << 64n })
}
