/** The official clients, so that one test can be run with each, over every transport they have. */
import * as v2 from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import * as v1 from '@modelcontextprotocol/sdk/types.js'

export interface TestClient extends AsyncDisposable {
  readonly sessionId: string | undefined
  readonly instructions: string | undefined
  readonly server: { name: string; version: string } | undefined
  capabilities(): v1.ServerCapabilities | undefined
  ping(): Promise<unknown>

  /** Lists are whole, however many pages they come in. */
  tools(): Promise<(v1.Tool | v2.Tool)[]>
  toolNames(): Promise<string[]>
  /** The text of the first content of the result. */
  call(name: string, args?: Record<string, unknown>, options?: CallOptions): Promise<string>
  callResult(
    name: string,
    args?: Record<string, unknown>,
    options?: CallOptions,
  ): Promise<v1.CallToolResult>

  prompts(): Promise<v1.Prompt[]>
  prompt(name: string, args?: Record<string, string>): Promise<v1.GetPromptResult>
  /** The values that the server proposes. */
  complete(ref: Ref, argument: { name: string; value: string }): Promise<string[]>

  resources(): Promise<v1.Resource[]>
  templates(): Promise<v1.ResourceTemplate[]>
  read(uri: string): Promise<v1.ReadResourceResult>
  subscribe(uri: string): Promise<unknown>
  unsubscribe(uri: string): Promise<unknown>

  /** For methods that the SDKs have no words for. */
  request<R = v1.Result>(method: string, params?: Record<string, unknown>): Promise<R>
  setLevel(level: 'debug' | 'error'): Promise<unknown>
  rootsChanged(): Promise<void>
  /** Ends the session as its transport does: by DELETE, or by going. */
  terminate(): Promise<void>
}

export interface CallOptions {
  signal?: AbortSignal
  onprogress?: (progress: { progress: number }) => void
}

/** As far as the SDKs' transports agree, and differ. */
interface Transport {
  readonly sessionId?: string | undefined
  terminateSession?(): Promise<void>
  close(): Promise<void>
}

type Ref = v1.CompleteRequest['params']['ref']

/** What the client answers when it is asked, and whom it tells what it is told. */
export interface Answers {
  elicit?: (message: string) => Record<string, string>
  /** Accepts. */
  elicitUrl?: (url: string) => void
  sample?: (prompt: string) => string
  roots?: () => string[]
  onLog?: (data: unknown) => void
  onUpdated?: (uri: string) => void
  onListChanged?: (kind: (typeof LISTS)[number]) => void
  onElicitationComplete?: (id: string) => void
}

export type Dial = (url: URL, answers?: Answers) => Promise<TestClient>

/** `@modelcontextprotocol/sdk` 1.x. */
export const dialSdk1: Dial = (url, answers) =>
  connectSdk1(new StreamableHTTPClientTransport(url), answers)

/** SDK 1.x, over HTTP+SSE of 2024-11-05. */
export const dialSse: Dial = (url, answers) => connectSdk1(new SSEClientTransport(url), answers)

/** SDK 1.x, with a child process in this one's environment. */
export const dialStdio = ([command = '', ...args]: string[], answers?: Answers) => {
  const env = process.env as Record<string, string>
  return connectSdk1(new StdioClientTransport({ command, args, env }), answers)
}

async function connectSdk1(transport: Transport, answers: Answers = {}): Promise<TestClient> {
  const client = new Client(INFO, { capabilities: declared(answers) })
  const { elicit, elicitUrl, sample, roots } = answers
  if (elicit || elicitUrl) {
    client.setRequestHandler(v1.ElicitRequestSchema, ({ params }) => elicited(params, answers))
  }
  if (sample) {
    client.setRequestHandler(v1.CreateMessageRequestSchema, ({ params }) =>
      sampled(sample(prompt(params))),
    )
  }
  if (roots) client.setRequestHandler(v1.ListRootsRequestSchema, () => rootList(roots()))
  client.setNotificationHandler(v1.LoggingMessageNotificationSchema, ({ params }) =>
    answers.onLog?.(params.data),
  )
  client.setNotificationHandler(v1.ResourceUpdatedNotificationSchema, ({ params }) =>
    answers.onUpdated?.(params.uri),
  )
  for (const kind of LISTS) {
    client.setNotificationHandler(LIST_CHANGED[kind], () => answers.onListChanged?.(kind))
  }
  client.setNotificationHandler(v1.ElicitationCompleteNotificationSchema, ({ params }) =>
    answers.onElicitationComplete?.(params.elicitationId),
  )
  await client.connect(transport as Parameters<Client['connect']>[0])
  return testClient(client, transport, {
    callTool: (params, options) => client.callTool(params, undefined, options),
    request: (request) => client.request(request, v1.ResultSchema),
  })
}

