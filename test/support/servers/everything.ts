/**
 * An MCP server with every feature the official conformance suites ask for, and the tools by which
 * our own tests steer it.
 *
 * `bun everything.ts` speaks stdio. `bun everything.ts --http [port]` speaks Streamable HTTP with
 * sessions, replay and Host/Origin checks, and prints `listening http://127.0.0.1:PORT/mcp`.
 * Only `last_cancelled` is remembered for the whole process; the rest lives as long as a session.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import {
  type EventStore,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import * as mcp from '@modelcontextprotocol/sdk/types.js'

type Extra = RequestHandlerExtra<mcp.ServerRequest, mcp.ServerNotification>

/** One tool call, with what a tool may do besides answering. */
interface Call {
  args: Record<string, unknown>
  extra: Extra
  /** Does nothing when the caller gave no progress token. */
  progress(progress: number, total?: number): Promise<void>
  log(text: string): Promise<void>
  elicit(message: string, properties: Properties, required?: string[]): Promise<string>
  /** Does nothing when nobody subscribed. */
  updated(uri: string): Promise<void>
}

/** A string is the text of the answer; what is thrown becomes the text of a tool error. */
type Implementation = (call: Call) => Answer | Promise<Answer>
type Answer = string | mcp.CallToolResult['content']
type Properties = mcp.ElicitRequestFormParams['requestedSchema']['properties']

const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC'
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA=='

const text = (text: string) => ({ type: 'text' as const, text })
const image = { type: 'image' as const, data: PNG, mimeType: 'image/png' }
const audio = { type: 'audio' as const, data: WAV, mimeType: 'audio/wav' }
const embedded = (uri: string, mimeType: string, text: string) => ({
  type: 'resource' as const,
  resource: { uri, mimeType, text },
})

/** The pause the suites prescribe between two messages of a call. */
const PAUSE = 50

let lastCancelled = 'none'

const TOOLS: Record<string, Implementation> = {
  test_simple_text: () => 'This is a simple text response for testing.',
  test_image_content: () => [image],
  test_audio_content: () => [audio],
  test_embedded_resource: () => [
    embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.'),
  ],
  test_multiple_content_types: () => [
    text('Multiple content types test:'),
    image,
    embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
  ],
  test_error_handling: () => {
    throw new Error('This tool intentionally returns an error for testing')
  },
  async test_tool_with_logging({ log }) {
    await log('Tool execution started')
    await sleep(PAUSE)
    await log('Tool processing data')
    await sleep(PAUSE)
    await log('Tool execution completed')
    return 'Logged three messages.'
  },
  async test_tool_with_progress({ progress }) {
    await progress(0, 100)
    await sleep(PAUSE)
    await progress(50, 100)
    await sleep(PAUSE)
    await progress(100, 100)
    return 'Reported progress three times.'
  },
  /** Over stdio there is no stream to close, and the answer comes as late. */
  async test_reconnection({ extra }) {
    extra.closeSSEStream?.()
    await sleep(6 * PAUSE)
    return 'Answered after the stream was closed.'
  },
  async test_sampling({ args, extra }) {
    const messages = [{ role: 'user' as const, content: text(String(args.prompt)) }]
    const { content } = await extra.sendRequest(
      { method: 'sampling/createMessage', params: { messages, maxTokens: 100 } },
      mcp.CreateMessageResultSchema,
    )
    return `LLM response: ${content.type === 'text' ? content.text : content.type}`
  },
  async test_elicitation({ args, elicit }) {
    const username = { type: 'string' as const, description: "User's response" }
    const email = { type: 'string' as const, description: "User's email address" }
    const required = ['username', 'email']
    return `User response: ${await elicit(String(args.message), { username, email }, required)}`
  },
  test_elicitation_sep1034_defaults: async ({ elicit }) =>
    `Elicitation completed: ${await elicit('Check the defaults', {
      name: { type: 'string', default: 'John Doe' },
      age: { type: 'integer', default: 30 },
      score: { type: 'number', default: 95.5 },
      status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
      verified: { type: 'boolean', default: true },
    })}`,
  async test_elicitation_sep1330_enums({ elicit }) {
    const options = ['option1', 'option2', 'option3']
    const titled = [
      { const: 'value1', title: 'First' },
      { const: 'value2', title: 'Second' },
      { const: 'value3', title: 'Third' },
    ]
    return `Elicitation completed: ${await elicit('Choose', {
      untitledSingle: { type: 'string', enum: options },
      titledSingle: { type: 'string', oneOf: titled },
      legacyEnum: { type: 'string', enum: options, enumNames: ['One', 'Two', 'Three'] },
      untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
      titledMulti: { type: 'array', items: { anyOf: titled } },
    })}`
  },
  json_schema_2020_12_tool: ({ args }) => JSON.stringify(args),

  /** Without `ms` only a cancellation ends it. */
  async wait({ args, extra, progress }) {
    await progress(0)
    if (typeof args.ms === 'number') await sleep(args.ms, undefined, { signal: extra.signal })
    else await new Promise((resolve) => extra.signal.addEventListener('abort', resolve))
    return 'waited'
  },
  last_cancelled: () => lastCancelled,
  async burst({ args, progress }) {
    for (let done = 1; done <= Number(args.count); done++) await progress(done)
    return String(args.count)
  },
  /** Tells a subscriber that the resource changed. */
  async touch({ args, updated }) {
    await updated(String(args.uri))
    return 'touched'
  },
  async roots({ extra }) {
    const { roots } = await extra.sendRequest({ method: 'roots/list' }, mcp.ListRootsResultSchema)
    return JSON.stringify(roots)
  },
  crash: () => process.exit(3),
  async stderr({ args }) {
    await Bun.write(Bun.stderr, `${args.text}\n`)
    return 'written'
  },
  env: () => JSON.stringify(process.env),
  cwd: () => process.cwd(),
  pid: () => String(process.pid),
}

