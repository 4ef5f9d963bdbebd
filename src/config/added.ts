/**
 * Servers that were added beside a configuration. What is written in it comes first, and what has become bad is left out:
 * that must not keep the gateway from running.
 */
import { toError } from '../errors.ts'
import { ConfigError, parseConfig } from './parse.ts'
import type { Config, RemoteServer } from './schema.ts'

/**
 * An entry of `mcpServers` in our own words, with what it inherits from a configuration. Nothing in it is expanded, and it
 * is no command.
 *
 * @throws {ConfigError} as a file with this entry would.
 */
export function addedServer(name: string, entry: unknown, { defaults }: Config): RemoteServer {
  // No other program has `defaults`: whatever the entry holds, it is not taken for one of theirs.
  const text = JSON.stringify({ defaults, mcpServers: { [name]: entry } })
  const { config } = parseConfig(text, 'service', { expandEnv: false })
  const server = config.mcpServers[name]
  if (!server) throw new ConfigError(`mcpServers.${name}.disabled: is for files; remove it instead`)
  if (server.kind !== 'remote') {
    throw new ConfigError(`mcpServers.${name}.command: commands are only taken from files`)
  }
  return server
}

/** Why a name is not to be had; undefined if it is. */
export function takenBy(
  name: string,
  { mcpServers, disabled, groups }: Config,
): string | undefined {
  if (Object.hasOwn(mcpServers, name) || disabled.includes(name)) return 'a server'
  return Object.hasOwn(groups, name) ? 'a group' : undefined
}

/** The configuration with the servers that were added, and why some of them are not in it. */
export function withAdded(
  config: Config,
  added: ReadonlyMap<string, unknown>,
): { config: Config; notes: string[] } {
  const mcpServers = { ...config.mcpServers }
  const notes: string[] = []
  for (const [name, entry] of added) {
    const taken = takenBy(name, config)
    try {
      if (taken) throw new Error(`the configuration has ${taken} of that name, which comes first`)
      mcpServers[name] = addedServer(name, entry, config)
    } catch (error) {
      notes.push(
        `service "${name}", which was added over the API, is left out: ${toError(error).message}`,
      )
    }
  }
  return { config: { ...config, mcpServers }, notes }
}
