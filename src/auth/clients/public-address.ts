/** Which addresses are those of somebody on the internet, and not of this machine, of a network of ours, or of nobody. */
import { type Address, isWithin, parseRange } from '../../addresses.ts'

/**
 * Unicast addresses that are reached from everywhere, and reserved for nothing.
 *
 * @see [IANA IPv4 special-purpose addresses](https://www.iana.org/assignments/iana-ipv4-special-registry)
 * @see [IANA IPv6 special-purpose addresses](https://www.iana.org/assignments/iana-ipv6-special-registry)
 */
export function isPublic(address: Address): boolean {
  if (address.version === 4) return !RESERVED_IPV4.some((range) => isWithin(range, address))
  // NAT64 leads to the IPv4 address in its last bits, which is the one that counts.
  if (isWithin(NAT64, address)) return isPublic({ version: 4, bits: address.bits & 0xffff_ffffn })
  return (
    isWithin(GLOBAL_UNICAST, address) && !RESERVED_IPV6.some((range) => isWithin(range, address))
  )
}

const GLOBAL_UNICAST = parseRange('2000::/3')!
const NAT64 = parseRange('64:ff9b::/96')!

const RESERVED_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  // Shared by the customers of a provider.
  '100.64.0.0/10',
  '127.0.0.0/8',
  // The metadata services of clouds are here.
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
].map((text) => parseRange(text)!)

const RESERVED_IPV6 = [
  // Teredo, benchmarking, ORCHID and others.
  '2001::/23',
  '2001:db8::/32',
  // 6to4: an IPv4 address, any of them, is inside.
  '2002::/16',
  '3fff::/20',
].map((text) => parseRange(text)!)
