/**
 * Whatever a configuration holds, it is read or refused: with a place on every line, without a secret, and soon.
 *
 * CONFIG_FUZZ=SEED tries that seed only, CONFIG_FUZZ=SEED+COUNT so many from there.
 */
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { parseJson, plainValue } from '../../src/config/document.ts'
import { parseConfig } from '../../src/config/parse.ts'
import type { Result, Task } from './config-fuzz.worker.ts'

const ROOT = join(import.meta.dir, '../..')
const SECRET = 'hunter2'
/** Far more than it takes: who is not done by then never will be. */
const WATCHDOG = 120_000

const NATIVE = [
  {
    gateway: { port: 0, host: '127.0.0.1', baseURL: 'https://gw.example/x', allowedHosts: ['a.b'] },
    auth: { tokens: [`${SECRET}!`, { token: SECRET, name: 'me', servers: ['a'], admin: true }] },
    defaults: { isolation: 'user', pool: { maxConnections: 3 }, timeout: 1000 },
    mcpServers: {
      a: { command: 'x', args: [SECRET], env: { KEY: SECRET, B: { env: 'A' } }, maxMemory: '1GiB' },
      b: { url: `https://u:${SECRET}@b/mcp?${SECRET}`, headers: { Authorization: SECRET } },
      c: {
        command: 'y',
        tools: { allow: ['a*'], rename: { a: 'b' }, override: { t: { pinned: { k: SECRET } } } },
      },
    },
    groups: { g: ['a', 'b'] },
  },
]

/** Whose values are nobody's business. */
const SECRETIVE =
  /^(env|environment|headers|args|authTokens|tokens?|users|password|clientSecret|auth|http_headers|bearer_token)$/

/** Names, even there. */
const NAMES = /^(name|servers|scopes|type|id)$/

/** The same with secrets where people keep them. */
function planted(value: unknown, isSecret = false): unknown {
  if (typeof value === 'string') return isSecret ? SECRET : value
  if (Array.isArray(value)) return value.map((item) => planted(item, isSecret))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  const isReference = entries.length === 1 && /^(env|file)$/.test(entries[0]![0])
  if (isSecret && isReference && typeof entries[0]![1] === 'string') return value
  return Object.fromEntries(
    entries.map(([key, inner]) => [
      key,
      planted(inner, !NAMES.test(key) && (isSecret || SECRETIVE.test(key))),
    ]),
  )
}

async function corpus(): Promise<Task['corpus']> {
  const texts: string[] = NATIVE.map((config) => JSON.stringify(config, undefined, 2))
  for (const path of new Bun.Glob('test/compat*/golden/*.txt').scanSync(ROOT)) {
    const [input = ''] = (await Bun.file(join(ROOT, path)).text()).split(`\n${'-'.repeat(20)}\n`)
    texts.push(input)
  }
  const readme = await Bun.file(join(ROOT, 'README.md')).text()
  for (const [, block] of readme.matchAll(/```jsonc?\n(\{.*?)```/gs)) texts.push(block!)
  return texts.flatMap((text) => {
    try {
      const value = plainValue(parseJson(text))
      return [text, JSON.stringify(planted(value), undefined, 1)].map((text): [string, string] => [
        'c.json',
        text,
      ])
    } catch {
      return [['c.toml', text.replaceAll(/MY_ENV_VALUE|us-east-1/g, SECRET)] as [string, string]]
    }
  })
}

/** What came of it, or what was tried when it took too long. */
function tried(task: Omit<Task, 'progress'>): Promise<Result | string> {
  const progress = new SharedArrayBuffer(4)
  const worker = new Worker(new URL('./config-fuzz.worker.ts', import.meta.url))
  const { promise, resolve, reject } = Promise.withResolvers<Result | string>()
  const watchdog = setTimeout(
    () => resolve(`seed ${new Int32Array(progress)[0]} does not end`),
    WATCHDOG,
  )
  worker.onmessage = ({ data }) => resolve(data)
  worker.onerror = ({ message }) => reject(new Error(message))
  worker.postMessage({ ...task, progress })
  return promise.finally(() => {
    clearTimeout(watchdog)
    worker.terminate()
  })
}

const [first = 1, count = first === 1 ? 20_000 : 1] = (process.env.CONFIG_FUZZ ?? '')
  .split('+')
  .filter(Boolean)
  .map(Number)

test(
  `${count} mutated configurations are read or refused, each with a place and without a secret`,
  async () => {
    const task = { corpus: await corpus(), first, count, secret: SECRET }
    expect(task.corpus.length).toBeGreaterThan(20)
    const result = await tried(task)
    if (typeof result === 'string') throw new Error(result)
    expect(result.failures.join('\n\n')).toBe('')
    expect(result.good + result.bad).toBe(count)
    // Else it would be noise that is fed, and not configurations that are nearly good.
    expect(result.good).toBeGreaterThan(count / 10)
    expect(result.bad).toBeGreaterThan(count / 10)
  },
  WATCHDOG + 10_000,
)

/** What a reader that goes step by step, or looks again and again, would not survive. */
test.each([
  ['brackets', '['.repeat(100_000)],
  ['braces', '{"a":'.repeat(100_000)],
  ['brackets in an option', `{"mcpServers": {"a": ${'['.repeat(100_000)}`],
  ['brackets that end', `{"a": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ['brackets in TOML', `[mcp_servers.a]\nargs = ${'['.repeat(100_000)}`],
  ['a name of many parts', `${'a.'.repeat(100_000)}b = 1`],
  ['a variable without an end', argument('${A:-'.repeat(200_000))],
  ['a variable of an editor without an end', argument('${env:'.repeat(200_000))],
  ['a long name', `{"mcpServers": {}, "${'x'.repeat(1_000_000)}": 1}`],
])(
  '%s without end are judged as well',
  async (_, text) => {
    const task = {
      corpus: [['c.json', text]] as Task['corpus'],
      first: 0,
      count: 0,
      secret: SECRET,
    }
    const result = await tried(task)
    if (typeof result === 'string') throw new Error(result)
    expect(result).toMatchObject({ good: 0, bad: 1, failures: [] })
  },
  WATCHDOG + 10_000,
)

function argument(text: string): string {
  return JSON.stringify({ mcpServers: { a: { command: 'x', trust: true, args: [text], url: 1 } } })
}

test('brackets in strings and comments are not counted, and enough may be', () => {
  const arrays = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  const pinned = (value: string) =>
    `{"mcpServers": {"a": {"command": "x", "tools": {"override": {"t": {"pinned": {"v": ${value}}}}}}}}`
  const text = `// ${'['.repeat(200)}\n/* ${'{'.repeat(200)}\n */${pinned(`"\\"${'['.repeat(200)}"`)}`
  expect(Object.keys(parseConfig(text, 'c.json').config.mcpServers)).toEqual(['a'])
  expect(() => parseConfig(pinned(arrays(90)), 'c.json')).not.toThrow()
  expect(() => parseConfig(pinned(arrays(100)), 'c.json')).toThrow(/^c\.json:1: .* more than 100 /)
})
