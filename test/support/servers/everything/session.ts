/** What one client gets to see. Whatever it may change or have remembered belongs to its session. */
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import * as mcp from '@modelcontextprotocol/sdk/types.js'
import * as contents from './contents.ts'
import { Tasks } from './tasks.ts'
import { askRoots, type Call, DETAILS, type Extra, type Growing, run, TOOLS } from './tools.ts'

interface Session {
  name: string
  server: Server
  tools: typeof TOOLS
  prompts: Record<string, contents.Prompt>
  resources: Record<string, contents.Resource>
  subscriptions: Set<string>
  level: mcp.LoggingLevel
  page: Page
}

/** A part of a list as the client gets it, under the name of the list. */
type Page = <T>(list: string, entries: T[], cursor: string | undefined) => Record<string, unknown>

const CAPABILITIES: mcp.ServerCapabilities = {
  tools: { listChanged: true },
  resources: { listChanged: true, subscribe: true },
  prompts: { listChanged: true },
  completions: {},
  logging: {},
  tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } },
}

const { InvalidParams, MethodNotFound } = mcp.ErrorCode

/** A server for one connection; whoever connects it closes it. */
export function everything(name: string, pageSize: number): Server {
  const { title, icons } = contents.DECORATION
  const server = new Server(
    { name, version: '1.0.0', title, icons },
    {
      capabilities: CAPABILITIES,
      instructions: `This is ${name}.`,
      // A client that cannot sample, say, is told so at once instead of being asked.
      enforceStrictCapabilities: true,
    },
  )
  const session: Session = {
    name,
    server,
    tools: { ...TOOLS, ...remembering(server) },
    prompts: contents.prompts(name),
    resources: contents.resources(name),
    subscriptions: new Set(),
    level: 'debug',
    page: pager(name, pageSize),
  }
  offerTools(session)
  offerResources(session)
  offerPrompts(session)
  server.setRequestHandler(mcp.SetLevelRequestSchema, ({ params }) => {
    session.level = params.level
    return {}
  })
  // Methods that nobody has invented yet.
  server.fallbackRequestHandler = async ({ method, params }) => {
    if (method !== 'x/echo') throw new mcp.McpError(MethodNotFound, 'Method not found')
    return params ?? {}
  }
  server.fallbackNotificationHandler = async ({ method, params }) => {
    if (method !== 'notifications/x/ping') return
    await server.notification({ method: 'notifications/x/pong', ...(params && { params }) })
  }
  return server
}

/** Tools that know what was before. */
function remembering(server: Server): typeof TOOLS {
  let counted = 0
  let roots: Promise<string> | undefined
  server.setNotificationHandler(mcp.RootsListChangedNotificationSchema, () => {
    roots = undefined
  })
  return {
    count: () => String(++counted),
    /** Asks for them once, and again when they have changed. */
    known_roots({ extra }) {
      roots ??= askRoots(extra)
      return roots
    },
  }
}

function offerTools(session: Session): void {
  const { server, tools, page } = session
  const tasks = new Tasks(async (params) => {
    await server.notification({ method: 'notifications/tasks/status', params })
  })
  server.onclose = () => tasks.close()

  server.setRequestHandler(mcp.ListToolsRequestSchema, ({ params }) => {
    const declared = Object.keys(tools).map((name) => ({
      name,
      description: `Fixture ${name}`,
      inputSchema: { type: 'object' },
      ...DETAILS[name],
    }))
    return page('tools', declared, params?.cursor)
  })
  server.setRequestHandler(mcp.CallToolRequestSchema, async ({ params }, extra) => {
    const { name, arguments: args = {}, task } = params
    const tool = tools[name]
    if (!tool) throw unknown('tool', name)
    if (!task) return run(name, tool, callOf(session, args, extra))
    const support = DETAILS[name]?.execution?.taskSupport
    if (!support) throw new mcp.McpError(MethodNotFound, `Not to be called as a task: ${name}`)
    const work = (taskId: string, signal: AbortSignal) =>
      run(name, tool, callOf(session, args, outliving(extra, server, taskId, signal)))
    return { task: tasks.start(task.ttl ?? null, work) }
  })

  server.setRequestHandler(mcp.ListTasksRequestSchema, ({ params }) =>
    page('tasks', tasks.list(), params?.cursor),
  )
  server.setRequestHandler(mcp.GetTaskRequestSchema, ({ params }) => tasks.get(params.taskId))
  server.setRequestHandler(mcp.GetTaskPayloadRequestSchema, ({ params }) =>
    tasks.result(params.taskId),
  )
  server.setRequestHandler(mcp.CancelTaskRequestSchema, ({ params }) => tasks.cancel(params.taskId))
}

