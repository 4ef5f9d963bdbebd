/** `stdio`: all servers of a configuration, merged, on stdin and stdout of one process. */
import { ANONYMOUS } from '../caller.ts'
import { serveStdio } from '../downstream/stdio.ts'
import { LOG_LEVELS, logLines } from '../events.ts'
import { Gateway } from '../gateway.ts'
import { CONFIG_HELP, CONFIG_OPTIONS, loadNamed, warningLines } from './configuration.ts'
import { allowManyFetches } from './fetches.ts'
import { logLevel, readFlags } from './flags.ts'

export const STDIO_HELP = `Usage: mcp-gateway stdio [options]

  Serves all servers of the configuration, merged, on stdin and stdout.

  --config PATH|URL   configuration, looked for as by mcp-gateway itself
${CONFIG_HELP}\
  --endpoint NAME     only this server or group
  --log-level LEVEL   ${LOG_LEVELS.join(', ')} (default warn), to stderr
  --help              print this and exit
`

const options = {
  ...CONFIG_OPTIONS,
  endpoint: { type: 'string' },
  'log-level': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Resolves when stdin has ended and what was in flight is answered. */
export async function stdio(
  argv: readonly string[],
  env: Record<string, string | undefined>,
): Promise<void> {
  const { flags } = readFlags(argv, options)
  if (flags.help) return void process.stdout.write(STDIO_HELP)
  const wanted = logLevel(flags['log-level'])
  const loaded = await loadNamed(flags, env)
  const { config } = loaded
  allowManyFetches(config, ['stdio', ...argv], env)
  const level = wanted ?? config.gateway.logLevel ?? 'warn'
  process.stderr.write(warningLines(loaded))
  const observe = logLines(level, (line) => process.stderr.write(line))
  const gateway = Gateway.start(config, observe)
  const { endpoint: name } = flags
  const endpoint = gateway.endpoint(name ?? '')
  if (!endpoint) {
    const known = [...Object.keys(config.mcpServers), ...Object.keys(config.groups)]
    throw new Error(
      name === undefined
        ? 'the configuration has no servers'
        : `there is no server or group "${name}"; known are ${known.join(', ')}`,
    )
  }
  gateway.warm()
  await serveStdio(endpoint, ANONYMOUS, { ...standardStreams(), observe })
  await gateway.close()
}

/** Stdin as bytes, and stdout as somewhere to write that says when it is ready for more. */
export function standardStreams() {
  return {
    input: Bun.stdin.stream() as ReadableStream<Uint8Array>,
    async write(text: string): Promise<void> {
      await Bun.write(Bun.stdout, text)
    },
  }
}
