/** A `Config` made alive: its upstreams, and the endpoints that show them. */
import type { Config } from './config/schema.ts'
import type { Observer } from './events.ts'
import type { Endpoint } from './routing/endpoint.ts'
import { Merged } from './routing/merged.ts'
import { Single } from './routing/single.ts'
import { type Status, Upstream } from './upstream/upstream.ts'
import { Watchdog } from './upstream/watchdog.ts'

/** What the aggregate is called in events. No server can have that name. */
const ALL = '*'

export class Gateway {
  readonly config: Config
  /** All servers as one; undefined if there is none. */
  readonly aggregate: Endpoint | undefined
  readonly #upstreams = new Map<string, Upstream>()
  readonly #endpoints = new Map<string, Endpoint>()

  readonly #watchdog: Watchdog

  private constructor(config: Config, observe: Observer) {
    this.config = config
    this.#watchdog = new Watchdog((text) => observe({ type: 'unguarded', text }))
    const { listTimeout } = config.gateway
    for (const [name, server] of Object.entries(config.mcpServers)) {
      const upstream = new Upstream(name, server, listTimeout, this.#watchdog, observe)
      this.#upstreams.set(name, upstream)
      this.#endpoints.set(name, new Single(name, upstream, { isMerged: false, isAggregate: false }))
    }
    for (const [name, servers] of Object.entries(config.groups)) {
      this.#endpoints.set(
        name,
        together(
          name,
          servers.map((server) => this.#upstreams.get(server)!),
        ),
      )
    }
    const all = [...this.#upstreams.values()]
    if (all.length > 0) this.aggregate = together(ALL, all)
  }

  static start(config: Config, observe: Observer): Gateway {
    return new Gateway(config, observe)
  }

  /** Starts the processes that `minConnections` wants, before anybody needs them. */
  warm(): void {
    for (const upstream of this.#upstreams.values()) upstream.warm()
  }

  /** What is at `/NAME/mcp`: a server, or a group of them. */
  endpoint(name: string): Endpoint | undefined {
    return this.#endpoints.get(name)
  }

  get status(): Record<string, Status> {
    return Object.fromEntries([...this.#upstreams].map(([name, { status }]) => [name, status]))
  }

  /** Ends every child process and connection. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#upstreams.values()].map((upstream) => upstream.close()))
    this.#watchdog.close()
  }

  /** For who cannot wait: ends every child process at once. */
  kill(): void {
    for (const upstream of this.#upstreams.values()) upstream.kill()
  }
}

/** One server alone stays what it is, also where others may join it one day. */
function together(name: string, upstreams: Upstream[]): Endpoint {
  const [only, another] = upstreams
  if (only && !another) return new Single(name, only, { isMerged: false, isAggregate: true })
  return new Merged(name, upstreams, { isMerged: true, isAggregate: true })
}
