/** `serve`, and what runs without any command: the gateway over HTTP, until a signal ends it. */
import { join } from 'node:path'
import { isatty } from 'node:tty'
import * as v from 'valibot'
import { version } from '../../package.json'
import type { Loaded } from '../config/load.ts'
import { type Config, GatewaySchema, type ServerConfig } from '../config/schema.ts'
import { toError } from '../errors.ts'
import { LOG_LEVELS, logLines } from '../events.ts'
import { Gateway } from '../gateway.ts'
import { address, CertificateError } from '../port.ts'
import { Seal } from '../store/seal.ts'
import { defaultDirectory, SqliteStore } from '../store/sqlite.ts'
import { StoreError } from '../store/store.ts'
import { CONFIG_HELP, CONFIG_OPTIONS, loadNamed, warningLines } from './configuration.ts'
import { allowManyFetches } from './fetches.ts'
import { logLevel, readFlags, UsageError } from './flags.ts'
import { Running } from './running.ts'

export const HELP = `mcp-gateway ${version}: one executable between every MCP client and every MCP server

Usage: mcp-gateway [options]          serve over HTTP
       mcp-gateway bridge [URL]       stdio to a gateway at a URL
       mcp-gateway stdio [options]    serve on stdin and stdout
       mcp-gateway schema             a JSON Schema of the configuration
       mcp-gateway convert [FILE]     any known configuration as one of ours
       mcp-gateway copy-config PATH   an example to begin with
       mcp-gateway hash-password      a password as it is best configured
       mcp-gateway users, clients, tokens
                                      who may log in, and who has; see --help

  --config PATH|URL   configuration; without it $MCP_GATEWAY_CONFIG, else the
                      first of ./config.json, ./.mcp-gateway/config.json,
                      ~/.config/mcp-gateway/config.json,
                      ~/.mcp-gateway/config.json and ./config/servers.json,
                      else a demonstration server
${CONFIG_HELP}\
  --host HOST         address to listen on (default 127.0.0.1)
  --port N            port to listen on (default 4298; 0 takes a free one)
  --log-level LEVEL   ${LOG_LEVELS.join(', ')} (default info)
  --eject-templates   write the pages for logging in to templates/oauth, or
                      below auth.oauth.templateDir, to change them, and exit
  --eject-templates-to DIR
                      the same below another directory
  --force             with these: also over files that were changed
  --check             check the configuration, print what would run, and exit
  --version           print the version and exit
  --help              print this and exit
`

const NOWHERE = 'embedded defaults: no config.json found'
const NO_SERVERS = '  no servers: write {"mcpServers": {"NAME": {"command": "PROGRAM"}}}'

