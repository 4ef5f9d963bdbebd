/** A client made of `fetch`, for what the SDK's clients would not do. */

export const ACCEPT = 'application/json, text/event-stream'

export const INITIALIZE = {
  protocolVersion: '2025-11-25',
  capabilities: {},
  clientInfo: { name: 'test', version: '1' },
}

/** Posts a body as it is given. */
export function post(
  url: URL,
  body: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: ACCEPT, ...headers },
    body,
  })
}

export function request(id: unknown, method: string, params?: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, params })
}

export function call(id: unknown, name: string, args: unknown = {}, meta?: unknown): string {
  return request(id, 'tools/call', { name, arguments: args, ...(meta ? { _meta: meta } : {}) })
}

/** A session that speaks in raw texts. */
export class RawSession {
  readonly url: URL
  readonly id: string
  readonly introduction: string

  private constructor(url: URL, id: string, introduction: string) {
    this.url = url
    this.id = id
    this.introduction = introduction
  }

  static async open(url: URL, params: Record<string, unknown> = {}): Promise<RawSession> {
    const response = await post(url, request(0, 'initialize', { ...INITIALIZE, ...params }))
    const text = await response.text()
    const id = response.headers.get('mcp-session-id')
    if (!response.ok || !id) throw new Error(`initialize: ${response.status} ${text}`)
    const session = new RawSession(url, id, text)
    await session.post('{"jsonrpc":"2.0","method":"notifications/initialized"}')
    return session
  }

  post(body: string, headers: Record<string, string> = {}): Promise<Response> {
    return post(this.url, body, { 'mcp-session-id': this.id, ...headers })
  }

  /** The text of the answer to a call, however it came. */
  async call(id: unknown, name: string, args: unknown = {}, meta?: unknown): Promise<string> {
    const response = await this.post(call(id, name, args, meta))
    if (response.headers.get('content-type') === 'application/json') return response.text()
    const events = await Array.fromAsync(eventsOf(response))
    return events.at(-1)!.data
  }

  listen(headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
    return fetch(this.url, {
      headers: { accept: 'text/event-stream', 'mcp-session-id': this.id, ...headers },
      ...(signal ? { signal } : {}),
    })
  }

  delete(): Promise<Response> {
    return fetch(this.url, { method: 'DELETE', headers: { 'mcp-session-id': this.id } })
  }
}

export interface Event {
  id?: string
  data: string
}

/** The events of a stream as they come, comments left out. */
export async function* eventsOf(response: Response): AsyncGenerator<Event> {
  let rest = ''
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    rest += chunk
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const lines = rest.slice(0, end).split('\n')
      rest = rest.slice(end + 2)
      const id = lines.find((line) => line.startsWith('id: '))?.slice(4)
      const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(6))
      if (data.length > 0) yield { ...(id === undefined ? {} : { id }), data: data.join('\n') }
    }
  }
}
