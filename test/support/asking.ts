/** Remote servers in a few words, and what a raw session asks of the gateway in front of them. */
import { spyOn } from 'bun:test'
import { eventsOf, type RawSession, request } from './http.ts'
import { type Answering, json, result, SESSION, startRemote, status } from './servers/remote.ts'

export const introduction = (capabilities: object, instructions?: string) =>
  JSON.stringify({
    protocolVersion: '2025-11-25',
    capabilities,
    serverInfo: { name: 'remote', version: '1' },
    instructions,
  })

export const introducing =
  (capabilities: object, instructions?: string): Answering =>
  ({ id }) =>
    json(result(id, introduction(capabilities, instructions)), 200, { 'mcp-session-id': SESSION })

export const answering =
  (value: unknown): Answering =>
  ({ id }) =>
    json(result(id, JSON.stringify(value)))

export const refusing =
  (code: number, message: string): Answering =>
  ({ id }) =>
    json(JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } }))

export const tool = (name: string) => ({ name, inputSchema: { type: 'object' } })
export const listing = (...names: string[]) => answering({ tools: names.map(tool) })

/** A remote server with these tools, which answer with their own names. */
export const withTools = (names: string[], on: Record<string, Answering> = {}) =>
  startRemote({
    initialize: introducing({ tools: {} }),
    'tools/list': listing(...names),
    'tools/call': (request) =>
      answering({ content: [{ type: 'text', text: request.params.name }] })(request),
    ...on,
  })

/** Answers, once, as a server does that has forgotten the session. */
export function forgetting(on: Record<string, Answering>, ...methods: string[]): void {
  for (const method of methods) {
    const usual = on[method]
    on[method] = () => {
      if (usual) on[method] = usual
      else delete on[method]
      return status(404, 'no such session')
    }
  }
}

export const CHANGED = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'

let lastId = 0

export async function ask(session: RawSession, method: string, params?: unknown) {
  return answerTo(session, request(++lastId, method, params))
}

/** For params that `JSON.stringify` would not write. */
export async function askRaw(session: RawSession, method: string, params: string) {
  const text = `{"jsonrpc":"2.0","id":${++lastId},"method":"${method}","params":${params}}`
  return answerTo(session, text)
}

async function answerTo(session: RawSession, text: string) {
  const response = await session.post(text)
  const type = response.headers.get('content-type')
  const answer =
    type === 'application/json'
      ? await response.text()
      : (await Array.fromAsync(eventsOf(response))).at(-1)!.data
  const { result, error } = JSON.parse(answer)
  return { result, error }
}

export const toolNames = async (session: RawSession): Promise<string[]> =>
  (await ask(session, 'tools/list')).result.tools.map(({ name }: { name: string }) => name)

/** What a tool answers, or the error. */
export const called = async (session: RawSession, name: string) => {
  const { result, error } = await ask(session, 'tools/call', { name, arguments: {} })
  return result?.content[0].text ?? error
}

/** Reads the session's own stream until something of this method is said. */
export async function heard(session: RawSession, method: string) {
  const stop = new AbortController()
  for await (const { data } of eventsOf(await session.listen({}, stop.signal))) {
    if (data !== '' && JSON.parse(data).method === method) {
      stop.abort()
      return
    }
  }
}

/** What is done then, on the clock by which lists grow old. */
export async function afterAMinute(then: () => Promise<unknown>): Promise<void> {
  const now = performance.now.bind(performance)
  using _ = spyOn(performance, 'now').mockImplementation(() => now() + 60_000)
  await then()
}
