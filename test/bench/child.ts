/**
 * An MCP server over stdio that costs next to nothing: it reads and writes without an event loop,
 * answers all calls of one read with one write, and renders each result once. One tool answers with
 * the shape and size asked for, `burst` with as many progress notifications; others are only listed.
 * Arguments: what the one tool is called (read), and how many tools are listed (1).
 */
import { readSync, writeSync, writevSync } from 'node:fs'
import { type Burst, burstResult, burstTool, progressText } from './burst.ts'
import { toolsOf } from './catalog.ts'
import { Lines } from './lines.ts'
import { type Call, resultOf } from './result.ts'

interface Message {
  id?: number | string
  method: string
  params?: {
    protocolVersion?: string
    name?: string
    arguments?: Call | Burst
    _meta?: { progressToken?: unknown }
  }
}

interface Rendered {
  text: string
  bytes: Buffer
}

/** Above this a copy costs more than a write of its own. */
const large = 65_536
const [called = 'read', listed = '1'] = process.argv.slice(2)
const rendered = new Map<string, Rendered>()
const lines = new Lines()
const input = Buffer.allocUnsafe(65_536)
let output = ''

for (let count = readSync(0, input); count > 0; count = readSync(0, input)) {
  const portion = input.subarray(0, count)
  lines.push(portion.at(-1) === 10 ? portion : Buffer.from(portion), answer)
  flush()
}

function answer(line: Buffer): void {
  const { id, method, params }: Message = JSON.parse(line.toString())
  if (id === undefined) return
  const tail = `${JSON.stringify(id)}}\n`
  if (method !== 'tools/call') {
    output += resultText(control(method, params)) + tail
    return
  }
  if (params?.name === burstTool) {
    burst(params.arguments as Burst, params._meta?.progressToken, tail)
    return
  }
  if (params?.name !== called) {
    const error = { code: -32602, message: `Unknown tool: ${params?.name}` }
    output += `{"error":${JSON.stringify(error)},"jsonrpc":"2.0","id":${tail}`
    return
  }
  const result = toolResult((params.arguments as Call) ?? { shape: 'text', bytes: 200 })
  if (result.text.length < large) {
    output += result.text + tail
    if (output.length > large) flush()
    return
  }
  flush()
  writeAll([result.bytes, Buffer.from(tail)])
}

function control(method: string, params: Message['params']): unknown {
  if (method === 'initialize') {
    return {
      protocolVersion: params?.protocolVersion ?? '2025-11-25',
      capabilities: { tools: { listChanged: true } },
      serverInfo: { name: 'bench', version: '1.0.0' },
    }
  }
  if (method === 'tools/list') return { tools: toolsOf(called, Number(listed)) }
  return {}
}

function burst(asked: Burst, token: unknown, tail: string): void {
  for (let progress = 1; progress <= asked.events; progress++) {
    output += `${progressText(token, progress, asked.events)}\n`
    if (output.length > large) flush()
  }
  output += resultText(burstResult(asked)) + tail
}

function toolResult(call: Call): Rendered {
  const key = `${call.shape} ${call.bytes}`
  const known = rendered.get(key)
  if (known) return known
  const text = resultText(resultOf(call))
  const fresh = { text, bytes: Buffer.from(text) }
  rendered.set(key, fresh)
  return fresh
}

/** The member order of the TypeScript SDK, whose servers put the id last. */
function resultText(result: unknown): string {
  return `{"result":${JSON.stringify(result)},"jsonrpc":"2.0","id":`
}

function flush(): void {
  if (output === '') return
  const bytes = Buffer.from(output)
  output = ''
  writeAll([bytes])
}

function writeAll(parts: Buffer[]): void {
  const total = parts.reduce((sum, part) => sum + part.length, 0)
  let written = writevSync(1, parts)
  if (written === total) return
  const whole = Buffer.concat(parts)
  while (written < total) written += writeSync(1, whole, written)
}
