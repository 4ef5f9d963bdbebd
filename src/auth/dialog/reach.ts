/** What somebody reaches at an endpoint. */
import type { Config } from '../../config/schema.ts'
import type { Person } from '../people/person.ts'

/** The servers by name; none if there is nothing for this person. Those that are public are for everybody. */
export function reachable(
  endpoint: string,
  { servers }: Person,
  { mcpServers, groups }: Config,
): string[] {
  const all = Object.keys(mcpServers)
  const there =
    endpoint === '*' || endpoint === ''
      ? all
      : ((Object.hasOwn(groups, endpoint) ? groups[endpoint] : undefined) ??
        all.filter((name) => name === endpoint))
  return there.filter((name) => !servers || servers.has(name) || mcpServers[name]?.public)
}
