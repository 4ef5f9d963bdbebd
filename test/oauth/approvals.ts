/** Logins without people and pages: what tests of codes and tokens begin with. */
import * as v from 'valibot'
import type { Client } from '../../src/auth/clients/client.ts'
import type { Approval, Binding } from '../../src/auth/grants.ts'
import { Grants, type GrantsOptions, type TokenSet } from '../../src/auth/grants.ts'
import { Issuer } from '../../src/auth/issuer.ts'
import { ConfigSchema } from '../../src/config/schema.ts'
import { MemoryStore } from '../support/memory-store.ts'

export const VERIFIER = 'a-verifier-of-forty-three-characters-or-more'
export const CHALLENGE = new Bun.CryptoHasher('sha256').update(VERIFIER).digest('base64url')
export const REDIRECT = 'http://127.0.0.1:4000/callback'
export const HOUR = 3_600_000
export const DAY = 24 * HOUR

export const APPROVAL: Approval & Binding = {
  client: { id: 'editor', name: 'Editor' },
  person: { id: 'user:alice', name: 'alice' },
  scopes: ['mcp'],
  endpoint: '*',
  redirectURI: REDIRECT,
  challenge: CHALLENGE,
}

export const CLIENT: Client = {
  id: 'editor',
  name: 'Editor',
  kind: 'registered',
  redirectURIs: [REDIRECT],
  authentication: 'none',
  grantTypes: [
    'authorization_code',
    'refresh_token',
    'urn:ietf:params:oauth:grant-type:device_code',
  ],
}

/** As it is configured. */
export function issuerAt(baseURL: string): Issuer {
  const config = v.parse(ConfigSchema, { gateway: { baseURL }, mcpServers: {} })
  return Issuer.of(new Request(baseURL), config)
}

/** A clock that goes when it is told to. */
export class Clock {
  /** In ms. */
  ahead = 0
  readonly now = () => Date.now() + this.ahead
}

export interface Desk {
  grants: Grants
  clock: Clock
  store: MemoryStore
  /** The ids of grants that are gone, or a token of them, in order. */
  revoked: string[]
}

export function newDesk(options: Partial<GrantsOptions> = {}): Desk {
  const clock = new Clock()
  const store = new MemoryStore()
  const revoked: string[] = []
  const grants = new Grants({
    store,
    lifetimes: () => ({ access: HOUR, refresh: 30 * DAY }),
    isPerson: () => true,
    onRevoked: (id) => revoked.push(id),
    now: clock.now,
    ...options,
  })
  return { grants, clock, store, revoked }
}

export async function logIn(grants: Grants, approval: Partial<Approval> = {}): Promise<TokenSet> {
  const code = await grants.approve({ ...APPROVAL, ...approval })
  return grants.exchange({ code, clientId: APPROVAL.client.id, verifier: VERIFIER })
}

/** What something is refused with, and why. */
export async function refusalOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  const { code, reason, message } = error as { code: string; reason?: string; message: string }
  return `${code}: ${reason ?? message}`
}
