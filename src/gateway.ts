/**
 * A `Config` made alive: its upstreams, and the endpoints that show them.
 *
 * While it runs another one may be applied: whole, or not at all. Servers of which nothing changes do not notice, and
 * clients stay where they are.
 */
import { version } from '../package.json'
import { ANONYMOUS, type ClientPeer } from './caller.ts'
import type { Config, ServerConfig } from './config/schema.ts'
import { GatewayError, toError } from './errors.ts'
import type { Observer } from './events.ts'
import type { Endpoint } from './routing/endpoint.ts'
import { Following } from './routing/following.ts'
import { Merged } from './routing/merged.ts'
import type { Shown } from './routing/rules.ts'
import { Single } from './routing/single.ts'
import { Json } from './rpc/json.ts'
import { Secret } from './secret.ts'
import { LEGACY_VERSIONS } from './upstream/connection.ts'
import { Seat } from './upstream/seat.ts'
import { type Status, Upstream } from './upstream/upstream.ts'
import { Watchdog } from './upstream/watchdog.ts'

/** What the aggregate is called in events. No server can have that name. */
const ALL = '*'

/** Servers, by name. */
export interface Changes {
  added: string[]
  changed: string[]
  removed: string[]
  kept: string[]
}

/** Who only wants to know whether somebody is there. */
const NOBODY = {
  id: 'nobody',
  principal: ANONYMOUS,
  isOne: true,
  introduction: Json.of({
    protocolVersion: LEGACY_VERSIONS[0],
    capabilities: {},
    clientInfo: { name: 'mcp-gateway', version },
  }),
  request: (method: string) => Promise.reject(notForUs(method)),
  notify() {},
}

function notForUs(method: string): GatewayError {
  return new GatewayError('method_not_found', `${method}: there is nobody to be asked`)
}

/** What is at a URL, and of what it was made. */
interface Standing {
  following: Following
  members: readonly Shown[]
}

export class Gateway {
  readonly #observe: Observer
  readonly #watchdog: Watchdog
  #config: Config
  #upstreams = new Map<string, Upstream>()
  readonly #endpoints = new Map<string, Standing>()
  /** Those that are not configured any more, until nothing is left of them. */
  readonly #leaving = new Map<Upstream, Promise<void>>()
  #isWarm = false

  private constructor(config: Config, observe: Observer) {
    this.#config = config
    this.#observe = observe
    this.#watchdog = new Watchdog((text) => observe({ type: 'unguarded', text }))
    this.apply(config)
  }

  static start(config: Config, observe: Observer): Gateway {
    return new Gateway(config, observe)
  }

  /** What runs. */
  get config(): Config {
    return this.#config
  }

