/**
 * `bridge`: a pipe between a client that speaks only stdio and a gateway, or any other server, at a URL.
 *
 * Nothing but MCP is written to stdout. The pipe outlives the gateway: when that comes back, the conversation goes on.
 */
import * as v from 'valibot'
import { ANONYMOUS } from '../caller.ts'
import { ServerSchema } from '../config/server.ts'
import { serveStdio } from '../downstream/stdio.ts'
import { LOG_LEVELS, logLines, type Observer } from '../events.ts'
import { Patient } from '../routing/patient.ts'
import { Single } from '../routing/single.ts'
import { Upstream } from '../upstream/upstream.ts'
import { Watchdog } from '../upstream/watchdog.ts'
import { logLevel, readFlags, UsageError } from './flags.ts'
import { standardStreams } from './stdio.ts'

export const BRIDGE_HELP = `Usage: mcp-gateway bridge [URL] [options]

  Speaks MCP on stdin and stdout, for clients that know nothing else, and passes
  every message on to URL: by default $MCP_GATEWAY_URL, else ${'http://localhost:4298/mcp'}

  --header "K: V"     a header for every request; may be given several times
  --token TOKEN       sent as "Authorization: Bearer TOKEN"; by default
                      $MCP_GATEWAY_TOKEN, which other users cannot see
  --log-level LEVEL   ${LOG_LEVELS.join(', ')} (default warn), to stderr
  --help              print this and exit
`

const options = {
  header: { type: 'string', multiple: true },
  token: { type: 'string' },
  'log-level': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

const DEFAULT_URL = 'http://localhost:4298/mcp'
/** How long a call waits for a gateway that is away, in ms. Clients give up at about that time. */
const PATIENCE = 60_000
const LIST_TIMEOUT = 60_000

/** Resolves when stdin has ended and what was in flight is answered. */
export async function bridge(
  argv: readonly string[],
  env: Record<string, string | undefined>,
): Promise<void> {
  const { flags, words } = readFlags(argv, options, 1)
  if (flags.help) return void process.stdout.write(BRIDGE_HELP)
  const url = targetOf(words[0] ?? (env.MCP_GATEWAY_URL || DEFAULT_URL))
  const token = flags.token ?? env.MCP_GATEWAY_TOKEN
  const headers = {
    ...(token ? { authorization: `Bearer ${token}` } : {}),
    ...Object.fromEntries((flags.header ?? []).map(headerOf)),
  }
  const { success, output, issues } = v.safeParse(ServerSchema, { url, headers })
  if (!success) throw new UsageError(issues.map(({ message }) => message).join('; '))

  const level = logLevel(flags['log-level']) ?? 'warn'
  const log = logLines(level, (line) => process.stderr.write(line))
  const observe: Observer = (event) => {
    log(event)
    if (event.type === 'upstream_closed') endpoint.restore()
  }
  const upstream = new Upstream('gateway', output, LIST_TIMEOUT, new Watchdog(), observe)
  const single = new Single(
    'gateway',
    { upstream, options: output },
    { isMerged: false, isAggregate: false },
  )
  const endpoint = new Patient(single, PATIENCE)
  await serveStdio(endpoint, ANONYMOUS, { ...standardStreams(), observe })
  await upstream.close()
}

/** @throws {UsageError} */
function targetOf(text: string): string {
  const url = URL.parse(/^https?:\/\//i.test(text) ? text : `http://${text}`)
  if (!url) throw new UsageError(`${JSON.stringify(text)} is no URL`)
  if (url.pathname === '/') url.pathname = '/mcp'
  return url.href
}

/** @throws {UsageError} */
function headerOf(text: string): [string, string] {
  const [, name, value] = /^([^:\s]+)\s*:\s*(.*)$/s.exec(text) ?? []
  if (name !== undefined && value !== undefined) return [name.toLowerCase(), value.trim()]
  // Its value may be a secret.
  throw new UsageError('--header: expected "NAME: VALUE"')
}
