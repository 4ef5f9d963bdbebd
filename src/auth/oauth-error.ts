/** An error that OAuth has a word for, as clients are told it. */
export class OAuthError extends Error {
  override name = 'OAuthError'
  readonly code: OAuthErrorCode
  /** For the log; clients do not see it. */
  readonly reason: string | undefined

  /** @param message what clients are told: what is wrong with what they sent, and never with what they did not. */
  constructor(code: OAuthErrorCode, message: string, reason?: string) {
    super(message)
    this.code = code
    this.reason = reason
  }

  get status(): number {
    return STATUS[this.code] ?? 400
  }
}

/** RFC 6749 §4.1.2.1 and §5.2, RFC 7591 §3.2.2, RFC 8628 §3.5, RFC 8707 §2. */
export type OAuthErrorCode =
  | 'access_denied'
  | 'authorization_pending'
  | 'expired_token'
  | 'invalid_client'
  | 'invalid_client_metadata'
  | 'invalid_grant'
  | 'invalid_redirect_uri'
  | 'invalid_request'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_token'
  | 'server_error'
  | 'slow_down'
  | 'temporarily_unavailable'
  | 'too_many_requests'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'unsupported_response_type'

const STATUS: Partial<Record<OAuthErrorCode, number>> = {
  invalid_client: 401,
  invalid_token: 401,
  server_error: 500,
  temporarily_unavailable: 503,
  too_many_requests: 429,
}
