/**
 * A remote MCP server that a test steers from within: what it answers, and how, byte for byte.
 *
 * It runs in the test's own process. As it stands it is a faithful Streamable HTTP server with a session and without a
 * stream of its own; `on` replaces what it does, by JSON-RPC method, `answer` for an answer, or else by HTTP method.
 */

/** A request as it came. */
export interface Seen {
  kind: string
  path: string
  headers: Headers
  text: string
  /** Its JSON-RPC id. */
  id: number
  params: Record<string, unknown>
  /** Resolves when the client has gone before the end of the response. */
  left: Promise<void>
}

export type Answering = (request: Seen) => Response | Promise<Response>

export const SESSION = 'session-1'
export const INTRODUCTION =
  '{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"remote","version":"1"}}'

export const result = (id: number, value = '{}') => `{"jsonrpc":"2.0","id":${id},"result":${value}}`
export const event = (data: string, id?: string) =>
  `${id === undefined ? '' : `id: ${id}\n`}data: ${data}\n\n`

export const status = (status: number, body = '', headers: Record<string, string> = {}) =>
  new Response(body === '' ? null : body, { status, headers })
export const json = (text: string, status = 200, headers: Record<string, string> = {}) =>
  new Response(text, { status, headers: { 'Content-Type': 'application/json', ...headers } })

/** The body of an event stream, written while it is read. */
export class Written {
  readonly response: Response
  #controller!: ReadableStreamDefaultController<Uint8Array>

  constructor(text = '') {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller
      },
    })
    this.response = new Response(body, { headers: { 'Content-Type': 'text/event-stream' } })
    if (text !== '') this.write(text)
  }

  write(part: string | Uint8Array): this {
    this.#controller.enqueue(Buffer.from(part as string))
    return this
  }

  end(): Response {
    this.#controller.close()
    return this.response
  }

  /** Cuts the connection. */
  breakOff(): void {
    // Bun would print an error that is one.
    this.#controller.error()
  }
}

/** An event stream that says this and ends. */
export const stream = (text: string) => new Written(text).end()

export interface RemoteServer extends AsyncDisposable {
  readonly origin: string
  readonly url: string
  readonly on: Record<string, Answering>
  /** All requests so far. */
  readonly seen: Seen[]
  /** The next request of a kind that was not waited for yet. */
  next(kind: string): Promise<Seen>
}

export function startRemote(
  on: Record<string, Answering> = {},
  tls?: { key: string; cert: string },
): RemoteServer {
  const answering: Record<string, Answering> = { ...FAITHFUL, ...on }
  const seen: Seen[] = []
  const waited = new Set<Seen>()
  let arrived = Promise.withResolvers<void>()

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    ...(tls ? { tls } : {}),
    async fetch(request) {
      const text = await request.text()
      const one = read(request, text)
      seen.push(one)
      arrived.resolve()
      arrived = Promise.withResolvers()
      const answer = answering[one.kind] ?? (Number.isNaN(one.id) ? ACCEPT : EMPTY)
      return answer(one)
    },
  })
  const origin = server.url.origin
  return {
    origin,
    url: `${origin}/mcp`,
    on: answering,
    seen,
    async next(kind) {
      for (;;) {
        const one = seen.find((request) => request.kind === kind && !waited.has(request))
        if (one) {
          waited.add(one)
          return one
        }
        await arrived.promise
      }
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

const ACCEPT: Answering = () => status(202)
const EMPTY: Answering = ({ id }) => json(result(id))

const FAITHFUL: Record<string, Answering> = {
  initialize: ({ id }) => json(result(id, INTRODUCTION), 200, { 'Mcp-Session-Id': SESSION }),
  GET: () => status(405),
  DELETE: () => status(204),
}

function read(request: Request, text: string): Seen {
  const { id, method, params = {} } = text === '' ? {} : JSON.parse(text)
  const left = Promise.withResolvers<void>()
  request.signal.addEventListener('abort', () => left.resolve())
  const { pathname, search } = new URL(request.url)
  return {
    kind: request.method === 'POST' ? (method ?? 'answer') : request.method,
    path: pathname + search,
    headers: request.headers,
    text,
    id: method === undefined ? Number.NaN : Number(id),
    params,
    left: left.promise,
  }
}
