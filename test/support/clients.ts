/** The official clients, so that one test can be run with each. */
import * as v2 from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import * as v1 from '@modelcontextprotocol/sdk/types.js'

export interface TestClient extends AsyncDisposable {
  readonly sessionId: string | undefined
  readonly instructions: string | undefined
  readonly server: { name: string; version: string } | undefined
  toolNames(): Promise<string[]>
  /** The text of the first content of the result. */
  call(name: string, args?: Record<string, unknown>, options?: CallOptions): Promise<string>
  setLevel(level: 'debug' | 'error'): Promise<unknown>
  subscribe(uri: string): Promise<unknown>
  rootsChanged(): Promise<void>
  terminate(): Promise<void>
}

export interface CallOptions {
  signal?: AbortSignal
  onprogress?: (progress: { progress: number }) => void
}

/** What the client answers when it is asked, and whom it tells what it is told. */
export interface Answers {
  elicit?: (message: string) => Record<string, string>
  sample?: (prompt: string) => string
  roots?: () => string[]
  onLog?: (data: unknown) => void
  onUpdated?: (uri: string) => void
}

export type Dial = (url: URL, answers?: Answers) => Promise<TestClient>

const INFO = { name: 'test', version: '1' }

const capabilities = ({ elicit, sample, roots }: Answers) => ({
  ...(elicit ? { elicitation: { form: {} } } : {}),
  ...(sample ? { sampling: {} } : {}),
  ...(roots ? { roots: { listChanged: true } } : {}),
})

const firstText = (result: unknown) => (result as { content: { text: string }[] }).content[0]!.text

const prompt = (params: { messages: { content: unknown }[] }) =>
  (params.messages[0]!.content as { text: string }).text

const sampled = (text: string) => ({
  role: 'assistant' as const,
  model: 'test',
  content: { type: 'text' as const, text },
})

const rootList = (uris: string[]) => ({ roots: uris.map((uri) => ({ uri })) })

/** `@modelcontextprotocol/sdk` 1.x. */
export const dialSdk1: Dial = async (url, answers = {}) => {
  const client = new Client(INFO, { capabilities: capabilities(answers) })
  const { elicit, sample, roots, onLog, onUpdated } = answers
  if (elicit) {
    client.setRequestHandler(v1.ElicitRequestSchema, ({ params }) => ({
      action: 'accept',
      content: elicit(params.message),
    }))
  }
  if (sample) {
    client.setRequestHandler(v1.CreateMessageRequestSchema, ({ params }) =>
      sampled(sample(prompt(params))),
    )
  }
  if (roots) client.setRequestHandler(v1.ListRootsRequestSchema, () => rootList(roots()))
  if (onLog) {
    client.setNotificationHandler(v1.LoggingMessageNotificationSchema, ({ params }) =>
      onLog(params.data),
    )
  }
  if (onUpdated) {
    client.setNotificationHandler(v1.ResourceUpdatedNotificationSchema, ({ params }) =>
      onUpdated(params.uri),
    )
  }
  const transport = new StreamableHTTPClientTransport(url)
  await client.connect(transport as Parameters<Client['connect']>[0])
  return {
    sessionId: transport.sessionId,
    instructions: client.getInstructions(),
    server: client.getServerVersion(),
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, args = {}, options) =>
      firstText(await client.callTool({ name, arguments: args }, undefined, options)),
    setLevel: (level) => client.setLoggingLevel(level),
    subscribe: (uri) => client.subscribeResource({ uri }),
    rootsChanged: () => client.sendRootsListChanged(),
    terminate: () => transport.terminateSession(),
    [Symbol.asyncDispose]: () => client.close(),
  }
}

/** `@modelcontextprotocol/client` 2.x as it is by default: legacy on the wire. */
export const dialSdk2: Dial = async (url, answers = {}) => {
  const client = new v2.Client(INFO, { capabilities: capabilities(answers) })
  const { elicit, sample, roots, onLog, onUpdated } = answers
  if (elicit) {
    client.setRequestHandler('elicitation/create', ({ params }) => ({
      action: 'accept',
      content: elicit(params.message),
    }))
  }
  if (sample) {
    client.setRequestHandler('sampling/createMessage', ({ params }) =>
      sampled(sample(prompt(params))),
    )
  }
  if (roots) client.setRequestHandler('roots/list', () => rootList(roots()))
  if (onLog) {
    client.setNotificationHandler('notifications/message', ({ params }) => onLog(params.data))
  }
  if (onUpdated) {
    client.setNotificationHandler('notifications/resources/updated', ({ params }) =>
      onUpdated(params.uri),
    )
  }
  const transport = new v2.StreamableHTTPClientTransport(url)
  await client.connect(transport)
  return {
    sessionId: transport.sessionId,
    instructions: client.getInstructions(),
    server: client.getServerVersion(),
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, args = {}, options) =>
      firstText(await client.callTool({ name, arguments: args }, options)),
    setLevel: (level) => client.setLoggingLevel(level),
    subscribe: (uri) => client.subscribeResource({ uri }),
    rootsChanged: () => client.sendRootsListChanged(),
    terminate: () => transport.terminateSession(),
    [Symbol.asyncDispose]: () => client.close(),
  }
}
