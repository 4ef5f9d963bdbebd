/** Addresses to listen on as Go writes them. */

const EVERYWHERE = '0.0.0.0'

/** Of `HOST:PORT`, `[IPv6]:PORT` or `:PORT`, which is everywhere; undefined if it is none of them. */
export function listenAddress(text: string): { host: string; port: number } | undefined {
  const [, inBrackets, plain, digits] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (digits === undefined || port > 65535) return undefined
  return { host: inBrackets || plain || EVERYWHERE, port }
}
