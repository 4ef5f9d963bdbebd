/**
 * The URL that clients know us by. It stands in every document, redirect and answer, and must be the same bytes everywhere.
 *
 * It is the one that is configured. Where none is, only who comes to the loopback is told what he came to: what others
 * say in Host is never repeated to anybody.
 */
import { isLoopback } from '../addresses.ts'
import type { Config } from '../config/schema.ts'
import { GatewayError } from '../errors.ts'

export class Issuer {
  /** As it was configured, to the byte. */
  readonly id: string
  readonly #base: string

  private constructor(id: string) {
    this.id = id
    this.#base = id.replace(/\/+$/, '')
  }

  /** @throws {GatewayError} `invalid_request`, if nobody may know. */
  static of({ url }: Request, { gateway: { baseURL } }: Config): Issuer {
    if (baseURL !== undefined) return new Issuer(baseURL)
    const { origin, hostname } = new URL(url)
    if (isLoopback(hostname)) return new Issuer(origin)
    throw new GatewayError(
      'invalid_request',
      'logins need gateway.baseURL, which is not configured',
      {
        hint: 'write the URL by which clients reach the gateway into gateway.baseURL',
      },
    )
  }

  /** The URL of one of our own paths: `at('/oauth/token')`. */
  at(path: string): string {
    return this.#base + path
  }

  /** The path of the URL itself: '' or `/gw`. */
  get path(): string {
    return new URL(this.#base).pathname.replace(/\/+$/, '')
  }
}
