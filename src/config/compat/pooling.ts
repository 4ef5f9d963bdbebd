/** The configuration of the pooling gateway: `gateway`, `pool`, `servers`, `mapping`, `toolFilters`. */
import * as v from 'valibot'
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import { format } from './format.ts'
import { isReserved, nameFault, setExact } from './names.ts'
import { LESS_ENVIRONMENT, OUR_GATEWAY, setOurs } from './ours.ts'

const number = v.optional(v.number())
const names = v.optional(v.array(v.string()))

const server = v.looseObject({
  name: v.string(),
  type: v.optional(v.string()),
  command: v.optional(v.array(v.string())),
  url: v.optional(v.string()),
  enabled: v.optional(v.boolean()),
  env: v.optional(v.record(v.string(), v.string())),
  poolSize: number,
  /** Ours. */
  inheritEnv: v.optional(v.boolean()),
})
type Server = v.InferOutput<typeof server>

const mapping = v.looseObject({
  prefix: v.optional(v.string()),
  stripPrefix: v.optional(v.boolean()),
  rename: v.optional(v.record(v.string(), v.string())),
})
type Mapping = v.InferOutput<typeof mapping>

const filter = v.looseObject({ include: names, exclude: names })
type Filter = v.InferOutput<typeof filter>

const POOL = ['minConnections', 'maxConnections', 'acquireTimeout', 'idleTimeout'] as const

const FILE = v.looseObject({
  gateway: v.optional(v.looseObject({ ...OUR_GATEWAY, cors: v.optional(v.any()) })),
  pool: v.optional(
    v.looseObject({
      ...{ minConnections: number, maxConnections: number },
      ...{ acquireTimeout: number, idleTimeout: number, maxRetries: number },
    }),
  ),
  servers: v.array(server),
  mapping: v.optional(v.record(v.string(), mapping)),
  toolFilters: v.optional(v.record(v.string(), filter)),
})
type File = v.InferOutput<typeof FILE>

export const POOLING = format({
  name: 'the pooling gateway',
  fits: ({ servers, ...others }) =>
    Array.isArray(servers) ||
    (servers !== undefined &&
      ['pool', 'mapping', 'toolFilters'].some((key) => Object.hasOwn(others, key))),
  schema: FILE,
  adapt,
})

function adapt(file: File, draft: Draft): void {
  const { gateway = {}, pool = {}, servers, mapping = {}, toolFilters = {} } = file
  setOurs({ host: '0.0.0.0', ...gateway }, draft)
  if (gateway.cors === true) draft.warn(['gateway', 'cors'], CORS)
  for (const key of POOL) draft.set(['defaults', 'pool', key], pool[key], ['pool', key])
  if (pool.maxRetries !== undefined) draft.warn(['pool', 'maxRetries'], RETRIES)

  draft.set(['mcpServers'], {}, ['servers'])
  const known = new Set<string>()
  for (const [i, written] of servers.entries()) {
    const { name } = written
    const what = known.has(name) ? 'is there twice; choose another name' : nameFault(name)
    known.add(name)
    if (what !== undefined) draft.refuse(['servers', i, 'name'], what)
    else {
      adaptServer(written, ['servers', i], draft)
      const filter = own(toolFilters, name) ?? {}
      adaptNames(name, own(mapping, name), filter, draft)
    }
  }
  const isBare = ({ command, enabled, inheritEnv }: Server) =>
    command && enabled !== false && !inheritEnv
  if (servers.some(isBare)) draft.warn(['servers'], LESS_ENVIRONMENT)
  for (const [section, entries] of Object.entries({ mapping, toolFilters })) {
    for (const name of Object.keys(entries).filter((name) => !known.has(name))) {
      draft.warn([section, name], 'there is no such server, so this does nothing')
    }
  }
}

const CORS =
  'web pages may not call from anywhere any more: name those that may in "gateway.allowedOrigins", as ["https://app.example"]'
const RETRIES = 'has no effect, nor had it; a server that fails is started again, ever more slowly'

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined
}