const string = { type: 'string' }
const number = { type: 'number' }

/** What the tools take; the others take nothing. */
const INPUTS: Record<string, mcp.Tool['inputSchema']> = {
  test_sampling: { type: 'object', properties: { prompt: string }, required: ['prompt'] },
  test_elicitation: { type: 'object', properties: { message: string }, required: ['message'] },
  wait: { type: 'object', properties: { ms: number } },
  burst: { type: 'object', properties: { count: number }, required: ['count'] },
  touch: { type: 'object', properties: { uri: string }, required: ['uri'] },
  stderr: { type: 'object', properties: { text: string }, required: ['text'] },
  json_schema_2020_12_tool: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: {
      address: {
        $anchor: 'addressDef',
        type: 'object',
        properties: { street: string, city: string },
      },
    },
    properties: {
      name: string,
      address: { $ref: '#/$defs/address' },
      contactMethod: { type: 'string', enum: ['phone', 'email'] },
      phone: string,
      email: string,
    },
    allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
    if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
    // biome-ignore lint/suspicious/noThenProperty: it is a JSON Schema keyword
    then: { required: ['phone'] },
    else: { required: ['email'] },
    additionalProperties: false,
  },
}

type Resource = { mimeType: string } & ({ text: string } | { blob: string })

interface Prompt {
  args: string[]
  contents(args: Record<string, string>): mcp.PromptMessage['content'][]
}

const RESOURCES: Record<string, Resource> = {
  'test://static-text': {
    mimeType: 'text/plain',
    text: 'This is the content of the static text resource.',
  },
  'test://static-binary': { mimeType: 'image/png', blob: PNG },
  'test://watched-resource': { mimeType: 'text/plain', text: 'Subscribe to me.' },
}

