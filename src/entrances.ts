/**
 * Where a request knocks, and as whom: a server, a group or all of them, as far as the one who knocks may use them.
 *
 * To a principal that may use some servers, the others do not exist: neither their names nor that there are more.
 */
import type { Principal } from './caller.ts'
import type { Entrance } from './downstream/sessions.ts'
import { GatewayError } from './errors.ts'
import type { Gateway } from './gateway.ts'
import type { Endpoint, View } from './routing/endpoint.ts'

export interface NarrowedEntrance extends Entrance {
  /** What the client has asked to be shown of it, as a query in one spelling; empty for all. */
  readonly narrowing: string
}

export class Entrances {
  readonly #gateway: Gateway
  /** Those without narrowing. */
  readonly #known = new Map<string, NarrowedEntrance>()

  /** For what runs now. */
  constructor(gateway: Gateway) {
    this.#gateway = gateway
    for (const name of ['', ...this.#names]) this.#known.set(name, this.#make(name, {}, undefined))
  }

  /** @param name of a server or group; '' for all servers. */
  at(name: string, query: string | undefined, { servers }: Principal): NarrowedEntrance {
    const known = !query && !servers && this.#known.get(name)
    return known || this.#make(name, query ? viewOf(query) : {}, servers)
  }

  /** The names of the servers that a principal may use. */
  servers({ servers }: Principal): string[] {
    const all = Object.keys(this.#gateway.config.mcpServers)
    return servers ? all.filter((name) => servers.has(name)) : all
  }

  #make(name: string, view: View, granted: ReadonlySet<string> | undefined): NarrowedEntrance {
    const narrowing = Object.entries(view)
      .map(([parameter, values]) => `${parameter}=${values.map(encodeURIComponent).join(',')}`)
      .join('&')
    const grant = granted ? ` ${[...granted].sort().join(',')}` : ''
    return {
      key: `${name}${narrowing && `?${narrowing}`}${grant}`,
      narrowing,
      endpoint: () => this.#endpoint(name, view, granted),
    }
  }

  /** @throws {GatewayError} `endpoint_unknown`, `invalid_request` */
  #endpoint(name: string, view: View, granted: ReadonlySet<string> | undefined): Endpoint {
    const endpoint = this.#gateway.endpoint(name)
    if (!endpoint) throw this.#unknown(name, granted)
    if (view.tools?.includes('')) {
      throw new GatewayError('invalid_request', 'tools: a name is empty', {
        hint: 'write names as tools/list shows them, or patterns with "*", with commas between them',
      })
    }
    const isNarrowed = Object.keys(view).length > 0
    if (!granted) return isNarrowed ? endpoint.narrowed(view) : endpoint
    const there = this.#members(name).filter((server) => granted.has(server))
    if (there.length === 0) throw this.#unknown(name, granted)
    const seen = endpoint.narrowed({ servers: there })
    return isNarrowed ? seen.narrowed(view) : seen
  }

  #members(name: string): string[] {
    const { mcpServers, groups } = this.#gateway.config
    if (name === '') return Object.keys(mcpServers)
    return Object.hasOwn(groups, name) ? groups[name]! : [name]
  }

  get #names(): string[] {
    const { mcpServers, groups } = this.#gateway.config
    return [...Object.keys(mcpServers), ...Object.keys(groups)]
  }

  #unknown(name: string, granted: ReadonlySet<string> | undefined): GatewayError {
    const isGranted = (one: string) =>
      !granted || this.#members(one).some((server) => granted.has(server))
    const known = this.#names.filter(isGranted)
    if (known.length === 0) return new GatewayError('endpoint_unknown', 'there are no servers')
    return new GatewayError('endpoint_unknown', `there is no server "${name}"`, {
      hint: `use one of ${known.map((one) => `/${one}/mcp`).join(', ')}`,
    })
  }
}

/** What of an endpoint a query asks for, in an order that does not depend on it. */
function viewOf(query: string): View {
  const parameters = new URLSearchParams(query)
  const view: Record<string, string[]> = {}
  for (const name of ['servers', 'tools']) {
    if (!parameters.has(name)) continue
    const values = parameters.getAll(name).join(',').split(',')
    view[name] = [...new Set(values.map((value) => value.trim()))].sort()
  }
  return view
}
