/** The command line: options, signals, exit codes (0 done, 1 cannot start, 2 wrong usage). */
import { parseArgs } from 'node:util'
import * as v from 'valibot'
import { version } from '../package.json'
import { loadConfig } from './config/load.ts'
import { closest } from './config/parse.ts'
import { type Config, GatewaySchema } from './config/schema.ts'
import { toError } from './errors.ts'
import { LOG_LEVELS, logLines } from './events.ts'
import { Gateway } from './gateway.ts'
import { address, type Listener, listen } from './http.ts'

const HELP = `mcp-gateway ${version}: one executable between every MCP client and every MCP server

Usage: mcp-gateway [options]

  --config PATH|URL   configuration; without it $MCP_GATEWAY_CONFIG, else the
                      first of ./config.json, ./.mcp-gateway/config.json,
                      ~/.config/mcp-gateway/config.json,
                      ~/.mcp-gateway/config.json and ./config/servers.json,
                      else a demonstration server
  --host HOST         address to listen on (default 127.0.0.1)
  --port N            port to listen on (default 4298; 0 takes a free one)
  --log-level LEVEL   ${LOG_LEVELS.join(', ')} (default info)
  --check             check the configuration, print what would run, and exit
  --version           print the version and exit
  --help              print this and exit
`

/** Calls in flight get this long at shutdown. */
const DRAIN = 10_000

const NOWHERE = 'embedded defaults: no config.json found'
const NO_SERVERS = '  no servers: write {"mcpServers": {"NAME": {"command": "PROGRAM"}}}'

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
  const { message } = toError(error)
  process.stderr.write(message.replace(/^/gm, 'mcp-gateway: ').concat('\n'))
  if (!(error instanceof UsageError)) process.exit(1)
  process.stderr.write('Try: mcp-gateway --help\n')
  process.exit(2)
})

async function main(argv: string[]): Promise<void> {
  const flags = readFlags(argv)
  if (flags.help) return void process.stdout.write(HELP)
  if (flags.version) return void process.stdout.write(`${version}\n`)

  const { config: loaded, source } = await loadConfig(flags.config, process.env)
  const config = { ...loaded, gateway: { ...loaded.gateway, ...flags.gateway } }
  if (flags.check) return void process.stdout.write(summary(config, source))

  const observe = logLines(flags.level, (line) => process.stderr.write(line))
  process.on('unhandledRejection', (error) => observe({ type: 'fault', error: toError(error) }))
  process.on('uncaughtException', (error) => observe({ type: 'fault', error }))

  const gateway = Gateway.start(config, observe)
  let listener: Listener
  try {
    listener = listen(gateway, version, observe)
  } catch (error) {
    await gateway.close()
    throw new Error(cannotListen(config, error))
  }

  let stopping = false
  const stop = async () => {
    if (stopping) {
      // Whoever asks twice does not want to wait.
      gateway.kill()
      process.exit(1)
    }
    stopping = true
    observe({ type: 'stopping', drain: DRAIN })
    await listener.close({ drain: DRAIN })
    await gateway.close()
    process.exit(0)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  // When its terminal is closed. Under nohup it has none, and is to stay.
  if (process.stdout.isTTY || process.stderr.isTTY) process.on('SIGHUP', stop)
  process.stdout.write(banner(config, source, listener.url))
}

function readFlags(argv: string[]) {
  // Go's flags, which one of the older gateways has, are written with one dash.
  const args = argv.map((arg) => (/^-[a-z][a-z-]/.test(arg) ? `-${arg}` : arg))
  for (const token of parseArgs({ args, options, strict: false, tokens: true }).tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      const { value } = token
      const hint = /[./]/.test(value) ? `; did you mean --config ${value}?` : ''
      throw new UsageError(`unexpected argument ${JSON.stringify(value)}${hint}`)
    }
    const { name, rawName, value, inlineValue } = token
    if (!Object.hasOwn(options, name)) {
      const near = closest(name, Object.keys(options))
      throw new UsageError(`unknown option ${rawName}${near ? `; did you mean --${near}?` : ''}`)
    }
    if (options[name as keyof typeof options].type === 'boolean') {
      if (value !== undefined) throw new UsageError(`${rawName}: takes no value`)
    } else if (!value || (!inlineValue && /^--?[a-z]/.test(value))) {
      throw new UsageError(`${rawName}: a value is missing${value ? ` before ${value}` : ''}`)
    }
  }
  const { values } = parseArgs({ args, options, strict: false })
  const { config, host, port, check, version, help } = values as Values
  const gateway = {
    ...(host === undefined ? {} : { host: hostName(host) }),
    ...(port === undefined ? {} : { port: portNumber(port) }),
  }
  return { config, gateway, level: logLevel(values['log-level']), check, version, help }
}

