/** A configuration of another program in our words: it must mean the same, and give nothing away. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { EXAMPLE } from '../../src/commands/copy.ts'
import { ConfigError, parseConfig } from '../../src/config/parse.ts'
import { Secret } from '../../src/secret.ts'

const HIDDEN = 'hunter2'
const env = {
  TOKEN: HIDDEN,
  API_KEY: `${HIDDEN}-2`,
  GITHUB_TOKEN: HIDDEN,
  HOME: '/home/me',
  PORT: '9090',
}
const world = { env, readFile: () => HIDDEN }

/** With secrets as they are: two of them look alike to `toEqual`. */
function bare(value: unknown): unknown {
  if (value instanceof Secret) return { secret: value.reveal() }
  if (Array.isArray(value)) return value.map(bare)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, bare(inner)]))
}

function converted(text: string, source: string) {
  const { native, config, format } = parseConfig(text, source, world)
  const again = JSON.stringify(native, undefined, 2)
  return { text: again, config, format, parsed: parseConfig(again, 'converted.json', world) }
}

/** By what it is called in messages. */
const WRITTEN: Record<string, [source: string, text: string]> = {
  'of ours': [
    'c.json',
    `{
      "$schema": "./x.json", // for editors
      "gateway": {"port": 4000, "tls": {"cert": "a", "key": "b"}, "logLevel": "debug"},
      "auth": {"tokens": ["\${TOKEN}", {"token": {"env": "API_KEY"}, "servers": ["a"]}]},
      "defaults": {"pool": {"maxConnections": 9}},
      "mcpServers": {
        "a": {"command": "x", "env": {"A": "\${TOKEN}", "B": {"file": "b"}, "C": "\${NONE:-c}"}},
        "b": {"url": "https://b/\${TOKEN}", "headers": {"Authorization": "Bearer \${TOKEN}"}},
        "off": {"command": "y", "disabled": true, "env": {"A": "\${NONE}"}},
      },
      "groups": {"g": ["a", "off"]},
    }`,
  ],
  'that we write': ['c.json', EXAMPLE],
  'of mcp-proxy, whose port is in a variable': [
    'c.json',
    JSON.stringify({
      mcpProxy: {
        ...{ baseURL: 'https://m.example', addr: ':${PORT}', name: 'p', version: '1' },
        options: { authTokens: ['${TOKEN}'] },
      },
      mcpServers: {
        a: { command: 'npx', args: ['-y', 'a'], env: { A: '${TOKEN}' } },
        b: { url: 'https://b/sse', headers: { A: 'Bearer ${API_KEY}' } },
      },
    }),
  ],
  'of Claude': [
    'c.json',
    JSON.stringify({
      globalShortcut: 'x',
      mcpServers: { a: { command: 'x', env: { A: '${env:TOKEN}', B: '${TOKEN}' } } },
    }),
  ],
  'of VS Code': [
    'c.json',
    JSON.stringify({
      inputs: [{ id: 'token', type: 'promptString', password: true }],
      servers: { a: { type: 'stdio', command: 'x', env: { A: '${input:token}' } } },
    }),
  ],
  'of Codex': [
    'c.toml',
    '[mcp_servers.a]\ncommand = "x"\nargs = ["y"]\n[mcp_servers.a.env]\nA = "${TOKEN}"\n',
  ],
}

describe('a configuration', () => {
  test.each(Object.entries(WRITTEN))('%s means the same in our words', (_, [source, text]) => {
    const { config, parsed } = converted(text, source)
    expect(bare(parsed.config)).toEqual(bare(config))
    expect(Object.keys(parsed.config.mcpServers)).toEqual(Object.keys(config.mcpServers))
    expect([parsed.format, parsed.warnings]).toEqual([undefined, []])
  })

  test.each(Object.entries(WRITTEN))(
    '%s keeps its variables and references',
    (_, [source, text]) => {
      expect(converted(text, source).text).not.toContain(HIDDEN)
    },
  )

  test('of ours stays as it was written, without defaults', () => {
    const written = { mcpServers: { a: { command: '${SHELL:-sh}', env: { A: { env: 'TOKEN' } } } } }
    expect(parseConfig(JSON.stringify(written), 'c.json', world).native).toEqual(written)
  })
})

describe('every example of another program means the same in our words', async () => {
  const glob = new Bun.Glob('test/{compat,compat-clients}/golden/*.txt')
  const root = join(import.meta.dir, '../..')
  const files = (await Array.fromAsync(glob.scan(root))).sort()
  const inputs = await Promise.all(
    files.map(async (file) => {
      const [text = ''] = (await Bun.file(join(root, file)).text()).split(/^-{10,}$/m)
      const source = /codex[^/]*$/.test(file) ? 'c.toml' : 'c.json'
      return { file, text, source }
    }),
  )
  /** What is refused cannot be converted. */
  const good = inputs.filter(({ text, source }) => {
    try {
      return parseConfig(text, source, world).format !== undefined
    } catch (error) {
      if (error instanceof ConfigError) return false
      throw error
    }
  })

  test('there are some', () => {
    expect(good.length).toBeGreaterThan(files.length / 2)
  })

  test.each(good.map(({ file, ...input }) => [file, input] as const))('%s', (_, input) => {
    const { config, parsed, text } = converted(input.text, input.source)
    expect(bare(parsed.config)).toEqual(bare(config))
    expect(parsed.format).toBeUndefined()
    expect(text).not.toContain(HIDDEN)
  })
})