const PROMPTS: Record<string, Prompt> = {
  test_simple_prompt: { args: [], contents: () => [text('This is a simple prompt for testing.')] },
  test_prompt_with_arguments: {
    args: ['arg1', 'arg2'],
    contents: ({ arg1, arg2 }) => [text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  },
  test_prompt_with_embedded_resource: {
    args: ['resourceUri'],
    contents: ({ resourceUri = '' }) => [
      embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.'),
      text('Please process the embedded resource above.'),
    ],
  },
  test_prompt_with_image: {
    args: [],
    contents: () => [image, text('Please analyze the image above.')],
  },
}

const TEMPLATE = 'test://template/{id}/data'

function read(uri: string) {
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1]
  if (id !== undefined) {
    const data = { id, templateTest: true, data: `Data for ID: ${id}` }
    return { mimeType: 'application/json', text: JSON.stringify(data) }
  }
  const resource = RESOURCES[uri]
  // -32002 is the code the revisions up to 2025-11-25 give to a resource that is not there.
  if (!resource) throw new mcp.McpError(-32002, 'Resource not found', { uri })
  return resource
}

function unknown(kind: string, name: string) {
  return new mcp.McpError(mcp.ErrorCode.InvalidParams, `Unknown ${kind}: ${name}`)
}

/** One peer: what it may remember (log level, subscriptions) belongs to one session. */
function everything(): Server {
  const resources = { subscribe: true }
  const server = new Server(
    { name: 'everything', version: '1.0.0' },
    {
      capabilities: { tools: {}, resources, prompts: {}, completions: {}, logging: {} },
      // A client that cannot sample, say, is told so at once instead of being asked.
      enforceStrictCapabilities: true,
    },
  )
  const subscriptions = new Set<string>()
  let level: mcp.LoggingLevel = 'debug'
  const severity = (level: mcp.LoggingLevel) => mcp.LoggingLevelSchema.options.indexOf(level)

  const callOf = (args: Record<string, unknown>, extra: Extra): Call => ({
    args,
    extra,
    async progress(progress, total) {
      const progressToken = extra._meta?.progressToken
      if (progressToken === undefined) return
      const params = { progressToken, progress, ...(total !== undefined && { total }) }
      await extra.sendNotification({ method: 'notifications/progress', params })
    },
    async log(data) {
      if (severity('info') < severity(level)) return
      const params = { level: 'info' as const, data }
      await extra.sendNotification({ method: 'notifications/message', params })
    },
    async elicit(message, properties, required) {
      const requestedSchema = { type: 'object' as const, properties, ...(required && { required }) }
      const { action, content } = await extra.sendRequest(
        { method: 'elicitation/create', params: { message, requestedSchema } },
        mcp.ElicitResultSchema,
      )
      return `action=${action}, content=${JSON.stringify(content ?? {})}`
    },
    async updated(uri) {
      if (subscriptions.has(uri)) await server.sendResourceUpdated({ uri })
    },
  })

  server.setRequestHandler(mcp.ListToolsRequestSchema, () => ({
    tools: Object.keys(TOOLS).map((name) => ({
      name,
      description: `Fixture ${name}`,
      inputSchema: INPUTS[name] ?? { type: 'object' },
    })),
  }))
  server.setRequestHandler(mcp.CallToolRequestSchema, async ({ params }, extra) => {
    const tool = TOOLS[params.name]
    if (!tool) throw unknown('tool', params.name)
    extra.signal.addEventListener('abort', () => {
      lastCancelled = params.name
    })
    try {
      const answer = await tool(callOf(params.arguments ?? {}, extra))
      return { content: typeof answer === 'string' ? [text(answer)] : answer }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      return { content: [text(message)], isError: true }
    }
  })

  server.setRequestHandler(mcp.ListResourcesRequestSchema, () => ({
    resources: Object.entries(RESOURCES).map(([uri, { mimeType }]) => ({
      uri,
      name: uri.slice('test://'.length),
      description: `Fixture ${uri}`,
      mimeType,
    })),
  }))
  server.setRequestHandler(mcp.ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: [
      { uriTemplate: TEMPLATE, name: 'template', description: `Fixture ${TEMPLATE}` },
    ],
  }))
  server.setRequestHandler(mcp.ReadResourceRequestSchema, ({ params: { uri } }) => ({
    contents: [{ uri, ...read(uri) }],
  }))
  server.setRequestHandler(mcp.SubscribeRequestSchema, ({ params }) => {
    subscriptions.add(params.uri)
    return {}
  })
  server.setRequestHandler(mcp.UnsubscribeRequestSchema, ({ params }) => {
    subscriptions.delete(params.uri)
    return {}
  })

  server.setRequestHandler(mcp.ListPromptsRequestSchema, () => ({
    prompts: Object.entries(PROMPTS).map(([name, { args }]) => ({
      name,
      description: `Fixture ${name}`,
      arguments: args.map((name) => ({ name, required: true })),
    })),
  }))
  server.setRequestHandler(mcp.GetPromptRequestSchema, ({ params }) => {
    const prompt = PROMPTS[params.name]
    if (!prompt) throw unknown('prompt', params.name)
    const contents = prompt.contents(params.arguments ?? {})
    return { messages: contents.map((content) => ({ role: 'user' as const, content })) }
  })
  server.setRequestHandler(mcp.CompleteRequestSchema, ({ params: { argument } }) => {
    const values = ['paris', 'park', 'party'].filter((word) => word.startsWith(argument.value))
    return { completion: { values, total: values.length, hasMore: false } }
  })

  server.setRequestHandler(mcp.SetLevelRequestSchema, ({ params }) => {
    level = params.level
    return {}
  })
  return server
}

