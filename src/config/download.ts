/** The text of a configuration at a URL. */
import { toError } from '../errors.ts'
import type { Secret } from '../secret.ts'

export interface DownloadOptions {
  headers: Readonly<Record<string, Secret>>
  /** In ms, for all of it; 0 for as long as it takes. */
  timeout: number
  /** Whether any certificate will do. */
  insecure: boolean
}

export const DOWNLOAD: DownloadOptions = { headers: {}, timeout: 10_000, insecure: false }

/** By what a server tells one version from another. */
export interface Version {
  etag?: string
  lastModified?: string
}

export interface Downloaded extends Version {
  text: string
}

const MOST_REDIRECTS = 10
/** In bytes. */
const MOST = 4 * 1024 * 1024

/**
 * Downloads a text; undefined if it is still that version.
 *
 * @throws {Error} whose message has no part of the URL, in which there may be secrets.
 */
export async function download(
  from: URL,
  options: DownloadOptions,
  known: Version = {},
): Promise<Downloaded | undefined> {
  const { timeout } = options
  const signal = timeout > 0 ? AbortSignal.timeout(timeout) : undefined
  try {
    const response = await followed(from, options, known, signal)
    if (response.status === 304 && isKnown(known)) return undefined
    if (!response.ok) throw new Error(`status ${response.status}`)
    const text = await textOf(response)
    const { etag, 'last-modified': lastModified } = Object.fromEntries(response.headers)
    return { text, ...(etag && { etag }), ...(lastModified && { lastModified }) }
  } catch (error) {
    if (signal?.aborted) {
      throw new Error(`it took more than ${timeout / 1000} s; --http-timeout allows more`)
    }
    throw new Error(reasonOf(toError(error)))
  }
}

const isKnown = ({ etag, lastModified }: Version) => Boolean(etag ?? lastModified)

/** What is asked of one origin is told to no other, and what is asked in secret is not told aloud. */
async function followed(
  from: URL,
  { headers, insecure }: DownloadOptions,
  { etag, lastModified }: Version,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const condition = {
    ...(etag && { 'if-none-match': etag }),
    ...(lastModified && { 'if-modified-since': lastModified }),
  }
  let url = from
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const asked = new Headers(condition)
    if (url.origin === from.origin) {
      for (const [name, value] of Object.entries(headers)) asked.set(name, value.reveal())
    }
    const response = await fetch(url, {
      headers: asked,
      redirect: 'manual',
      ...(signal && { signal }),
      // Bun's own timeout.
      timeout: false,
      tls: { rejectUnauthorized: !insecure },
    } as BunFetchRequestInit)
    const location = response.headers.get('location')
    if (!/^30[12378]$/.test(`${response.status}`) || location === null) return response
    await response.body?.cancel()
    const next = URL.parse(location, url.href)
    if (!next || !/^https?:$/.test(next.protocol)) {
      throw new Error('it redirects to what is no URL of http: or https:')
    }
    if (url.protocol === 'https:' && next.protocol === 'http:') {
      throw new Error('it redirects from https: to http:, where anybody could change it')
    }
    url = next
  }
  throw new Error(`it redirects more than ${MOST_REDIRECTS} times`)
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    // Leaving the loop ends the download.
    if (length > MOST) throw new Error(`it has more than ${MOST / 1024 / 1024} MiB`)
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

function reasonOf({ message, code }: Error & { code?: string }): string {
  const isUntrusted = code !== undefined && /CERT|SIGN|VERIFY|TLS/.test(code)
  return isUntrusted ? `${message}; --insecure takes any certificate` : message
}