  /**
   * Makes `next` what runs. Of `gateway`, only what concerns servers is its business.
   *
   * @param drain calls in flight at servers that change or go get so many ms.
   */
  apply(next: Config, { drain = 0 } = {}): Changes {
    const changes: Changes = { added: [], changed: [], removed: [], kept: [] }
    const upstreams = new Map<string, Upstream>()
    for (const [name, server] of Object.entries(next.mcpServers)) {
      const former = this.#upstreams.get(name)
      const isKept = former !== undefined && reach(former.config) === reach(server)
      changes[isKept ? 'kept' : former ? 'changed' : 'added'].push(name)
      upstreams.set(name, isKept ? former : this.#upstream(name, server, next))
    }
    changes.removed.push(...[...this.#upstreams.keys()].filter((name) => !upstreams.has(name)))

    const leaving = [...this.#upstreams.values()].filter((one) => upstreams.get(one.name) !== one)
    this.#config = next
    this.#upstreams = upstreams
    for (const upstream of upstreams.values()) upstream.listTimeout = next.gateway.listTimeout
    this.#arrange(next)
    if (this.#isWarm) this.warm()
    for (const upstream of leaving) this.#end(upstream, drain)
    return changes
  }

  /** Starts the processes that `minConnections` wants, before anybody needs them. */
  warm(): void {
    this.#isWarm = true
    for (const upstream of this.#upstreams.values()) upstream.warm()
  }

  /** Meets the servers without which the gateway is not to run. Resolves to why some of them cannot be met. */
  async missing(): Promise<Error[]> {
    const { mcpServers } = this.#config
    const required = [...this.#upstreams.values()].filter(({ name }) => mcpServers[name]!.required)
    if (required.length === 0) return []
    const left = new AbortController()
    const nobody: ClientPeer = { ...NOBODY, ended: left.signal }
    const met = await Promise.allSettled(
      required.map((upstream) => new Seat(upstream, nobody).introduced()),
    )
    left.abort(new Error('the servers that are required were met'))
    return met.flatMap((result) => (result.status === 'rejected' ? toError(result.reason) : []))
  }

  /** What is at `/NAME/mcp`: a server, or a group of them; without name, all servers as one. */
  endpoint(name: string): Endpoint | undefined {
    return this.#endpoints.get(name)?.following
  }

  get status(): Record<string, Status> {
    return Object.fromEntries([...this.#upstreams].map(([name, { status }]) => [name, status]))
  }

  /** Ends every child process and connection. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#upstreams.values()].map((upstream) => upstream.close()))
    for (const upstream of this.#leaving.keys()) void upstream.close()
    await Promise.all(this.#leaving.values())
    this.#watchdog.close()
  }

  /** For who cannot wait: ends every child process at once. */
  kill(): void {
    for (const one of [...this.#upstreams.values(), ...this.#leaving.keys()]) one.kill()
  }

  #upstream(name: string, server: ServerConfig, { gateway }: Config): Upstream {
    return new Upstream(name, server, gateway.listTimeout, this.#watchdog, this.#observe)
  }

  #end(upstream: Upstream, drain: number): void {
    const gone = upstream.close({ drain }).finally(() => this.#leaving.delete(upstream))
    this.#leaving.set(upstream, gone)
  }

  /** Puts at every URL what belongs there. Where that is what was there, nothing happens. */
  #arrange({ mcpServers, groups }: Config): void {
    const names = Object.keys(mcpServers)
    const shown = (name: string): Shown => ({
      upstream: this.#upstreams.get(name)!,
      options: mcpServers[name]!,
    })
    for (const name of names) {
      this.#put(name, [shown(name)], ([only]) => {
        return new Single(name, only!, { isMerged: false, isAggregate: false })
      })
    }
    for (const [name, servers] of Object.entries({ ...groups, '': names })) {
      if (servers.length > 0) this.#put(name, servers.map(shown), (all) => together(name, all))
    }
    for (const [name, { following }] of this.#endpoints) {
      const isWanted =
        name === '' ? names.length > 0 : Object.hasOwn({ ...groups, ...mcpServers }, name)
      if (isWanted) continue
      this.#endpoints.delete(name)
      following.move(undefined)
    }
  }

  #put(name: string, members: Shown[], make: (members: Shown[]) => Endpoint): void {
    const standing = this.#endpoints.get(name)
    if (!standing) {
      const following = new Following(name || ALL, make(members))
      this.#endpoints.set(name, { following, members })
    } else if (!isSame(standing.members, members)) {
      standing.members = members
      standing.following.move(make(members))
    }
  }
}

/** One server alone stays what it is, also where others may join it one day. */
function together(name: string, members: Shown[]): Endpoint {
  const [only, another] = members
  if (only && !another) {
    return new Single(name || ALL, only, { isMerged: false, isAggregate: true })
  }
  return new Merged(name || ALL, members, { isMerged: true, isAggregate: true })
}

function isSame(some: readonly Shown[], others: readonly Shown[]): boolean {
  return (
    some.length === others.length &&
    some.every((one, i) => {
      const other = others[i]!
      return one.upstream === other.upstream && looks(one.options) === looks(other.options)
    })
  )
}

/** All that says which of its tools, prompts and resources are shown, and how. */
function looks({ tools, prompts, resources }: Shown['options']): string {
  return JSON.stringify([tools, prompts, resources])
}

/** All that says how it is reached and run. Who may come, and what is shown of it, is nothing to the server. */
function reach(server: ServerConfig): string {
  const { tools, prompts, resources, required, public: isPublic, ...rest } = server
  return JSON.stringify(rest, function (this: Record<string, unknown>, key, value) {
    const held = this[key]
    return held instanceof Secret ? held.reveal() : value
  })
}
