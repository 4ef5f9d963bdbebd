/** `schema`: what may be written in a configuration, for editors and for people. */
import { jsonSchema, markdown } from '../config/manual.ts'
import { readFlags } from './flags.ts'

const HELP = `Usage: mcp-gateway schema [options]

  Prints a JSON Schema of the configuration, for "$schema" in it: editors then
  know every option.

  --markdown          a table of all options instead, for people
  --help              print this and exit
`

const options = { markdown: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const

export async function schema(argv: readonly string[]): Promise<void> {
  const { flags } = readFlags(argv, options)
  if (flags.help) return void process.stdout.write(HELP)
  const text = flags.markdown ? markdown() : `${JSON.stringify(jsonSchema(), undefined, 2)}\n`
  await Bun.write(Bun.stdout, text)
}
