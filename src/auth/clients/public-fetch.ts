/**
 * Fetches JSON that strangers name, from the internet and from nowhere else.
 *
 * The name is resolved once, every address is judged, and the connection goes to one that was: a name that means something
 * else a moment later leads nowhere. The certificate is still that of the name. Redirects are not followed.
 *
 * @see [OWASP, server-side request forgery](https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html)
 */
import { parseAddress } from '../../addresses.ts'
import { toError } from '../../errors.ts'
import { isPublic } from './public-address.ts'

/** Something that strangers named could not be had. Its message is for the log. */
export class FetchError extends Error {
  override name = 'FetchError'
  /** Whether it will be the same the next time: it is gone, or is not what it should be. */
  readonly isFinal: boolean

  constructor(message: string, isFinal: boolean) {
    super(message)
    this.isFinal = isFinal
  }
}

export interface Fetched {
  json: unknown
  /** For how many seconds it may be kept, as far as the server says so. */
  maxAge: number | undefined
}

/** The world outside. */
export interface Network {
  /** All addresses of a name. */
  resolve(host: string): Promise<string[]>
  /** Asks for a URL at an address, as its host by name. */
  connect(url: URL, address: string, signal: AbortSignal): Promise<Response>
}

/** In ms, from the name to the last byte. */
const PATIENCE = 5000
const MOST_BYTES = 64 * 1024
const LONGEST_URL = 2048

export const INTERNET: Network = {
  async resolve(host) {
    return (await Bun.dns.lookup(host)).map(({ address }) => address)
  },
  connect: (url, address, signal) => connectPinned(url, address, signal),
}

/**
 * Why a URL may not be asked for; undefined if it may.
 *
 * @see [Client ID Metadata Document §3](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-client-id-metadata-document#section-3)
 */
export function urlFault(text: string): string | undefined {
  if (text.length > LONGEST_URL) return `has more than ${LONGEST_URL} characters`
  if (!/^https:\/\/[\x21-\x7e]+$/.test(text)) return 'is not an https: URL'
  const url = URL.parse(text)
  if (!url) return 'is not a URL'
  if (url.username || url.password) return 'has a user or password'
  if (text.includes('#')) return 'has a fragment'
  if (url.port) return 'has a port'
  if (url.pathname === '/') return 'has no path'
  // Dot segments, another spelling of the host, a default port: there is one way to write it.
  if (url.href !== text || /%2e/i.test(url.pathname)) return 'is not written as parsers write it'
  if (!/^(?:[a-z\d_-]+\.)+[a-z][a-z\d-]*$/.test(url.hostname)) return 'has no name of a public host'
  return undefined
}

/** @throws {FetchError} */
export async function fetchPublic(
  text: string,
  network: Network,
  patience = PATIENCE,
): Promise<Fetched> {
  const fault = urlFault(text)
  if (fault) throw new FetchError(fault, true)
  const url = new URL(text)
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(new FetchError('took too long', false)), patience)
  const tooLate = new Promise<never>((_, reject) => {
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason), { once: true })
  })
  try {
    return await Promise.race([ask(url, network, stop.signal), tooLate])
  } catch (error) {
    if (error instanceof FetchError) throw error
    throw new FetchError(`cannot be fetched: ${toError(error).message}`, false)
  } finally {
    clearTimeout(timer)
    // What is left of the answer is not read any more.
    stop.abort(new FetchError('is over', false))
  }
}

/**
 * Asks the host that a URL names at one address.
 *
 * The connection is its own: many names share an address, and none may find one that was proved for another.
 *
 * @param place for tests: another port, and who signs.
 */
export function connectPinned(
  url: URL,
  address: string,
  signal: AbortSignal,
  place: { port?: number; ca?: string } = {},
): Promise<Response> {
  const host = address.includes(':') ? `[${address}]` : address
  const port = place.port === undefined ? '' : `:${place.port}`
  return fetch(`https://${host}${port}${url.pathname}${url.search}`, {
    headers: {
      host: url.host,
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': 'mcp-gateway',
    },
    redirect: 'manual',
    keepalive: false,
    decompress: false,
    signal,
    tls: { serverName: url.hostname, ...(place.ca !== undefined && { ca: place.ca }) },
  })
}

async function ask(url: URL, network: Network, signal: AbortSignal): Promise<Fetched> {
  const address = judged(await network.resolve(url.hostname))
  return read(await network.connect(url, address, signal))
}

/** The one to go to. One that is not public makes all of them suspect. */
function judged(addresses: string[]): string {
  for (const text of addresses) {
    const address = parseAddress(text)
    if (!address || !isPublic(address)) throw new FetchError('is not on the internet', false)
  }
  const v4 = addresses.find((address) => !address.includes(':'))
  const [any] = addresses
  if (any === undefined) throw new FetchError('has no address', false)
  // Machines without IPv6 are still common, those without IPv4 are not, and get it through NAT64.
  return v4 ?? any
}

async function read(response: Response): Promise<Fetched> {
  const { status, headers } = response
  if (status !== 200) throw new FetchError(`was answered with ${status}`, isGone(status))
  if (headers.has('content-encoding') && headers.get('content-encoding') !== 'identity')
    throw new FetchError('came compressed', true)
  if (!/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(headers.get('content-type') ?? ''))
    throw new FetchError('is not application/json', true)
  const text = await bounded(response)
  try {
    return { json: JSON.parse(text), maxAge: maxAgeOf(headers.get('cache-control') ?? '') }
  } catch {
    throw new FetchError('is not JSON', true)
  }
}

function isGone(status: number): boolean {
  return status === 404 || status === 410 || (status >= 300 && status < 400)
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > MOST_BYTES) throw new FetchError(`has more than ${MOST_BYTES} bytes`, true)
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

function maxAgeOf(cacheControl: string): number | undefined {
  if (/(?:^|[\s,])no-(?:store|cache)(?:$|[\s,;])/i.test(cacheControl)) return 0
  const [, seconds] = /(?:^|[\s,])max-age="?(\d{1,9})/i.exec(cacheControl) ?? []
  return seconds === undefined ? undefined : Number(seconds)
}
