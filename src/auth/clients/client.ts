/** A program that asks people to let it use the gateway for them. */
export interface Client {
  readonly id: string
  /** What it calls itself. Nobody has checked it, unless it is configured. */
  readonly name: string
  /**
   * How it is known: it is configured; at its id there is a document about it; it has registered itself; or it is not known
   * at all, but runs on the machine of its user.
   */
  readonly kind: 'configured' | 'document' | 'registered' | 'unverified'
  /** Compare by `allowsRedirect` of redirects.ts. */
  readonly redirectURIs: readonly string[]
  /** How it proves who it is at the token endpoint. */
  readonly authentication: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
  readonly grantTypes: readonly string[]
}

/** The scopes there are: `mcp` to use servers, `admin` to see and change what runs. */
export const SCOPES = ['mcp', 'admin'] as const
export type Scope = (typeof SCOPES)[number]
