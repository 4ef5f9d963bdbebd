/** The command line: options, signals, exit codes (0 done, 1 cannot start, 2 wrong usage). */
import { parseArgs } from 'node:util'
import { version } from '../package.json'
import { loadConfig } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { toError } from './errors.ts'
import { LOG_LEVELS, type LogLevel, logLines } from './events.ts'
import { Gateway } from './gateway.ts'
import { address, listen } from './http.ts'

const HELP = `mcp-gateway ${version}: one executable between every MCP client and every MCP server

Usage: mcp-gateway [options]

  --config PATH|URL   configuration; without it: $MCP_GATEWAY_CONFIG, ./config.json, ~/.config/mcp-gateway/config.json …
  --host HOST         address to listen on   (default 127.0.0.1)
  --port N            port to listen on      (default 4298; 0 takes a free one)
  --log-level LEVEL   ${LOG_LEVELS.join(', ')}   (default info)
  --check             check the configuration, print what would run, and exit
  --version           print the version and exit
  --help              print this and exit
`

/** Calls in flight get this long at shutdown. */
const DRAIN = 10_000

class UsageError extends Error {}

const options = {
  config: { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  'log-level': { type: 'string' },
  check: { type: 'boolean' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

await main(process.argv.slice(2)).catch((error) => {
  if (error instanceof UsageError) {
    process.stderr.write(`mcp-gateway: ${error.message}\nTry: mcp-gateway --help\n`)
    process.exit(2)
  }
  process.stderr.write(`mcp-gateway: ${toError(error).message}\n`)
  process.exit(1)
})

async function main(argv: string[]): Promise<void> {
  const flags = readFlags(argv)
  if (flags.help) return void process.stdout.write(HELP)
  if (flags.version) return void process.stdout.write(`${version}\n`)

  const loaded = await loadConfig(flags.config, process.env)
  const config = withFlags(loaded.config, flags.host, flags.port)
  const { source } = loaded
  if (flags.check) return void process.stdout.write(summary(config, source))

  const observe = logLines(logLevel(flags['log-level']), (line) => process.stderr.write(line))
  process.on('unhandledRejection', (error) => observe({ type: 'fault', error: toError(error) }))
  process.on('uncaughtException', (error) => observe({ type: 'fault', error }))

  const gateway = Gateway.start(config, observe)
  let listener: ReturnType<typeof listen>
  try {
    listener = listen(gateway, version, observe)
  } catch (error) {
    await gateway.close()
    const { host, port } = config.gateway
    throw new Error(
      `cannot listen on ${host}:${port}: ${toError(error).message}; --port takes another one`,
    )
  }
  process.stdout.write(banner(config, source, listener.url))

  let stopping = false
  const stop = async () => {
    if (stopping) process.exit(1) // whoever asks twice does not want to wait
    stopping = true
    observe({ type: 'stopping', drain: DRAIN })
    await listener.close({ drain: DRAIN })
    await gateway.close()
    process.exit(0)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

function readFlags(argv: string[]) {
  try {
    // Go's flags, which one of the older gateways has, are written with one dash.
    const args = argv.map((arg) => (/^-[a-z][a-z-]/.test(arg) ? `-${arg}` : arg))
    return parseArgs({ args, options, allowPositionals: false }).values
  } catch (error) {
    throw new UsageError(toError(error).message.split('. ')[0]!)
  }
}

function withFlags(config: Config, host: string | undefined, port: string | undefined): Config {
  const gateway = { ...config.gateway }
  if (host !== undefined) gateway.host = host
  if (port !== undefined) gateway.port = portNumber(port)
  return { ...config, gateway }
}

function portNumber(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65535) return port
  throw new UsageError(`--port: expected a number from 0 to 65535, got "${text}"`)
}

function logLevel(text = 'info'): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text)
  if (level) return level
  throw new UsageError(`--log-level: expected ${LOG_LEVELS.join(', ')}, got "${text}"`)
}

function summary(config: Config, source: string | undefined): string {
  const servers = Object.entries(config.mcpServers)
  const lines = servers.map(
    ([name, { command, args }]) => `  ${name}: ${command}, ${args.length} arguments`,
  )
  const where = `${address(config.gateway)}:${config.gateway.port}`
  return `${source ?? 'embedded defaults'}: good\nwould listen on ${where} for\n${lines.join('\n')}\n`
}

function banner(config: Config, source: string | undefined, url: URL): string {
  const names = Object.keys(config.mcpServers)
  const lines = names.flatMap((name) => {
    const at = new URL(`${name}/mcp`, url)
    return [`  ${at}`, `    claude mcp add --transport http ${name} ${at}`]
  })
  const said = [
    `mcp-gateway ${version} on ${url} (${source ?? 'embedded defaults: no config.json found'})`,
  ]
  if (address(config.gateway) !== config.gateway.host) {
    said.push(
      `not listening on ${config.gateway.host}: no authentication is configured, so only this machine may come.`,
      'To let everyone in who can reach it, write "allowUnauthenticated": true under "gateway".',
    )
  }
  return `${[...said, ...lines].join('\n')}\n`
}
