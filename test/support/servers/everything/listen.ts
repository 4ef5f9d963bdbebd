/** The two ways to speak MCP over HTTP, each with a server for every session that is opened. */
import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import {
  type EventStore,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { type JSONRPCMessage, JSONRPCMessageSchema } from '@modelcontextprotocol/sdk/types.js'

/** Streamable HTTP. */
export function serveHttp(openServer: () => Server, port: number): URL {
  const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>()
  const open = async () => {
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
      eventStore: memory(),
      retryInterval: 100,
    })
    await openServer().connect(transport)
    return transport
  }
  const root = listen(port, async (request, { pathname }) => {
    if (pathname !== '/mcp') return
    const id = request.headers.get('mcp-session-id')
    const transport = id === null ? await open() : sessions.get(id)
    const response = await transport?.handleRequest(request)
    return response && opened(response)
  })
  return new URL('/mcp', root)
}

/** HTTP+SSE of 2024-11-05. */
export function serveSse(openServer: () => Server, port: number): URL {
  const sessions = new Map<string, SseTransport>()
  const open = async () => {
    const transport = new SseTransport()
    sessions.set(transport.sessionId, transport)
    transport.onclose = () => void sessions.delete(transport.sessionId)
    await openServer().connect(transport)
    return transport
  }
  const root = listen(port, async (request, { pathname, searchParams }) => {
    if (request.method === 'GET' && pathname === '/sse') return (await open()).response
    if (request.method === 'POST' && pathname === '/messages') {
      return sessions.get(searchParams.get('sessionId') ?? '')?.receive(request)
    }
    return
  })
  return new URL('/sse', root)
}

/** Answers 404 where `answer` has nothing to say. */
function listen(
  port: number,
  answer: (request: Request, url: URL) => Promise<Response | undefined>,
): URL {
  const { url } = Bun.serve({
    hostname: '127.0.0.1',
    port,
    idleTimeout: 0,
    async fetch(request) {
      if (!isLocal(request)) return new Response(null, { status: 403 })
      return (await answer(request, new URL(request.url))) ?? new Response(null, { status: 404 })
    },
  })
  return url
}

/** Whether neither Host nor Origin names another machine: a web page must not reach us. */
function isLocal({ headers }: Request): boolean {
  const origin = headers.get('origin') ?? 'http://localhost'
  return [`http://${headers.get('host')}`, origin].every((url) =>
    ['localhost', '127.0.0.1', '[::1]'].includes(URL.parse(url)?.hostname ?? ''),
  )
}

/** Keeps every event of one session; an event's id is its place among them. */
function memory(): EventStore {
  const events: { stream: string; message: JSONRPCMessage }[] = []
  return {
    storeEvent: async (stream, message) => String(events.push({ stream, message }) - 1),
    getStreamIdForEventId: async (id) => events[Number(id)]?.stream,
    async replayEventsAfter(id, { send }) {
      const stream = events[Number(id)]?.stream ?? ''
      for (const [place, event] of events.entries()) {
        // The SDK stores the event that opens a stream as an empty object, which is no message.
        const due = place > Number(id) && event.stream === stream && 'jsonrpc' in event.message
        if (due) await send(String(place), event.message)
      }
      return stream
    },
  }
}

/** Bun holds the headers of a stream back until its first byte, and a GET may wait long for one. */
function opened(response: Response): Response {
  if (response.headers.get('content-type') !== 'text/event-stream') return response
  const comment = new TransformStream<Uint8Array, Uint8Array>({
    start: (stream) => stream.enqueue(new TextEncoder().encode(': open\n\n')),
  })
  return new Response(response.body?.pipeThrough(comment), response)
}

/** One session: everything the server says goes to the stream of the GET that opened it. The SDK's own needs `node:http`. */
class SseTransport implements Transport {
  readonly sessionId = crypto.randomUUID()
  readonly response: Response
  onclose?: () => void
  onmessage?: (message: JSONRPCMessage) => void
  #stream!: ReadableStreamDefaultController<Uint8Array>

  constructor() {
    const body = new ReadableStream<Uint8Array>({
      start: (stream) => {
        this.#stream = stream
      },
      cancel: () => this.onclose?.(),
    })
    const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }
    this.response = new Response(body, { headers })
  }

  async start(): Promise<void> {
    this.#write('endpoint', `/messages?sessionId=${this.sessionId}`)
  }

  async send(message: JSONRPCMessage): Promise<void> {
    this.#write('message', JSON.stringify(message))
  }

  async close(): Promise<void> {
    this.#stream.close()
    this.onclose?.()
  }

  async receive(request: Request): Promise<Response> {
    const message = JSONRPCMessageSchema.safeParse(await request.json().catch(() => undefined))
    if (!message.success) return new Response('Not a message', { status: 400 })
    this.onmessage?.(message.data)
    return new Response('Accepted', { status: 202 })
  }

  #write(event: string, data: string): void {
    this.#stream.enqueue(new TextEncoder().encode(`event: ${event}\ndata: ${data}\n\n`))
  }
}
