/** The command line: which command, and exit codes (0 done, 1 cannot go on, 2 wrong usage). */
import { basename } from 'node:path'
import { bridge } from './commands/bridge.ts'
import { UsageError } from './commands/flags.ts'
import { serve } from './commands/serve.ts'
import { stdio } from './commands/stdio.ts'
import { closest } from './config/closest.ts'
import { toError } from './errors.ts'

/** A command returns when it has done its work, and `serve` when it listens. */
type Command = (argv: readonly string[], env: Record<string, string | undefined>) => Promise<void>

const COMMANDS: Record<string, Command> = {
  serve,
  bridge: untilDone(bridge),
  stdio: untilDone(stdio),
  // These are seldom wanted, and not to be loaded for a start.
  schema: untilDone(async (argv) => (await import('./commands/schema.ts')).schema(argv)),
  convert: untilDone(async (argv, env) =>
    (await import('./commands/convert.ts')).convert(argv, env),
  ),
  'copy-config': untilDone(async (argv) => (await import('./commands/copy.ts')).copyConfig(argv)),
  'hash-password': untilDone(async (argv) =>
    (await import('./commands/hash-password.ts')).hashPassword(argv),
  ),
  users: untilDone(about('users')),
  clients: untilDone(about('clients')),
  tokens: untilDone(about('tokens')),
}

await main(process.argv.slice(2)).catch((error) => {
  const { message } = toError(error)
  process.stderr.write(message.replace(/^/gm, 'mcp-gateway: ').concat('\n'))
  if (!(error instanceof UsageError)) process.exit(1)
  process.stderr.write('Try: mcp-gateway --help\n')
  process.exit(2)
})

async function main(argv: readonly string[]): Promise<void> {
  // Under this name one of the older gateways has its bridge.
  if (/^mcp-gateway-bridge(\.exe)?$/.test(basename(process.argv0))) {
    return COMMANDS.bridge!(argv, process.env)
  }
  const [word = ''] = argv
  if (Object.hasOwn(COMMANDS, word)) return COMMANDS[word]!(argv.slice(1), process.env)
  const near = /^\w[\w-]*$/.test(word) && closest(word, Object.keys(COMMANDS))
  if (near) throw new UsageError(`unknown command ${word}; did you mean ${near}?`)
  return serve(argv, process.env)
}

function about(subject: 'users' | 'clients' | 'tokens'): Command {
  return async (argv, env) => (await import('./commands/people.ts')).people(subject, argv, env)
}

/** The process goes when the command has done, whatever still has a timer. */
function untilDone(command: Command): Command {
  return async (argv, env) => {
    await command(argv, env)
    process.exit(0)
  }
}
