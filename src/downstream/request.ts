/** What an HTTP request says of itself: which answers it takes, and JSON of bounded size. */
import { GatewayError } from '../errors.ts'
import { type MalformedMessage, type Message, parseBody } from '../rpc/message.ts'

/** Whether a client that sent this Accept takes a type. */
export function accepts(accept: string, type: string): boolean {
  const header = accept.toLowerCase()
  if (header.includes(type) || header.includes('*/*')) return true
  return header.includes(`${type.slice(0, type.indexOf('/'))}/*`)
}

/** Of the two forms of an answer, the one that a client with this Accept likes better: it names that first. */
export function preferredForm(accept: string): 'json' | 'stream' {
  const first = /application\/json|text\/event-stream|\*\/\*/i.exec(accept)?.[0].toLowerCase()
  return first === 'text/event-stream' ? 'stream' : 'json'
}

/**
 * The text of a body that says it is JSON.
 *
 * @throws {GatewayError} `unsupported_media_type`, or `body_too_large` before more than `limit` bytes are held; at once
 *   or as a rejection.
 */
export function readJson(request: Request, limit: number): Promise<string> {
  const { headers } = request
  if (!/^application\/json\s*(;|$)/i.test(headers.get('content-type') ?? '')) {
    throw new GatewayError('unsupported_media_type', 'Content-Type: expected application/json')
  }
  const size = headers.get('content-length')
  if (Number(size) > limit) throw tooLarge(limit)
  return size === null ? readChunks(request, limit) : request.text()
}

/** @throws {GatewayError} `parse_error`, `invalid_request` */
export function parseMessages(text: string): Message | Message[] {
  try {
    return parseBody(text)
  } catch (error) {
    const { code, message } = error as MalformedMessage
    throw new GatewayError(code === -32700 ? 'parse_error' : 'invalid_request', message)
  }
}

async function readChunks(request: Request, limit: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.length
    if (size > limit) throw tooLarge(limit)
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

function tooLarge(limit: number): GatewayError {
  return new GatewayError('body_too_large', `the request body is over ${limit} bytes`, {
    hint: 'raise gateway.maxBodySize',
  })
}
