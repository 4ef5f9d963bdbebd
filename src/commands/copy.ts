/** `copy-config`: an example of a configuration, to begin with. */
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { readFlags, UsageError } from './flags.ts'

const HELP = `Usage: mcp-gateway copy-config PATH [options]

  Writes an example of a configuration to PATH, which only you can read, with
  the folders that it needs. "-" writes it to stdout.

  --force             also over a file that is there
  --help              print this and exit
`

const options = { force: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const

/** It runs as it is; whatever needs an account is disabled. */
export const EXAMPLE = `// A configuration of mcp-gateway. Comments and trailing commas are fine.
// "mcp-gateway --check" tells what is wrong with it; "mcp-gateway schema" all options.
{
  "gateway": {
    "host": "127.0.0.1",
    "port": 4298,
  },

  // Who may come. Without tokens only this machine, and from there everybody.
  "auth": {
    "tokens": [
      // { "token": { "env": "MCP_TOKEN" }, "name": "ci", "servers": ["everything"] },
    ],
  },

  // Each server is reached at /NAME/mcp, and all of them together at /mcp.
  "mcpServers": {
    // A command that is started, and speaks MCP on its stdin and stdout.
    "everything": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-everything"],
    },
    "github": {
      "disabled": true,
      "command": "github-mcp-server",
      "args": ["stdio"],
      "env": { "GITHUB_PERSONAL_ACCESS_TOKEN": { "env": "GITHUB_TOKEN" } },
      // Neither listed nor callable.
      "tools": { "block": ["delete_*"] },
    },
    // A server at a URL.
    "docs": {
      "disabled": true,
      "url": "https://docs.example/mcp",
      "headers": { "Authorization": "Bearer \${DOCS_TOKEN}" },
    },
  },

  // Several servers merged under one name: /work/mcp.
  "groups": { "work": ["github", "docs"] },
}
`

export async function copyConfig(argv: readonly string[]): Promise<void> {
  const { flags, words } = readFlags(argv, options, 1)
  if (flags.help) return void process.stdout.write(HELP)
  const [path] = words
  if (path === undefined) throw new UsageError('copy-config: say where to, or "-" for stdout')
  if (path === '-') return void process.stdout.write(EXAMPLE)
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, EXAMPLE, { mode: 0o600, flag: flags.force ? 'w' : 'wx' })
    // One that was there has kept what it had.
    if (flags.force) await chmod(path, 0o600)
  } catch (error) {
    throw new Error(`${path}: ${reasonOf(error as NodeJS.ErrnoException)}`)
  }
  process.stdout.write(`${path} is written; next: mcp-gateway --config ${path} --check\n`)
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'EEXIST') return 'is already there; --force writes over it'
  if (code === 'EISDIR') return 'is a directory; name a file in it'
  return `cannot be written: ${message}`
}