/** Keeps every event of one session; an event's id is its place among them. */
function memory(): EventStore {
  const events: { stream: string; message: mcp.JSONRPCMessage }[] = []
  return {
    storeEvent: async (stream, message) => String(events.push({ stream, message }) - 1),
    getStreamIdForEventId: async (id) => events[Number(id)]?.stream,
    async replayEventsAfter(id, { send }) {
      const stream = events[Number(id)]?.stream ?? ''
      for (const [place, event] of events.entries()) {
        // The SDK stores the event that opens a stream as an empty object, which is no message.
        const due = place > Number(id) && event.stream === stream && 'jsonrpc' in event.message
        if (due) await send(String(place), event.message)
      }
      return stream
    },
  }
}

function serveHttp(port: number): URL {
  const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>()
  const open = async () => {
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
      eventStore: memory(),
      retryInterval: 100,
    })
    await everything().connect(transport)
    return transport
  }
  const listener = Bun.serve({
    hostname: '127.0.0.1',
    port,
    idleTimeout: 0,
    async fetch(request) {
      if (new URL(request.url).pathname !== '/mcp') return new Response(null, { status: 404 })
      if (!isLocal(request)) return new Response(null, { status: 403 })
      const id = request.headers.get('mcp-session-id')
      const transport = id === null ? await open() : sessions.get(id)
      const response = await transport?.handleRequest(request)
      return response ? opened(response) : new Response(null, { status: 404 })
    },
  })
  return new URL('/mcp', listener.url)
}

/** Bun holds the headers of a stream back until its first byte, and a GET may wait long for one. */
function opened(response: Response): Response {
  if (response.headers.get('content-type') !== 'text/event-stream') return response
  const comment = new TransformStream<Uint8Array, Uint8Array>({
    start: (stream) => stream.enqueue(new TextEncoder().encode(': open\n\n')),
  })
  return new Response(response.body?.pipeThrough(comment), response)
}

/** Whether neither Host nor Origin names another machine: a web page must not reach us. */
function isLocal({ headers }: Request): boolean {
  const origin = headers.get('origin') ?? 'http://localhost'
  return [`http://${headers.get('host')}`, origin].every((url) =>
    ['localhost', '127.0.0.1', '[::1]'].includes(URL.parse(url)?.hostname ?? ''),
  )
}

const [mode, port = '0'] = process.argv.slice(2)
if (mode === '--http') {
  console.log(`listening ${serveHttp(Number(port))}`)
} else {
  const server = everything()
  // Otherwise a question to a client that is gone keeps the process until it times out.
  process.stdin.on('end', () => server.close())
  await server.connect(new StdioServerTransport())
}
