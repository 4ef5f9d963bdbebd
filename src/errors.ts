/**
 * What can go wrong, and the two ways it is told: to JSON-RPC and to HTTP.
 *
 * Our own faults are `GatewayError`s with a code, a subject and a way out. What a peer answers travels verbatim, as
 * `RpcError`. Nothing else may reach the wire: an unknown error becomes a plain "internal error".
 */
import { DuplicateMemberError, Json } from './rpc/json.ts'

/** Everything the gateway itself can refuse or fail with. */
export type GatewayErrorCode = keyof typeof FACES

/** How each code looks from outside: the JSON-RPC code, and the HTTP status where HTTP is the one asked. */
const FACES = {
  // The asker's fault.
  parse_error: { rpc: -32700, http: 400 },
  invalid_request: { rpc: -32600, http: 400 },
  invalid_params: { rpc: -32602, http: 400 },
  method_not_found: { rpc: -32601, http: 404 },
  name_unknown: { rpc: -32602, http: 404 },
  resource_unknown: { rpc: -32002, http: 404 },
  unauthorized: { rpc: -32600, http: 401 },
  forbidden: { rpc: -32600, http: 403 },
  endpoint_unknown: { rpc: -32600, http: 404 },
  session_required: { rpc: -32600, http: 400 },
  session_unknown: { rpc: -32600, http: 404 },
  not_acceptable: { rpc: -32600, http: 406 },
  unsupported_media_type: { rpc: -32600, http: 415 },
  method_not_allowed: { rpc: -32600, http: 405 },
  body_too_large: { rpc: -32600, http: 413 },
  conflict: { rpc: -32600, http: 409 },
  // Ours, or a server's.
  internal: { rpc: -32603, http: 500 },
  session_ended: { rpc: -32603, http: 503 },
  too_many_sessions: { rpc: -32603, http: 503 },
  too_many_requests: { rpc: -32603, http: 429 },
  shutting_down: { rpc: -32603, http: 503 },
  upstream_unreachable: { rpc: -32603, http: 502 },
  upstream_closed: { rpc: -32603, http: 502 },
  upstream_protocol: { rpc: -32603, http: 502 },
  upstream_unauthorized: { rpc: -32603, http: 502 },
  upstream_session_lost: { rpc: -32603, http: 502 },
  upstream_busy: { rpc: -32603, http: 504 },
  upstream_timeout: { rpc: -32603, http: 504 },
} as const

export interface ErrorDetail {
  /** The configured server it is about. */
  server?: string
  /** What to do about it. */
  hint?: string
  cause?: unknown
  /** What an HTTP response says of it beside its status. */
  headers?: Record<string, string>
}

/** A fault with a code, said so that its reader knows what failed and what to do. */
export class GatewayError extends Error {
  override name = 'GatewayError'
  readonly code: GatewayErrorCode
  readonly server: string | undefined
  readonly hint: string | undefined
  readonly headers: Record<string, string> | undefined

  constructor(code: GatewayErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, { cause: detail.cause })
    this.code = code
    this.server = detail.server
    this.hint = detail.hint
    this.headers = detail.headers
  }

  get status(): number {
    return FACES[this.code].http
  }
}

/** A peer's own error answer, kept as it came: `{code, message, data?}` and whatever else it holds. */
export class RpcError extends Error {
  override name = 'RpcError'
  readonly error: Json

  constructor(error: Json) {
    super('the peer answered with an error')
    this.error = error
  }

  /** Undefined if it is none. */
  get code(): number | undefined {
    const code = this.error.member('code')?.get<unknown>()
    return typeof code === 'number' ? code : undefined
  }
}

/** The JSON-RPC face of any error. */
export function toRpc(error: unknown): Json {
  if (error instanceof RpcError) return error.error
  if (error instanceof GatewayError) {
    const { code, message, server, hint } = error
    return Json.of({ code: FACES[code].rpc, message, data: { code, server, hint } })
  }
  if (error instanceof DuplicateMemberError)
    return toRpc(new GatewayError('invalid_params', error.message))
  return Json.of({
    code: FACES.internal.rpc,
    message: 'Internal error',
    data: { code: 'internal' },
  })
}

/** The error of something thrown, whatever was thrown. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
