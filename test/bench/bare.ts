/**
 * The least that an MCP server with sessions takes on Bun: a map of them, an event stream for each,
 * and a comment on every stream now and then. It can be asked for nothing but `initialize`.
 * Arguments: the port.
 */
interface Message {
  id?: number | string
  method: string
  params?: { protocolVersion?: string }
}

type Stream = ReadableStreamDefaultController<Uint8Array>

const comment = Buffer.from(':\n\n')
const often = 15_000
const sessions = new Set<string>()
const streams = new Set<Stream>()

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.argv[2]),
  development: false,
  idleTimeout: 255,
  async fetch(request) {
    const session = request.headers.get('mcp-session-id') ?? ''
    if (request.method === 'GET') return sessions.has(session) ? listen() : counts()
    if (request.method === 'DELETE') return new Response(null, { status: 200 })
    const { id, method, params } = (await request.json()) as Message
    if (id === undefined) return new Response(null, { status: 202 })
    if (method !== 'initialize') return Response.json({ jsonrpc: '2.0', id, result: {} })
    const own = crypto.randomUUID()
    sessions.add(own)
    const result = {
      protocolVersion: params?.protocolVersion ?? '2025-11-25',
      capabilities: { tools: { listChanged: true } },
      serverInfo: { name: 'bare', version: '1.0.0' },
    }
    return Response.json({ jsonrpc: '2.0', id, result }, { headers: { 'mcp-session-id': own } })
  },
})

setInterval(() => {
  for (const stream of streams) stream.enqueue(comment)
}, often)

function counts(): Response {
  return Response.json({ sessions: sessions.size, streams: streams.size })
}

function listen(): Response {
  let own: Stream
  const body = new ReadableStream<Uint8Array>({
    start(stream) {
      own = stream
      streams.add(stream)
      stream.enqueue(comment)
    },
    cancel() {
      streams.delete(own)
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}
