/**
 * How many requests to remote servers may be open at once.
 *
 * Bun allows 256, event streams included, and lets the next one wait without a word. Only the environment that the
 * process is started with says otherwise, so the process starts itself anew, once, with the same id and streams.
 */
import type { Config } from '../config/schema.ts'

const VARIABLE = 'BUN_CONFIG_MAX_HTTP_REQUESTS'
/** The most that Bun takes. */
const MOST = '65535'

/** Does not return if it was needed. Of no effect on Windows, where no process can replace itself. */
export function allowManyFetches(
  config: Config,
  argv: readonly string[],
  env: Record<string, string | undefined>,
): void {
  const isRemote = Object.values(config.mcpServers).some(({ kind }) => kind === 'remote')
  if (!isRemote || env[VARIABLE] !== undefined || process.platform === 'win32') return
  const { execPath, execArgv } = process
  const program = Bun.isStandaloneExecutable ? [] : [...execArgv, process.argv[1]!]
  const set = Object.entries({ ...env, [VARIABLE]: MOST }).filter(
    ([, value]) => value !== undefined,
  )
  process.execve?.(execPath, [execPath, ...program, ...argv], Object.fromEntries(set))
}
