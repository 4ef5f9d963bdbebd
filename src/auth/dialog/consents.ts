/**
 * What people have allowed, so that they are not asked the same thing twice.
 *
 * Only where nobody but the client can be at the other end: at an `https:` URL of a client that is known. Whoever listens on a
 * port of this computer, or has a scheme of URLs for itself, may be another program every time (RFC 8252 §8.6).
 */
import type { Store } from '../../store/store.ts'
import type { Client, Scope } from '../clients/client.ts'
import type { Person } from '../people/person.ts'

/** What is asked of whom, and where the answer goes. */
export interface Wish {
  person: Person
  client: Client
  redirectURI: string
  scopes: readonly Scope[]
  endpoint: string
}

/** As it is kept, in `consents`. */
interface Kept {
  clientId: string
}

const LIFETIME = 180 * 24 * 3_600_000

export class Consents {
  readonly #store: Store
  readonly #now: () => number

  constructor(store: Store, now: () => number = Date.now) {
    this.#store = store
    this.#now = now
  }

  async has(wish: Wish): Promise<boolean> {
    return isMemorable(wish) && (await this.#store.get('consents', keyOf(wish))) !== undefined
  }

  async remember(wish: Wish): Promise<void> {
    if (!isMemorable(wish)) return
    const value: Kept = { clientId: wish.client.id }
    const expiresAt = this.#now() + LIFETIME
    await this.#store.update<Kept>('consents', keyOf(wish), () => ({ value, expiresAt }))
  }

  /** Asks again, before this person lets this client do anything more. */
  async forget(person: string, clientId: string): Promise<void> {
    for await (const [key, kept] of this.#store.list<Kept>('consents')) {
      if (!key.startsWith(`${person} `) || kept.clientId !== clientId) continue
      await this.#store.update('consents', key, () => undefined)
    }
  }
}

function isMemorable({ client, redirectURI }: Wish): boolean {
  return client.kind !== 'unverified' && redirectURI.startsWith('https://')
}

function keyOf({ person, client, redirectURI, scopes, endpoint }: Wish): string {
  const what = [client.id, new URL(redirectURI).host, [...scopes].sort(), endpoint]
  const digest = new Bun.CryptoHasher('sha256').update(JSON.stringify(what)).digest('base64url')
  return `${person.id} ${digest}`
}