/** `@modelcontextprotocol/client` 2.x as it is by default: legacy on the wire. */
export const dialSdk2: Dial = async (url, answers = {}) => {
  const client = new v2.Client(INFO, { capabilities: declared(answers) })
  const { elicit, elicitUrl, sample, roots } = answers
  if (elicit || elicitUrl) {
    client.setRequestHandler('elicitation/create', ({ params }) => elicited(params, answers))
  }
  if (sample) {
    client.setRequestHandler('sampling/createMessage', ({ params }) =>
      sampled(sample(prompt(params))),
    )
  }
  if (roots) client.setRequestHandler('roots/list', () => rootList(roots()))
  client.setNotificationHandler('notifications/message', ({ params }) =>
    answers.onLog?.(params.data),
  )
  client.setNotificationHandler('notifications/resources/updated', ({ params }) =>
    answers.onUpdated?.(params.uri),
  )
  for (const kind of LISTS) {
    client.setNotificationHandler(`notifications/${kind}/list_changed`, () =>
      answers.onListChanged?.(kind),
    )
  }
  client.setNotificationHandler('notifications/elicitation/complete', ({ params }) =>
    answers.onElicitationComplete?.(params.elicitationId),
  )
  const transport = new v2.StreamableHTTPClientTransport(url)
  await client.connect(transport)
  return testClient(client, transport, {
    callTool: (params, options) => client.callTool(params, options),
    request: (request) => client.request(request, v1.ResultSchema),
  })
}

const INFO = { name: 'test', version: '1' }

const LISTS = ['tools', 'prompts', 'resources'] as const
const LIST_CHANGED = {
  tools: v1.ToolListChangedNotificationSchema,
  prompts: v1.PromptListChangedNotificationSchema,
  resources: v1.ResourceListChangedNotificationSchema,
}

const declared = ({ elicit, elicitUrl, sample, roots }: Answers) => ({
  ...(elicit || elicitUrl ? { elicitation: { form: {}, ...(elicitUrl && { url: {} }) } } : {}),
  ...(sample ? { sampling: {} } : {}),
  ...(roots ? { roots: { listChanged: true } } : {}),
})

function elicited(params: { message: string; url?: unknown }, answers: Answers): v1.ElicitResult {
  const { elicit, elicitUrl } = answers
  if (typeof params.url === 'string') elicitUrl?.(params.url)
  else if (elicit) return { action: 'accept', content: elicit(params.message) }
  else return { action: 'decline' }
  return { action: 'accept' }
}

const prompt = (params: { messages: { content: unknown }[] }) =>
  (params.messages[0]!.content as { text: string }).text

const sampled = (text: string) => ({
  role: 'assistant' as const,
  model: 'test',
  content: { type: 'text' as const, text },
})

const rootList = (uris: string[]) => ({ roots: uris.map((uri) => ({ uri })) })

const firstText = ({ content }: v1.CallToolResult) => (content[0] as v1.TextContent).text

/** What the SDKs have both, and take in different ways. */
interface Unlike {
  callTool(params: v1.CallToolRequest['params'], options?: CallOptions): Promise<unknown>
  request(request: v1.Request): Promise<unknown>
}

/** What both SDKs call alike, and say alike too. */
function testClient(
  client: Client | v2.Client,
  transport: Transport,
  { callTool, request }: Unlike,
): TestClient {
  const callResult: TestClient['callResult'] = async (name, args = {}, options) =>
    (await callTool({ name, arguments: args }, options)) as v1.CallToolResult
  const tools: TestClient['tools'] = () => whole((from) => client.listTools(from), 'tools')
  return {
    sessionId: transport.sessionId,
    instructions: client.getInstructions(),
    server: client.getServerVersion(),
    capabilities: () => client.getServerCapabilities(),
    ping: () => client.ping(),
    tools,
    toolNames: async () => (await tools()).map(({ name }) => name),
    call: async (...params) => firstText(await callResult(...params)),
    callResult,
    prompts: () => whole((from) => client.listPrompts(from), 'prompts'),
    prompt: (name, args = {}) => client.getPrompt({ name, arguments: args }),
    complete: async (ref, argument) => (await client.complete({ ref, argument })).completion.values,
    resources: () => whole((from) => client.listResources(from), 'resources'),
    templates: () => whole((from) => client.listResourceTemplates(from), 'resourceTemplates'),
    read: (uri) => client.readResource({ uri }),
    subscribe: (uri) => client.subscribeResource({ uri }),
    unsubscribe: (uri) => client.unsubscribeResource({ uri }),
    request: async <R>(method: string, params?: Record<string, unknown>) =>
      (await request({ method, ...(params && { params }) })) as R,
    setLevel: (level) => client.setLoggingLevel(level),
    rootsChanged: () => client.sendRootsListChanged(),
    terminate: () => transport.terminateSession?.() ?? client.close(),
    [Symbol.asyncDispose]: () => client.close(),
  }
}

async function whole<K extends string, T>(
  list: (from?: { cursor: string }) => Promise<Page<K, T>>,
  key: K,
): Promise<T[]> {
  let page = await list()
  const entries = [...page[key]]
  while (page.nextCursor !== undefined) {
    page = await list({ cursor: page.nextCursor })
    entries.push(...page[key])
  }
  return entries
}

type Page<K extends string, T> = Record<K, T[]> & { nextCursor?: string | undefined }
