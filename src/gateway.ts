/** A `Config` made alive: its upstreams, and the endpoints that show them. */
import type { Config } from './config/schema.ts'
import type { Observer } from './events.ts'
import { Endpoint } from './routing/endpoint.ts'
import { type Status, Upstream } from './upstream/upstream.ts'

export class Gateway {
  readonly config: Config
  readonly #upstreams = new Map<string, Upstream>()
  readonly #endpoints = new Map<string, Endpoint>()
  #aggregate: Endpoint | undefined

  private constructor(config: Config, observe: Observer) {
    this.config = config
    for (const [name, server] of Object.entries(config.mcpServers)) {
      const upstream = new Upstream(name, server, observe)
      this.#upstreams.set(name, upstream)
      this.#endpoints.set(name, new Endpoint(name, upstream))
    }
    if (this.#endpoints.size === 1) this.#aggregate = [...this.#endpoints.values()][0]
  }

  static start(config: Config, observe: Observer): Gateway {
    return new Gateway(config, observe)
  }

  endpoint(name: string): Endpoint | undefined {
    return this.#endpoints.get(name)
  }

  /** All upstreams as one. There is none yet for several: merging lists is not built. */
  get aggregate(): Endpoint | undefined {
    return this.#aggregate
  }

  get status(): Record<string, Status> {
    return Object.fromEntries([...this.#upstreams].map(([name, { status }]) => [name, status]))
  }

  /** Ends every child process. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#upstreams.values()].map((upstream) => upstream.close()))
  }

  /** For who cannot wait: ends every child process at once. */
  kill(): void {
    for (const upstream of this.#upstreams.values()) upstream.kill()
  }
}
