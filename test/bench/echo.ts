/**
 * The least an HTTP server on Bun can do for the same request: parse it, and serialise an answer of
 * the asked size. Nothing stands behind it. A list is the same for everybody, so its text is ready.
 * Arguments: the port.
 */
import { type Burst, burstResult, burstTool, progressText } from './burst.ts'
import { listing } from './question.ts'
import { type Call, resultOf, type ToolResult } from './result.ts'

interface Message {
  id?: number | string
  method: string
  params?: { name?: string; arguments?: Call | Burst; _meta?: { progressToken?: unknown } }
}

const json = { headers: { 'content-type': 'application/json' } }
const stream = { headers: { 'content-type': 'text/event-stream' } }
const results = new Map<string, ToolResult>()
let list: string | undefined

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.argv[2]),
  development: false,
  async fetch(request) {
    if (request.method !== 'POST') return new Response('ok')
    const { id, method, params } = (await request.json()) as Message
    if (id === undefined) return new Response(null, { status: 202 })
    if (method === 'tools/list') {
      list ??= JSON.stringify(listing().result)
      return new Response(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${list}}`, json)
    }
    if (params?.name === burstTool) {
      const { progressToken } = params._meta ?? {}
      return new Response(burst(id, progressToken, params.arguments as Burst), stream)
    }
    const result = resultFor((params?.arguments as Call) ?? { shape: 'text', bytes: 200 })
    return Response.json({ jsonrpc: '2.0', id, result })
  },
})

function burst(id: number | string, token: unknown, asked: Burst): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      const say = (text: string) => controller.enqueue(Buffer.from(`data: ${text}\n\n`))
      for (let progress = 1; progress <= asked.events; progress++) {
        say(progressText(token, progress, asked.events))
      }
      say(JSON.stringify({ jsonrpc: '2.0', id, result: burstResult(asked) }))
      controller.close()
    },
  })
}

function resultFor(call: Call): ToolResult {
  const key = `${call.shape} ${call.bytes}`
  const known = results.get(key)
  if (known) return known
  const fresh = resultOf(call)
  results.set(key, fresh)
  return fresh
}
