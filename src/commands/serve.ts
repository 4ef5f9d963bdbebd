/** `serve`, and what runs without any command: the gateway over HTTP, until a signal ends it. */
import * as v from 'valibot'
import { version } from '../../package.json'
import { loadConfig } from '../config/load.ts'
import { type Config, GatewaySchema, type ServerConfig } from '../config/schema.ts'
import { toError } from '../errors.ts'
import { LOG_LEVELS, logLines } from '../events.ts'
import { Gateway } from '../gateway.ts'
import { address, type Listener, listen } from '../http.ts'
import { allowManyFetches } from './fetches.ts'
import { logLevel, readFlags, UsageError } from './flags.ts'

export const HELP = `mcp-gateway ${version}: one executable between every MCP client and every MCP server

Usage: mcp-gateway [options]          serve over HTTP
       mcp-gateway bridge [URL]       stdio to a gateway at a URL
       mcp-gateway stdio [options]    serve on stdin and stdout

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

const options = {
  config: { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  'log-level': { type: 'string' },
  check: { type: 'boolean' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Resolves once it listens; a signal ends the process. */
export async function serve(
  argv: readonly string[],
  env: Record<string, string | undefined>,
): Promise<void> {
  const { flags } = readFlags(argv, options)
  if (flags.help) return void process.stdout.write(HELP)
  if (flags.version) return void process.stdout.write(`${version}\n`)
  const overrides = {
    ...(flags.host === undefined ? {} : { host: hostName(flags.host) }),
    ...(flags.port === undefined ? {} : { port: portNumber(flags.port) }),
  }
  const level = logLevel(flags['log-level'], 'info')

  const { config: loaded, source } = await loadConfig(flags.config, env)
  const config = { ...loaded, gateway: { ...loaded.gateway, ...overrides } }
  if (flags.check) return void process.stdout.write(summary(config, source))
  allowManyFetches(config, argv, env)

  const observe = logLines(level, (line) => process.stderr.write(line))
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
  // Who knocks meanwhile goes first.
  setImmediate(() => gateway.warm())
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
  const servers = Object.entries(config.mcpServers).map(([name, server]) => {
    const reason = status[name]?.reason
    return `  ${name}: ${whatRuns(server)}${reason ? `: ${reason}` : ''}`
  })
  const groups = Object.entries(config.groups).map(
    ([name, servers]) => `  ${name}: the group of ${servers.join(', ')}`,
  )
  const { port } = config.gateway
  const where = `${address(config.gateway)}, ${port === 0 ? 'a free port' : `port ${port}`}`
  return lines([
    `${source ?? 'embedded defaults'}: good`,
    `would listen on ${where}, for`,
    ...(servers.length === 0 ? [NO_SERVERS] : servers),
    ...groups,
    ...exposure(config),
  ])
}

/** Without arguments, headers and queries: people keep secrets there. */
function whatRuns(server: ServerConfig): string {
  if (server.kind === 'command') return `${server.command}, ${server.args.length} arguments`
  const { origin, pathname } = new URL(server.url)
  return `${origin}${pathname}`
}

function banner(config: Config, source: string | undefined, url: URL): string {
  const { gateway, mcpServers, groups } = config
  // A wildcard address is where to listen, not where to go.
  const reachable = new URL(url)
  if (/^(0\.0\.0\.0|\[::\])$/.test(url.hostname)) reachable.hostname = 'localhost'
  const base = gateway.baseURL?.replace(/\/?$/, '/') ?? reachable
  const add = (name: string, at: URL) => [
    `  ${at}`,
    // Claude's names have no dots.
    `    claude mcp add --transport http ${name.replaceAll('.', '-')} ${at}`,
  ]
  const servers = Object.keys(mcpServers)
  const merged = servers.length > 1 ? add('gateway', new URL('mcp', base)) : []
  const single = [...Object.keys(groups), ...servers].flatMap((name) =>
    add(name, new URL(`${name}/mcp`, base)),
  )
  return lines([
    `mcp-gateway ${version} on ${url} (${source ?? NOWHERE})`,
    ...exposure(config),
    ...(servers.length === 0 ? [NO_SERVERS] : [...merged, ...single]),
  ])
}

/** What is less safe than one would think. */
function exposure({ gateway, mcpServers }: Config): string[] {
  const unchecked = Object.entries(mcpServers)
    .filter(([, server]) => server.kind === 'remote' && server.insecure)
    .map(([name]) => `INSECURE: server "${name}" may show any certificate: its "insecure" is true.`)
  return [...unchecked, ...openness(gateway)]
}

function openness(gateway: Config['gateway']): string[] {
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
