/** The tools: first those that the official suites ask for by name, then our own. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import * as mcp from '@modelcontextprotocol/sdk/types.js'
import { audio, DECORATION, embedded, image, text } from './contents.ts'

export type Extra = RequestHandlerExtra<mcp.ServerRequest, mcp.ServerNotification>

/** One tool call, with what a tool may do besides answering. */
export interface Call {
  args: Record<string, unknown>
  extra: Extra
  /** The name of the server. */
  server: string
  /** Does nothing when the caller gave no progress token. */
  progress(progress: number, total?: number): Promise<void>
  log(text: string): Promise<void>
  elicit(message: string, properties: Properties, required?: string[]): Promise<string>
  /** Does nothing when nobody subscribed. */
  updated(uri: string): Promise<void>
  /** Adds one to a list of the session, tells of it, and returns its name. */
  grow(list: Growing): Promise<string>
}

export type Growing = 'tools' | 'prompts' | 'resources'

/** A string is the text of the answer; what is thrown becomes the text of a tool error. */
export type Implementation = (call: Call) => Answer | Promise<Answer>
type Answer = string | mcp.CallToolResult['content'] | mcp.CallToolResult
export type Properties = mcp.ElicitRequestFormParams['requestedSchema']['properties']

/** The pause the suites prescribe between two messages of a call. */
const PAUSE = 50

let lastCancelled = 'none'

export const TOOLS: Record<string, Implementation> = {
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
  /** Where there is no stream to close, the answer comes as late. */
  async test_reconnection({ extra }) {
    extra.closeSSEStream?.()
    await sleep(6 * PAUSE)
    return 'Answered after the stream was closed.'
  },
  test_sampling: async ({ args, extra }) =>
    `LLM response: ${await sample(extra, String(args.prompt))}`,
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

  async wait({ args, extra, progress }) {
    await progress(0)
    await idle(args.ms, extra.signal)
    return 'waited'
  },
  /** May be called as a task. */
  async slow_task({ args, extra, progress }) {
    await idle(args.ms, extra.signal)
    await progress(1, 1)
    return 'done at last'
  },
  last_cancelled: () => lastCancelled,
  /** With `ask` the client has heard all before the answer: the SDK's forget progress that comes along with it. */
  async burst({ args, extra, progress }) {
    for (let done = 1; done <= Number(args.count); done++) await progress(done)
    if (args.ask) await sample(extra, 'Did you hear?')
    return String(args.count)
  },

  /** Tells a subscriber that the resource changed. */
  async touch({ args, updated }) {
    await updated(String(args.uri))
    return 'touched'
  },
  grow_tools: ({ grow }) => grow('tools'),
  grow_prompts: ({ grow }) => grow('prompts'),
  grow_resources: ({ grow }) => grow('resources'),

  roots: ({ extra }) => askRoots(extra),
  /** Sends the user somewhere, and is told there that he came, before it answers what he chose to do. */
  async elicit_url({ extra }) {
    const params = visit()
    const { action } = await extra.sendRequest(
      { method: 'elicitation/create', params },
      mcp.ElicitResultSchema,
    )
    if (action === 'accept') {
      const { elicitationId } = params
      const method = 'notifications/elicitation/complete'
      await extra.sendNotification({ method, params: { elicitationId } })
    }
    return action
  },
  needs_url: () => {
    throw new mcp.UrlElicitationRequiredError([visit()])
  },

  /** Has everything a tool and a result may have. */
  rich() {
    const answer = { answer: 42, words: ['forty', 'two'] }
    const annotations = { audience: ['user' as const], priority: 0.5 }
    const { _meta } = DECORATION
    return {
      content: [{ ...text(JSON.stringify(answer)), annotations, _meta }],
      structuredContent: answer,
      _meta,
    }
  },
  link: () => [
    { type: 'resource_link', uri: 'test://static-text', name: 'static-text', ...DECORATION },
  ],
  whoami: ({ server }) => server,

  /** Blocks the whole process; the pause lets out what was said before. */
  async hang({ args, progress }) {
    await progress(0)
    await sleep(PAUSE)
    const end = performance.now() + Number(args.ms)
    while (performance.now() < end);
    return 'hung'
  },
  crash: () => process.exit(3),
  async stderr({ args }) {
    await Bun.write(Bun.stderr, `${args.text}\n`)
    return 'written'
  },
  env: () => JSON.stringify(process.env),
  cwd: () => process.cwd(),
  pid: () => String(process.pid),
  /** Who is at the URL decides when it answers. */
  fetch: async ({ args }) => (await fetch(String(args.url))).text(),
}

/** Without `ms` only a cancellation ends it. */
async function idle(ms: unknown, signal: AbortSignal): Promise<void> {
  if (typeof ms === 'number') await sleep(ms, undefined, { signal })
  else await new Promise((resolve) => signal.addEventListener('abort', resolve))
}

function visit() {
  const elicitationId = crypto.randomUUID()
  const url = `https://example.com/visit/${elicitationId}`
  return { mode: 'url' as const, elicitationId, url, message: 'Please visit this page.' }
}

/** Lets a tool answer, and remembers if its call is cancelled. */
export async function run(
  name: string,
  implementation: Implementation,
  call: Call,
): Promise<mcp.CallToolResult> {
  call.extra.signal.addEventListener('abort', () => {
    lastCancelled = name
  })
  try {
    const answer = await implementation(call)
    if (typeof answer === 'string') return { content: [text(answer)] }
    return Array.isArray(answer) ? { content: answer } : answer
  } catch (error) {
    // This one is for the client, not for the model.
    if (error instanceof mcp.UrlElicitationRequiredError) throw error
    const message = error instanceof Error ? error.message : String(error)
    return { content: [text(message)], isError: true }
  }
}

const string = { type: 'string' }
const number = { type: 'number' }

const takes = (properties: Record<string, object>, required = Object.keys(properties)) => ({
  inputSchema: { type: 'object' as const, properties, required },
})

/** What a tool says of itself besides its name; the others take nothing. */
export const DETAILS: Record<string, Partial<mcp.Tool>> = {
  test_sampling: takes({ prompt: string }),
  test_elicitation: takes({ message: string }),
  wait: takes({ ms: number }, []),
  slow_task: { ...takes({ ms: number }, []), execution: { taskSupport: 'optional' } },
  burst: takes({ count: number, ask: { type: 'boolean' } }, ['count']),
  touch: takes({ uri: string }),
  hang: takes({ ms: number }),
  stderr: takes({ text: string }),
  fetch: takes({ url: string }),
  rich: {
    ...DECORATION,
    annotations: {
      title: 'An older title',
      readOnlyHint: true,
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: false,
    },
    outputSchema: {
      type: 'object',
      properties: { answer: number, words: { type: 'array', items: string } },
      required: ['answer', 'words'],
    },
  },
  json_schema_2020_12_tool: {
    inputSchema: {
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
  },
}

export async function askRoots(extra: Extra): Promise<string> {
  const { roots } = await extra.sendRequest({ method: 'roots/list' }, mcp.ListRootsResultSchema)
  return JSON.stringify(roots)
}

async function sample(extra: Extra, prompt: string): Promise<string> {
  const messages = [{ role: 'user' as const, content: text(prompt) }]
  const { content } = await extra.sendRequest(
    { method: 'sampling/createMessage', params: { messages, maxTokens: 100 } },
    mcp.CreateMessageResultSchema,
  )
  return content.type === 'text' ? content.text : content.type
}
