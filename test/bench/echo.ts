/**
 * The least an HTTP server on Bun can do for the same request: parse it, and serialise an answer of
 * the asked size. Nothing stands behind it. Arguments: the port.
 */
import { type Call, resultOf, type ToolResult } from './result.ts'

interface Message {
  id?: number | string
  params?: { arguments?: Call }
}

const results = new Map<string, ToolResult>()

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.argv[2]),
  development: false,
  async fetch(request) {
    if (request.method !== 'POST') return new Response('ok')
    const { id, params } = (await request.json()) as Message
    if (id === undefined) return new Response(null, { status: 202 })
    const result = resultFor(params?.arguments ?? { shape: 'text', bytes: 200 })
    return Response.json({ jsonrpc: '2.0', id, result })
  },
})

function resultFor(call: Call): ToolResult {
  const key = `${call.shape} ${call.bytes}`
  const known = results.get(key)
  if (known) return known
  const fresh = resultOf(call)
  results.set(key, fresh)
  return fresh
}
