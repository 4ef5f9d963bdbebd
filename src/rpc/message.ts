/**
 * JSON-RPC 2.0 messages whose payloads stay text.
 *
 * `params`, `result` and `error` are the very bytes that came; ids are kept as JSON text too, so that `0`, `"0"` and
 * 2^53+1 go back as they were asked. Other members of the envelope belong to the hop they came on and go no further.
 */
import { DuplicateMemberError, Json, keyAt, type Layout, layout } from './json.ts'

/** A request id as JSON text: `7`, `"7"`. */
export type Id = string

export type Message = Request | Notification | Answer
export interface Request {
  kind: 'request'
  id: Id
  method: string
  params: Json | undefined
}
export interface Notification {
  kind: 'notification'
  method: string
  params: Json | undefined
}
/** `id` is `null` where the other side could not read what it answers. */
export type Answer =
  | { kind: 'result'; id: Id; result: Json }
  | { kind: 'error'; id: Id | 'null'; error: Json }

/** A text that is not JSON (`-32700`) or no JSON-RPC message (`-32600`). */
export class MalformedMessage extends Error {
  override name = 'MalformedMessage'
  readonly code: -32700 | -32600

  constructor(code: -32700 | -32600, message: string) {
    super(message)
    this.code = code
  }
}

/**
 * Reads one message.
 *
 * @throws {MalformedMessage} also for members given twice: our reader and the next might each take another one.
 */
export function parseMessage(text: string): Message {
  return fromLayout(text, layoutOf(text))
}

/**
 * Reads one message, or the several of a batch.
 *
 * @throws {MalformedMessage} if any of them is malformed, or the batch is empty.
 */
export function parseBody(text: string): Message | Message[] {
  return batchOf(text)?.map(parseMessage) ?? parseMessage(text)
}

/**
 * The texts of the messages in a JSON-RPC batch; undefined if the text is no array.
 *
 * @throws {MalformedMessage} if the array is malformed or empty.
 */
export function batchOf(text: string): string[] | undefined {
  if (!/^\s*\[/.test(text)) return undefined
  const { spans } = layoutOf(text)
  if (spans.length === 0) throw new MalformedMessage(-32600, 'an empty batch')
  const messages: string[] = []
  for (let i = 0; i < spans.length; i += 2) messages.push(text.slice(spans[i]!, spans[i + 1]!))
  return messages
}

/** One spelling per id, so that an answer or a cancellation finds its request. */
export function canonicalId(id: Id): Id {
  return id.includes('\\') ? JSON.stringify(JSON.parse(id)) : id
}

export function requestText(id: Id, method: string, params: Json | undefined): string {
  const tail = params ? `,"params":${params.text}}` : '}'
  return `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)}${tail}`
}

export function notificationText(method: string, params: Json | undefined): string {
  const tail = params ? `,"params":${params.text}}` : '}'
  return `{"jsonrpc":"2.0","method":${JSON.stringify(method)}${tail}`
}

export function resultText(id: Id, result: Json): string {
  return `{"jsonrpc":"2.0","id":${id},"result":${result.text}}`
}

export function errorText(id: Id | 'null', error: Json): string {
  return `{"jsonrpc":"2.0","id":${id},"error":${error.text}}`
}

/**
 * The id that a text which is no message seems to answer. Good for failing that one request, for nothing else: the
 * author of the text chose it.
 */
export function seemingId(text: string): Id | undefined {
  const opening = text.slice(0, 96)
  // Its id is the asker's own.
  if (OPENS_QUESTION.test(opening)) return undefined
  return (OPENS_WITH_ID.exec(opening) ?? CLOSES_WITH_ID.exec(text.slice(-64)))?.[1]
}

const OPENS_QUESTION = /^\s*\{(?:\s*"(?:jsonrpc|id)"\s*:\s*(?:"[^"\\]*"|\d+)\s*,)*\s*"method"\s*:/
const OPENS_WITH_ID = /^\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*"id"\s*:\s*(\d+)\s*,/
const CLOSES_WITH_ID = /[,{]\s*"id"\s*:\s*(\d+)\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$/

function layoutOf(text: string): Layout {
  try {
    return layout(text)
  } catch (error) {
    throw new MalformedMessage(-32700, `not JSON: ${(error as Error).message}`)
  }
}

function fromLayout(text: string, { kind, spans }: Layout): Message {
  if (kind !== 'object') throw invalid('expected an object')
  let version: string | undefined
  let id: Id | undefined
  let method: string | undefined
  let params: Json | undefined
  let result: Json | undefined
  let error: Json | undefined

  for (let i = 0; i < spans.length; i += 4) {
    const key = keyAt(text, spans[i]!, spans[i + 1]!)
    const start = spans[i + 2]!
    const end = spans[i + 3]!
    switch (key) {
      case 'jsonrpc':
        once(version, key)
        version = text.slice(start, end)
        break
      case 'id':
        once(id, key)
        id = text.slice(start, end)
        break
      case 'method':
        once(method, key)
        if (text[start] !== '"') throw invalid('expected "method" to be a string')
        method = keyAt(text, start + 1, end - 1)
        break
      case 'params':
        once(params, key)
        params = Json.slice(text, start, end)
        break
      case 'result':
        once(result, key)
        result = Json.slice(text, start, end)
        break
      case 'error':
        once(error, key)
        error = Json.slice(text, start, end)
        break
    }
  }

  if (version !== '"2.0"') throw invalid('expected "jsonrpc": "2.0"')
  if (method !== undefined) {
    if (result || error) throw invalid('both a question and an answer')
    if (params && !params.isObject) throw invalid('expected "params" to be an object')
    if (id === undefined) return { kind: 'notification', method, params }
    if (!isId(id)) throw invalid('expected "id" to be a string or a number')
    return { kind: 'request', id, method, params }
  }
  if (id === undefined) throw invalid('neither "method" nor "id"')
  if (result && !error && isId(id)) return { kind: 'result', id, result }
  if (error && !result && (isId(id) || id === 'null')) return { kind: 'error', id, error }
  throw invalid('expected an answer with a string or number "id" and either "result" or "error"')
}

function once(value: unknown, key: string): void {
  if (value !== undefined) throw invalid(new DuplicateMemberError(key).message)
}

/** Whether a JSON text is a string or a number. */
export function isId(text: string): boolean {
  const c = text.charCodeAt(0)
  return c === 34 || c === 45 || (c >= 48 && c <= 57)
}

function invalid(why: string): MalformedMessage {
  return new MalformedMessage(-32600, `not a JSON-RPC message: ${why}`)
}