const options = {
  ...CONFIG_OPTIONS,
  host: { type: 'string' },
  port: { type: 'string' },
  'log-level': { type: 'string' },
  check: { type: 'boolean' },
  'check-config': { type: 'boolean' },
  'eject-templates': { type: 'boolean' },
  'eject-templates-to': { type: 'string' },
  force: { type: 'boolean' },
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
  if (flags['eject-templates'] || flags['eject-templates-to'] !== undefined) {
    const directory = flags['eject-templates-to'] ?? (await templateDir(flags, env))
    const { eject } = await import('./eject.ts')
    return void process.stdout.write(eject(directory, { force: flags.force ?? false }))
  }
  const overrides = {
    ...(flags.host === undefined ? {} : { host: hostName(flags.host) }),
    ...(flags.port === undefined ? {} : { port: portNumber(flags.port) }),
  }
  const wanted = logLevel(flags['log-level'])

  const loaded = await loadNamed(flags, env)
  const { config: written, source } = loaded
  const config = { ...written, gateway: { ...written.gateway, ...overrides } }
  if (flags.check || flags['check-config']) {
    return void process.stdout.write(summary({ ...loaded, config }))
  }
  allowManyFetches(config, argv, env)
  const level = wanted ?? config.gateway.logLevel ?? 'info'

  const observe = logLines(level, (line) => process.stderr.write(line))
  process.on('unhandledRejection', (error) => observe({ type: 'fault', error: toError(error) }))
  process.on('uncaughtException', (error) => observe({ type: 'fault', error }))

  let running: Running
  try {
    const directory = config.gateway.dataDir ?? defaultDirectory(env)
    const [store, seal] = [new SqliteStore(directory), new Seal(directory, env)]
    running = await Running.start(loaded, {
      ...{ observe, overrides, store, seal },
      imports: keptByOthers(loaded, directory, env),
    })
  } catch (error) {
    throw new Error(cannotListen(config, error))
  }
  const stop = async () => {
    await running.stop()
    process.exit(0)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  const hasTerminal = isTerminal()
  process.on('SIGHUP', () => {
    // It was closed with us in it. Whoever wants a reload leaves it open, or started us without one.
    if (hasTerminal && !isTerminal()) void stop()
    else void running.reload()
  })
  process.stdout.write(warningLines(loaded) + banner(config, source, running.url))
  // Who knocks meanwhile goes first.
  setImmediate(() => running.warm())

  const missing = await running.missing()
  if (missing.length === 0) return
  await running.stop()
  const why = missing.map(({ message }) => message)
  throw new Error([...why, 'a server that is "required" cannot be reached'].join('\n'))
}

/** Of a configuration that cannot be read nothing is wanted here but this. */
async function templateDir(
  flags: Parameters<typeof loadNamed>[0],
  env: Parameters<typeof loadNamed>[1],
): Promise<string> {
  try {
    return (await loadNamed(flags, env)).config.auth.oauth?.templateDir ?? TEMPLATES
  } catch (error) {
    process.stderr.write(`warning: ${toError(error).message}\nwarning: using ${TEMPLATES}\n`)
    return TEMPLATES
  }
}

const TEMPLATES = 'templates'

/** Where the older proxy keeps clients and logins: its default, and where it may have been told to. */
function keptByOthers(
  { format }: Loaded,
  directory: string,
  env: Record<string, string | undefined>,
): string[] {
  const name = 'oauth_clients.json'
  const isTheirs = format?.startsWith('mcp-proxy')
  const home = isTheirs && env.HOME ? [join(env.HOME, '.mcpproxy', name)] : []
  return [join(directory, name), ...home]
}

function isTerminal(): boolean {
  return isatty(1) || isatty(2)
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
  if (error instanceof CertificateError || error instanceof StoreError) return error.message
  const { host, port } = config.gateway
  const where = `${address(config)}:${port}`
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
function summary(loaded: Loaded): string {
  const { config, source, format } = loaded
  const { status } = Gateway.start(config, () => {})
  const servers = Object.entries(config.mcpServers).map(([name, server]) => {
    const reason = status[name]?.reason
    return `  ${name}: ${whatRuns(server)}${reason ? `: ${reason}` : ''}`
  })
  const groups = Object.entries(config.groups).map(
    ([name, servers]) => `  ${name}: the group of ${servers.join(', ')}`,
  )
  const { port } = config.gateway
  const where = `${address(config)}, ${port === 0 ? 'a free port' : `port ${port}`}`
  const checked = lines([
    `${source ?? 'embedded defaults'}: good${format ? `, as written for ${format}` : ''}`,
    `would listen on ${where}, for`,
    ...(servers.length === 0 ? [NO_SERVERS] : servers),
    ...config.disabled.map((name) => `  ${name}: disabled`),
    ...groups,
    ...exposure(config),
  ])
  return checked + warningLines(loaded)
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
function exposure(config: Config): string[] {
  const unchecked = Object.entries(config.mcpServers)
    .filter(([, server]) => server.kind === 'remote' && server.insecure)
    .map(([name]) => `INSECURE: server "${name}" may show any certificate: its "insecure" is true.`)
  return [...unchecked, ...openness(config)]
}

function openness(config: Config): string[] {
  const { host, allowUnauthenticated } = config.gateway
  const gateway = { ...config.gateway, allowUnauthenticated: false }
  if (address({ ...config, gateway }) === host) return []
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
