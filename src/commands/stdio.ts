/** `stdio`: all servers of a configuration, merged, on stdin and stdout of one process. */
import { ANONYMOUS } from '../caller.ts'
import { loadConfig } from '../config/load.ts'
import { serveStdio } from '../downstream/stdio.ts'
import { LOG_LEVELS, logLines } from '../events.ts'
import { Gateway } from '../gateway.ts'
import { allowManyFetches } from './fetches.ts'
import { logLevel, readFlags } from './flags.ts'

export const STDIO_HELP = `Usage: mcp-gateway stdio [options]

  Serves all servers of the configuration, merged, on stdin and stdout.

  --config PATH|URL   configuration, looked for as by mcp-gateway itself
  --endpoint NAME     only this server or group
  --log-level LEVEL   ${LOG_LEVELS.join(', ')} (default warn), to stderr
  --help              print this and exit
`

const options = {
  config: { type: 'string' },
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
  const { config } = await loadConfig(flags.config, env)
  allowManyFetches(config, ['stdio', ...argv], env)
  const level = logLevel(flags['log-level'], 'warn')
  const observe = logLines(level, (line) => process.stderr.write(line))
  const gateway = Gateway.start(config, observe)
  const { endpoint: name } = flags
  const endpoint = name === undefined ? gateway.aggregate : gateway.endpoint(name)
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