function adaptServer(written: Server, from: Path, draft: Draft): void {
  const { name, type, command, url, enabled, env, poolSize, inheritEnv } = written
  const to = ['mcpServers', name]
  draft.set(to, {}, from)
  if (type !== undefined && type !== 'local' && type !== 'remote') {
    draft.refuse(
      from,
      'has a "type" that is neither "local", with a command, nor "remote", with a url',
    )
    return
  }
  const isRemote = type ? type === 'remote' : url !== undefined && !command
  const unused = (key: string) => {
    const what = `is not used by a server of type "${isRemote ? 'remote' : 'local'}"; leave it out`
    draft.warn([...from, key], what)
  }
  if (isRemote) {
    if (!url) draft.refuse(from, 'is remote, so it needs a "url"')
    draft.set([...to, 'url'], url, [...from, 'url'])
    if (command) unused('command')
    if (env && Object.keys(env).length > 0) unused('env')
  } else {
    const [program, ...args] = command ?? []
    if (!program) draft.refuse(from, 'needs a "command": ["PROGRAM", "ARGUMENT"]')
    draft.set([...to, 'command'], program, [...from, 'command'])
    for (const [i, arg] of args.entries()) {
      draft.set([...to, 'args', i], arg, [...from, 'command', i + 1])
    }
    draft.set([...to, 'env'], env, [...from, 'env'])
    draft.set([...to, 'inheritEnv'], inheritEnv, [...from, 'inheritEnv'])
    if (url) unused('url')
  }
  if (enabled === false) draft.set([...to, 'disabled'], true, [...from, 'enabled'])
  for (const key of ['minConnections', 'maxConnections']) {
    draft.set([...to, 'pool', key], poolSize, [...from, 'poolSize'])
  }
}

/** Names are shown without a prefix unless there is a mapping that puts one there. Prompts follow tools. */
function adaptNames(
  name: string,
  mapping: Mapping | undefined,
  filter: Filter,
  draft: Draft,
): void {
  const to = ['mcpServers', name, 'tools']
  const from = ['mapping', name]
  const { prefix = '', stripPrefix = true, rename = {} } = mapping ?? {}
  draft.set([...to, 'prefix'], stripPrefix ? prefix : '', mapping ? [...from, 'prefix'] : [])
  if (mapping && stripPrefix && prefix === '') {
    draft.warn(from, 'has no "prefix", so names are shown as they are')
  }
  adaptRename(rename, to, [...from, 'rename'], draft)

  const { include = [], exclude = [] } = filter
  const filters = ['toolFilters', name]
  if (include.length > 0) setExact([...to, 'allow'], include, [...filters, 'include'], draft)
  else if (exclude.length > 0) setExact([...to, 'block'], exclude, [...filters, 'exclude'], draft)
  if (include.length > 0 && exclude.length > 0) {
    const what = 'has no effect beside "include", nor had it; leave it out'
    draft.warn([...filters, 'exclude'], what)
  }
}

/**
 * There, `{called: original}` sends calls to another tool, and lists go on showing what the server has. So the name that
 * clients call comes first, and it is kept: where the server has only that tool, nothing changes; where it has only the
 * other, it is now listed as well.
 */
function adaptRename(rename: Record<string, string>, to: Path, from: Path, draft: Draft): void {
  const taken = new Map<string, string>()
  for (const [called, original] of Object.entries(rename)) {
    const first = taken.get(original)
    if (isReserved(original)) draft.refuse([...from, called], 'stands for a name that is reserved')
    else if (first === undefined) draft.set([...to, 'rename', original], called, [...from, called])
    else draft.warn([...from, called], `a tool has one name, and this one is "${first}" already`)
    taken.set(original, first ?? called)
  }
  if (taken.size === 0) return
  const what =
    'renames in lists, too: {"NAME": "ORIGINAL"} shows the tool ORIGINAL of the server as NAME, and no longer by its own name'
  draft.warn(from, what)
}
