/**
 * Clients whose id is the URL of a document about them.
 *
 * The document is fetched as `public-fetch.ts` does it, and proves only that whoever has that URL wrote it.
 *
 * @see [Client ID Metadata Document](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-client-id-metadata-document)
 */

import { OAuthError } from '../oauth-error.ts'
import type { Jwk } from './assertion.ts'
import { type Description, describe } from './description.ts'
import { PINNED } from './pinned.ts'
import { FetchError, type Fetched, fetchPublic, INTERNET, type Network } from './public-fetch.ts'
import { Published } from './published.ts'
import { judgeDocumented } from './redirects.ts'

export interface DocumentsOptions {
  /** Private schemes that are allowed besides those of well-known clients. */
  allowed: () => readonly string[]
  now?: () => number
  network?: Network
}

export class Documents {
  readonly #documents: Published<unknown>
  readonly #keys: Published<Jwk[]>
  readonly #allowed: () => readonly string[]

  constructor({ allowed, now = Date.now, network = INTERNET }: DocumentsOptions) {
    const fetch = (url: string): Promise<Fetched> => fetchPublic(url, network)
    this.#allowed = allowed
    this.#documents = new Published({ fetch, parse: theirs, now })
    this.#keys = new Published({ fetch, parse: keysOf, now })
  }

  /**
   * What the document says at this moment, or said when it could last be had.
   *
   * @param kept what it once said, and is good if it cannot be fetched. Of well-known clients something is known anyway.
   * @throws {FetchError} if there is none, or it is not what it should be.
   */
  async describe(url: string, kept?: Description): Promise<Description> {
    try {
      return this.#judged(await this.#documents.get(url))
    } catch (error) {
      if (!(error instanceof FetchError)) throw error
      const pinned = PINNED.get(url)
      if (pinned) return this.#judged(pinned)
      if (kept && !error.isFinal) return this.#stillAllowed(kept)
      throw error
    }
  }

  /**
   * The keys that a client publishes.
   *
   * @param isNewer whether those that are known are not enough.
   * @throws {FetchError}
   */
  keys(url: string, isNewer: boolean): Promise<Jwk[]> {
    return this.#keys.get(url, isNewer)
  }

  #stillAllowed(kept: Description): Description {
    const judge = (uri: string) => judgeDocumented(uri, this.#allowed())
    return { ...kept, redirectURIs: kept.redirectURIs.filter((uri) => !judge(uri)) }
  }

  /** @throws {FetchError} */
  #judged(document: unknown): Description {
    try {
      return describe(document, (uri) => judgeDocumented(uri, this.#allowed()))
    } catch (error) {
      if (error instanceof OAuthError) throw new FetchError(error.message, true)
      throw error
    }
  }
}

/** @throws {FetchError} if it is about somebody else, or says what nobody may publish. */
function theirs(json: unknown, url: string): unknown {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new FetchError('is not a JSON object', true)
  const document = json as Record<string, unknown>
  if (document.client_id !== url) throw new FetchError('has another client_id', true)
  if ('client_secret' in document) throw new FetchError('has a secret in it', true)
  if (/^client_secret/.test(String(document.token_endpoint_auth_method)))
    throw new FetchError('asks for a secret, which cannot be shared', true)
  return withoutSecrets(document)
}

/** What a document may choose from are not the methods that need a secret. */
function withoutSecrets(document: Record<string, unknown>): Record<string, unknown> {
  const { token_endpoint_auth_methods_supported: methods } = document
  if (!Array.isArray(methods)) return document
  return {
    ...document,
    token_endpoint_auth_methods_supported: methods.filter(
      (method) => !/^client_secret/.test(String(method)),
    ),
  }
}

/** @throws {FetchError} */
function keysOf(json: unknown): Jwk[] {
  const { keys } = (json ?? {}) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new FetchError('is not a JWK set', true)
  return keys.filter((key) => typeof key === 'object' && key !== null).slice(0, 50)
}
