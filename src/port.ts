/**
 * The port we listen on. It can be moved, and its certificate replaced, while requests are in flight: they end where they
 * began.
 */
import { readFileSync } from 'node:fs'
import { isLoopback } from './addresses.ts'
import type { Config } from './config/schema.ts'
import { toError } from './errors.ts'

/** In seconds. Beyond the longest silence of a stream (see KEEP_ALIVE), and the most that Bun takes. */
export const IDLE_TIMEOUT = 255

export type Server = Bun.Server<undefined>

/** What answers. */
export interface Answering {
  fetch(request: Request, server: Server): Response | Promise<Response>
  error(error: Error): Response
}

/** The files of `gateway.tls` are of no use. Its message says why. */
export class CertificateError extends Error {
  override name = 'CertificateError'
}

interface Place {
  hostname: string
  port: number
  tls?: { cert: string; key: string }
}

export class Port {
  readonly #answering: Answering
  #server: Server
  /** With the port that was found, if any would do. */
  #place: Place
  /** Those that still answer what they were asked. */
  readonly #former = new Set<Server>()

  /** @throws {Error} with code `EADDRINUSE` and the like, or a `CertificateError`. */
  constructor(config: Config, answering: Answering) {
    this.#answering = answering
    const place = placeOf(config)
    this.#server = this.#open(place)
    this.#place = { ...place, port: this.#server.port! }
  }

  get url(): URL {
    return this.#server.url
  }

  /**
   * Goes where the configuration wants it.
   *
   * @throws {Error} if it cannot; then it stays where it is.
   */
  apply(config: Config): void {
    const place = placeOf(config)
    const { port } = this.#place
    const next = { ...place, port: place.port || port }
    if (JSON.stringify(next) === JSON.stringify(this.#place)) return
    const former = this.#server
    if (next.port === port) {
      // It must not be given up for an address or a certificate that is of no use.
      void this.#open({ ...next, port: 0 }).stop(true)
      this.#leave(former)
      this.#server = this.#openOr(next, this.#place)
    } else {
      this.#server = this.#open(next)
      this.#leave(former)
    }
    this.#place = next
  }

  /** Listens no more. What was answered last gets `ms` to reach a slow reader. */
  async stop(ms: number): Promise<void> {
    const all = [this.#server, ...this.#former]
    await Promise.race([Promise.all(all.map((server) => server.stop())), Bun.sleep(ms)])
    await Promise.all(all.map((server) => server.stop(true)))
  }

  #leave(former: Server): void {
    this.#former.add(former)
    void former.stop().then(() => this.#former.delete(former))
  }

  /** @throws {Error} if that was not to be had; then it listens where it did before. */
  #openOr(next: Place, before: Place): Server {
    try {
      return this.#open(next)
    } catch (error) {
      this.#server = this.#open(before)
      throw error
    }
  }

  #open(place: Place): Server {
    try {
      const { fetch, error } = this.#answering
      return Bun.serve({
        ...place,
        idleTimeout: IDLE_TIMEOUT,
        // Bodies are measured where they are read, so that the refusal says what to do.
        maxRequestBodySize: Number.MAX_SAFE_INTEGER,
        // Bun's development pages show source and message.
        development: false,
        error,
        // What was sent to where we were is not to be judged by the rules of where we are.
        fetch: (request, server) => (this.#former.has(server) ? moved() : fetch(request, server)),
      })
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (!place.tls || !code?.startsWith('ERR_OSSL')) throw error
      throw new CertificateError(
        code.endsWith('KEY_VALUES_MISMATCH')
          ? 'gateway.tls: the key is not that of the certificate'
          : `gateway.tls: the certificate or its key is not PEM that can be used: ${message}`,
      )
    }
  }
}

function moved(): Response {
  return new Response(null, { status: 503, headers: { connection: 'close' } })
}

/** Where nobody is asked who they are, nobody from outside may come, unless the configuration says so aloud. */
export function address({ auth, gateway: { allowUnauthenticated, host } }: Config): string {
  const isAsked = auth.tokens.length > 0 || auth.oauth !== undefined
  return isAsked || allowUnauthenticated || isLoopback(host) ? host : '127.0.0.1'
}

/** @throws {CertificateError} if it cannot be read. */
function placeOf(config: Config): Place {
  const { port, tls } = config.gateway
  const hostname = address(config)
  if (!tls) return { hostname, port }
  const read = (name: 'cert' | 'key') => {
    try {
      return readFileSync(tls[name], 'utf8')
    } catch (error) {
      throw new CertificateError(`gateway.tls.${name}: cannot be read: ${toError(error).message}`)
    }
  }
  return { hostname, port, tls: { cert: read('cert'), key: read('key') } }
}
