/** The options of the command line that say which configuration, and how it is come by. */
import * as v from 'valibot'
import { type Loaded, loadConfig } from '../config/load.ts'
import { headerName, headerValue } from '../config/values.ts'
import { Secret } from '../secret.ts'
import { type Flags, UsageError } from './flags.ts'

/** Also those of one of the older gateways. */
export const CONFIG_OPTIONS = {
  config: { type: 'string' },
  'http-headers': { type: 'string' },
  'http-timeout': { type: 'string' },
  insecure: { type: 'boolean' },
  'expand-env': { type: 'boolean' },
} as const

export const CONFIG_HELP = `\
  --http-headers "K: V; K: V"
                      headers for downloading a configuration from a URL
  --http-timeout N    seconds that this may take (default 10; 0 for any time)
  --insecure          take any TLS certificate for this, also a forged one
  --expand-env=false  leave \${VAR} in the configuration as it is
`

type Environment = Record<string, string | undefined>

/** @throws {UsageError | ConfigError} */
export function loadNamed(
  flags: Flags<typeof CONFIG_OPTIONS>,
  env: Environment,
  named = flags.config,
): Promise<Loaded> {
  const timeout = flags['http-timeout']
  return loadConfig(named, env, {
    download: {
      headers: headersOf(flags['http-headers'] ?? ''),
      ...(timeout === undefined ? {} : { timeout: seconds(timeout) * 1000 }),
      insecure: flags.insecure ?? false,
    },
    expandEnv: flags['expand-env'] ?? true,
  })
}

/** What does not go on as it did, a line for each. */
export function warningLines({ warnings }: Pick<Loaded, 'warnings'>): string {
  return warnings.map((warning) => `warning: ${warning}\n`).join('')
}

/** Nothing of what is wrong is shown: it may be a secret. */
function headersOf(text: string): Record<string, Secret> {
  const entries = text.split(';').filter((entry) => entry.trim() !== '')
  return Object.fromEntries(
    entries.map((entry, i) => {
      const [name = '', value] = [entry.split(':', 1)[0], entry.slice(entry.indexOf(':') + 1)]
      const isGood =
        entry.includes(':') && v.is(headerName, name.trim()) && v.is(headerValue, value.trim())
      if (isGood) return [name.trim().toLowerCase(), new Secret(value.trim())]
      throw new UsageError(`--http-headers: entry ${i + 1}: expected "NAME: VALUE"`)
    }),
  )
}

function seconds(text: string): number {
  const number = Number(text)
  // As long as a timer can be.
  if (/^\d+$/.test(text) && number <= 2_147_483) return number
  throw new UsageError(`--http-timeout: expected a number of seconds, got ${JSON.stringify(text)}`)
}