/** What the tokens have been found to hold. */
type Values = {
  [K in keyof typeof options]?: (typeof options)[K]['type'] extends 'string' ? string : boolean
}

function hostName(text: string): string {
  const { success, output, issues } = v.safeParse(GatewaySchema.entries.host, text)
  if (success) return output
  throw new UsageError(`--host: ${issues[0].message}, got ${JSON.stringify(text)}`)
}

function portNumber(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65535) return port
  throw new UsageError(`--port: expected a number from 0 to 65535, got ${JSON.stringify(text)}`)
}

function logLevel(text: unknown = 'info') {
  const level = LOG_LEVELS.find((known) => known === text)
  if (level) return level
  throw new UsageError(
    `--log-level: expected ${LOG_LEVELS.join(', ')}, got ${JSON.stringify(text)}`,
  )
}

function cannotListen(config: Config, error: unknown): string {
  const { host, port } = config.gateway
  const where = `${address(config.gateway)}:${port}`
  const { code, message } = toError(error) as NodeJS.ErrnoException
  if (code === 'EADDRINUSE' && port !== 0) {
    return `cannot listen on ${where}: the port is in use; end what listens there, or take another one by --port or gateway.port`
  }
  if (code === 'EACCES') {
    return `cannot listen on ${where}: permission denied; ports below 1024 need it, --port or gateway.port takes another one`
  }
  return `cannot listen on ${where}: ${message}; is ${host} an address of this machine? --host or gateway.host takes another one`
}

/** What would run, and what of it could not. Nothing is started. */
function summary(config: Config, source: string | undefined): string {
  const { status } = Gateway.start(config, () => {})
  const servers = Object.entries(config.mcpServers).map(([name, { command, args }]) => {
    const reason = status[name]?.reason
    return `  ${name}: ${command}, ${args.length} arguments${reason ? `: ${reason}` : ''}`
  })
  const { port } = config.gateway
  const where = `${address(config.gateway)}, ${port === 0 ? 'a free port' : `port ${port}`}`
  return lines([
    `${source ?? 'embedded defaults'}: good`,
    `would listen on ${where}, for`,
    ...(servers.length === 0 ? [NO_SERVERS] : servers),
    ...exposure(config),
  ])
}

function banner(config: Config, source: string | undefined, url: URL): string {
  // A wildcard address is where to listen, not where to go.
  const reachable = new URL(url)
  if (/^(0\.0\.0\.0|\[::\])$/.test(url.hostname)) reachable.hostname = 'localhost'
  const servers = Object.keys(config.mcpServers).flatMap((name) => {
    const at = new URL(`${name}/mcp`, reachable)
    // Claude's names have no dots.
    return [`  ${at}`, `    claude mcp add --transport http ${name.replaceAll('.', '-')} ${at}`]
  })
  return lines([
    `mcp-gateway ${version} on ${url} (${source ?? NOWHERE})`,
    ...exposure(config),
    ...(servers.length === 0 ? [NO_SERVERS] : servers),
  ])
}

/** Who may come, where that is not what one would think. */
function exposure({ gateway }: Config): string[] {
  const { host, allowUnauthenticated } = gateway
  if (address({ ...gateway, allowUnauthenticated: false }) === host) return []
  if (allowUnauthenticated) {
    return [`anybody who reaches ${host} can use every server: "allowUnauthenticated" is true.`]
  }
  return [
    `not listening on ${host}: no authentication is configured, so only this machine may come.`,
    'To let everyone in who can reach it, write "allowUnauthenticated": true under "gateway".',
  ]
}

function lines(text: string[]): string {
  return `${text.join('\n')}\n`
}