function offerResources({ name, server, resources, subscriptions, page }: Session): void {
  const templates = contents.templates(name)
  server.setRequestHandler(mcp.ListResourcesRequestSchema, ({ params }) => {
    const declared = Object.entries(resources).map(([uri, { contents, details }]) => ({
      uri,
      name: uri.slice(uri.lastIndexOf('/') + 1),
      description: `Fixture ${uri}`,
      mimeType: contents.mimeType,
      ...details,
    }))
    return page('resources', declared, params?.cursor)
  })
  server.setRequestHandler(mcp.ListResourceTemplatesRequestSchema, ({ params }) => {
    const declared = Object.entries(templates).map(([uriTemplate, { name, details }]) => ({
      uriTemplate,
      name,
      description: `Fixture ${uriTemplate}`,
      ...details,
    }))
    return page('resourceTemplates', declared, params?.cursor)
  })
  server.setRequestHandler(mcp.ReadResourceRequestSchema, ({ params: { uri } }) => ({
    contents: [{ uri, ...contents.read(uri, resources, templates) }],
  }))
  server.setRequestHandler(mcp.SubscribeRequestSchema, ({ params }) => {
    subscriptions.add(params.uri)
    return {}
  })
  server.setRequestHandler(mcp.UnsubscribeRequestSchema, ({ params }) => {
    subscriptions.delete(params.uri)
    return {}
  })
}

function offerPrompts({ name, server, prompts, page }: Session): void {
  server.setRequestHandler(mcp.ListPromptsRequestSchema, ({ params }) => {
    const declared = Object.entries(prompts).map(([name, { args, details }]) => ({
      name,
      description: `Fixture ${name}`,
      arguments: args.map((name) => ({ name, required: true })),
      ...details,
    }))
    return page('prompts', declared, params?.cursor)
  })
  server.setRequestHandler(mcp.GetPromptRequestSchema, ({ params }) => {
    const prompt = prompts[params.name]
    if (!prompt) throw unknown('prompt', params.name)
    const said = prompt.contents(params.arguments ?? {})
    return { messages: said.map((content) => ({ role: 'user' as const, content })) }
  })
  server.setRequestHandler(mcp.CompleteRequestSchema, ({ params: { ref, argument } }) => {
    const asked = `${name}:${ref.type === 'ref/prompt' ? ref.name : ref.uri}`
    const words = ['paris', 'park', 'party'].filter((word) => word.startsWith(argument.value))
    const values = argument.value === 'who' ? [asked] : words
    return { completion: { values, total: values.length, hasMore: false } }
  })
}

function unknown(kind: string, name: string) {
  return new mcp.McpError(InvalidParams, `Unknown ${kind}: ${name}`)
}

function callOf(session: Session, args: Call['args'], extra: Extra): Call {
  const { name, server, subscriptions } = session
  return {
    args,
    extra,
    server: name,
    async progress(progress, total) {
      const progressToken = extra._meta?.progressToken
      if (progressToken === undefined) return
      const params = { progressToken, progress, ...(total !== undefined && { total }) }
      await extra.sendNotification({ method: 'notifications/progress', params })
    },
    async log(data) {
      if (severity('info') < severity(session.level)) return
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
    grow: (list) => grow(session, list),
  }
}

const severity = (level: mcp.LoggingLevel) => mcp.LoggingLevelSchema.options.indexOf(level)

/** What a task has left of the request that started it: it is answered, and gives neither a stream nor a signal. */
function outliving(extra: Extra, server: Server, taskId: string, signal: AbortSignal): Extra {
  const related = { [mcp.RELATED_TASK_META_KEY]: { taskId } }
  return {
    ...extra,
    signal,
    sendNotification: ({ method, params }) =>
      server.notification({
        method,
        params: { ...params, _meta: { ...params?._meta, ...related } },
      }),
  }
}

async function grow({ name, server, ...session }: Session, list: Growing): Promise<string> {
  const entries = session[list]
  const nth = Object.keys(entries).filter((key) => key.includes('grown_')).length + 1
  const grown = `grown_${nth}`
  if (list === 'tools') {
    session.tools[grown] = () => grown
    await server.sendToolListChanged()
  } else if (list === 'prompts') {
    session.prompts[grown] = { args: [], contents: () => [contents.text(grown)] }
    await server.sendPromptListChanged()
  } else {
    const uri = `test://${name}/${grown}`
    session.resources[uri] = { contents: { mimeType: 'text/plain', text: grown } }
    await server.sendResourceListChanged()
  }
  return grown
}

/** A cursor is the place where the next page begins, in words that mean nothing to the client and to other lists. */
function pager(server: string, size: number): Page {
  return (list, entries, cursor) => {
    const cursorOf = (place: number) => btoa(`${server} ${list} ${place}`)
    const place = cursor === undefined ? 0 : entries.findIndex((_, i) => cursorOf(i) === cursor)
    if (place < 0) throw new mcp.McpError(InvalidParams, `Invalid cursor: ${cursor}`)
    const end = place + size
    const nextCursor = end < entries.length ? { nextCursor: cursorOf(end) } : {}
    return { [list]: entries.slice(place, end), ...nextCursor }
  }
}
