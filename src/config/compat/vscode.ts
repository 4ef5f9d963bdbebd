/**
 * The `servers` and `inputs` of VS Code, in a file of their own or as `mcp` in its settings.
 *
 * Nobody is asked for inputs: `${input:github-token}` is the variable GITHUB_TOKEN, or else the input's default.
 */
import * as v from 'valibot'
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import { COMMON, ENV_FILE, Entries, IGNORED, isObject, LOGIN, objectsIn, SANDBOX } from './entry.ts'
import { format, type Root } from './format.ts'
import { editorSpelling } from './placeholders.ts'

const entry = v.looseObject({
  ...COMMON,
  env: v.optional(v.record(v.string(), v.nullable(v.union([v.string(), v.number()])))),
  envFile: IGNORED,
  oauth: IGNORED,
  sandboxEnabled: v.optional(v.boolean()),
  sandbox: IGNORED,
  dev: IGNORED,
  gallery: IGNORED,
  version: IGNORED,
})

const file = {
  servers: v.optional(v.record(v.string(), entry), {}),
  inputs: IGNORED,
  sandbox: IGNORED,
}

type File = { servers: Record<string, v.InferOutput<typeof entry>> }

/** What is ours or another's, if it is beside `servers`. */
const OTHERS = ['mcpServers', 'gateway', 'auth', 'defaults', 'groups']

export const VSCODE = format({
  name: 'VS Code',
  fits: (root) =>
    isObject(root.servers) &&
    (objectsIn(root.servers).length > 0 || Array.isArray(root.inputs)) &&
    !OTHERS.some((key) => Object.hasOwn(root, key)),
  schema: v.looseObject(file),
  spelling: (root) => editorSpelling(defaultsOf(root)),
  adapt: (written, draft) => adapt(written, [], draft),
})

export const VSCODE_SETTINGS = format({
  name: 'the settings of VS Code',
  fits: ({ mcp, mcpServers }) => isObject(mcp) && isObject(mcp.servers) && !mcpServers,
  schema: v.objectWithRest({ mcp: v.looseObject(file) }, v.unknown()),
  spelling: ({ mcp }) => editorSpelling(defaultsOf(mcp as Root)),
  adapt: ({ mcp }, draft) => adapt(mcp, ['mcp'], draft),
})

/** What inputs are if nobody says otherwise, by their ids. One with a "}" in it could not be told from its end. */
function defaultsOf({ inputs }: Root): Map<string, string> {
  const defaults = new Map<string, string>()
  for (const input of Array.isArray(inputs) ? inputs.filter(isObject) : []) {
    const { id, default: otherwise } = input
    if (typeof id !== 'string' || typeof otherwise !== 'string') continue
    if (!otherwise.includes('}')) defaults.set(id, otherwise)
  }
  return defaults
}

function adapt({ servers }: File, within: Path, draft: Draft): void {
  const at = [...within, 'servers']
  const entries = new Entries(draft, Object.keys(servers), at)
  for (const [name, server] of Object.entries(servers)) {
    const ours = entries.begin(name, [...at, name])
    for (const key of [
      'command',
      'args',
      'cwd',
      'url',
      'headers',
      'timeout',
      'disabled',
    ] as const) {
      ours.set(key, server[key])
    }
    // Their "http" falls back to SSE, as ours does without a type.
    if (server.type !== 'http') ours.set('type', server.type)
    const values = Object.entries(server.env ?? {}).filter(([, value]) => value !== null)
    if (server.env)
      ours.set('env', Object.fromEntries(values.map(([key, value]) => [key, `${value}`])))
    if (server.disabled) continue
    const told = (key: string, what: string) => entries.warnOnce([...at, name, key], what)
    if (server.envFile !== undefined) told('envFile', ENV_FILE)
    if (server.oauth !== undefined) told('oauth', LOGIN)
    if (server.sandboxEnabled) told('sandboxEnabled', SANDBOX)
  }
}
