/** `convert`: a configuration of any known program as one of ours. */
import { CONFIG_HELP, CONFIG_OPTIONS, loadNamed, warningLines } from './configuration.ts'
import { readFlags } from './flags.ts'

const HELP = `Usage: mcp-gateway convert [FILE|URL] [options]

  Prints a configuration in our words, whatever program it was written for:
  variables and references to secrets as they are, and no defaults. What does
  not go on as it did is told on stderr. Without FILE it is looked for as by
  mcp-gateway itself.

  --config PATH|URL   the same as FILE
${CONFIG_HELP}\
  --help              print this and exit
`

const options = { ...CONFIG_OPTIONS, help: { type: 'boolean', short: 'h' } } as const

export async function convert(
  argv: readonly string[],
  env: Record<string, string | undefined>,
): Promise<void> {
  const { flags, words } = readFlags(argv, options, 1)
  if (flags.help) return void process.stdout.write(HELP)
  const loaded = await loadNamed(flags, env, words[0] ?? flags.config)
  process.stderr.write(warningLines(loaded))
  await Bun.write(Bun.stdout, `${JSON.stringify(loaded.native, undefined, 2)}\n`)
}
