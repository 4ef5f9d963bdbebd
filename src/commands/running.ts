/**
 * What runs, and how another configuration becomes it: because its source has changed, or because services are added over
 * the API.
 *
 * A configuration that cannot be used changes nothing; why is told in the log, and on /health until another can be used.
 */
import { version } from '../../package.json'
import type { Service, Services } from '../admin/services.ts'
import type { AuthorizationServer } from '../auth/server.ts'
import { addedServer, takenBy, withAdded } from '../config/added.ts'
import type { Loaded } from '../config/load.ts'
import { ConfigError } from '../config/parse.ts'
import type { Config } from '../config/schema.ts'
import { FileWatch } from '../config/watch.ts'
import { GatewayError, toError } from '../errors.ts'
import type { Observer } from '../events.ts'
import { Gateway } from '../gateway.ts'
import { type Listener, listen } from '../http.ts'
import type { Seal } from '../store/seal.ts'
import type { Store } from '../store/store.ts'

/** Calls in flight get this long when their server goes, or the gateway, in ms. */
const DRAIN = 10_000

export interface Settings {
  observe: Observer
  /** What the command line says of the gateway itself. */
  overrides: Partial<Config['gateway']>
  store: Store
  seal: Seal
  /** What an older proxy may have kept of logins. */
  imports: readonly string[]
}

type MakeLogins = typeof AuthorizationServer

export class Running implements Services {
  readonly #settings: Settings
  readonly #gateway: Gateway
  readonly #listener: Listener
  readonly #files: FileWatch
  /** Made when it is first needed: many have no logins. */
  #authorization: AuthorizationServer | undefined
  #loaded: Loaded
  /** Services as they came over the API, by name. */
  #added: ReadonlyMap<string, unknown>
  #trouble: string | undefined
  /** What was told of what is left out, and is still so. */
  #notes: readonly string[] = []
  #poll: NodeJS.Timeout | undefined
  /** The latest change, for the next one to wait for. */
  #changing: Promise<unknown> = Promise.resolve()
  #isStopping = false

  private constructor(
    loaded: Loaded,
    added: ReadonlyMap<string, unknown>,
    settings: Settings,
    Logins: MakeLogins | undefined,
  ) {
    this.#loaded = loaded
    this.#added = added
    this.#settings = settings
    const { config, notes } = this.#configured(loaded, added)
    this.#gateway = Gateway.start(config, settings.observe)
    if (Logins) this.#authorization = this.#logins(Logins)
    this.#listener = this.#listen()
    this.#note([...notes, ...(this.#authorization?.notes ?? [])])
    // It was loaded by this process.
    this.#files = new FileWatch(loaded.files, performance.timeOrigin, () => this.reload())
    this.#schedulePoll()
  }

  /** @throws {Error} as a rejection, if it cannot listen. */
  static async start(loaded: Loaded, settings: Settings): Promise<Running> {
    const Logins = await loginsFor(loaded.config)
    const running = new Running(loaded, await keptServices(settings), settings, Logins)
    try {
      await running.#authorization?.check()
    } catch (error) {
      // Better now than when the first client comes.
      await running.stop()
      throw error
    }
    await running.#authorization?.import(settings.imports)
    return running
  }

  /** With what was added. */
  get config(): Config {
    return this.#gateway.config
  }

  get url(): URL {
    return this.#listener.url
  }

  /** Starts the processes that are to be there before anybody needs them. */
  warm(): void {
    this.#gateway.warm()
  }

  /** Why servers that are required are not there. */
  missing(): Promise<Error[]> {
    return this.#gateway.missing()
  }

  /**
   * Loads the configuration again. Resolves when it is what runs, or was refused.
   *
   * @param options.isForced false for who only asks whether there is another, and asks often.
   */
  reload({ isForced = true } = {}): Promise<void> {
    return this.#afterOthers(async () => {
      const since = Date.now()
      const { files } = this.#loaded
      let next: Loaded | 'unchanged' | undefined
      try {
        // The trouble may be over although the source is the same: it may lie in a file that it names, or in a port.
        next = await this.#loaded.reload({ isForced: isForced || this.#trouble !== undefined })
        if (next === 'unchanged') return
        const Logins = this.#authorization ? undefined : await loginsFor(next.config)
        if (Logins) this.#authorization = this.#logins(Logins)
        this.#become(next, this.#added)
        this.#trouble = undefined
        this.#files.watch(next.files, since)
      } catch (error) {
        const others = error instanceof ConfigError ? error.files : (next as Loaded)?.files
        this.#files.watch([...new Set([...files, ...(others ?? [])])], since)
        const reason = toError(error).message
        const isTold = reason === this.#trouble && !isForced
        this.#trouble = reason
        if (!isTold) this.#settings.observe({ type: 'config_refused', reason })
      }
    })
  }

  get base(): URL | undefined {
    const { servicesURL } = this.config.gateway
    return servicesURL === undefined ? undefined : new URL(servicesURL)
  }

  list(): Service[] {
    const { mcpServers, disabled } = this.#loaded.config
    const named = (name: string): Service => {
      const server = this.config.mcpServers[name]
      const url = server?.kind === 'remote' ? new URL(server.url) : undefined
      return { name, url, source: Object.hasOwn(mcpServers, name) ? 'file' : 'api' }
    }
    const off = disabled.map((name) => ({ name, url: undefined, source: 'file' as const }))
    return [...Object.keys(this.config.mcpServers).map(named), ...off]
  }

  put(name: string, entry: unknown): Promise<'created' | 'updated'> {
    return this.#afterOthers(async () => {
      const { config } = this.#loaded
      addedServer(name, entry, config)
      const taken = takenBy(name, config)
      if (taken) {
        throw new GatewayError('conflict', `"${name}" is ${taken} of the configuration file`, {
          hint: 'choose another alias',
        })
      }
      const before = this.#added
      const { store, seal } = this.#settings
      const value = await seal.seal(JSON.stringify(entry), placeOf(name))
      this.#become(this.#loaded, new Map([...before, [name, entry]]))
      await this.#orElse(
        before,
        store.update<string>('services', name, () => ({ value })),
      )
      return before.has(name) ? 'updated' : 'created'
    })
  }

  remove(name: string): Promise<boolean> {
    return this.#afterOthers(async () => {
      const before = this.#added
      const { store } = this.#settings
      const isRunning = before.has(name)
      // One that could not be read is there, too.
      if (!isRunning && (await store.get('services', name)) === undefined) return false
      if (isRunning) {
        this.#become(this.#loaded, new Map([...before].filter(([other]) => other !== name)))
      }
      await this.#orElse(
        before,
        store.update('services', name, () => undefined),
      )
      return true
    })
  }

  /** Answers what is in flight, and ends everything. At once, if it is asked twice. */
  async stop(): Promise<void> {
    if (this.#isStopping) {
      // Whoever asks twice does not want to wait.
      this.#gateway.kill()
      process.exit(1)
    }
    this.#isStopping = true
    clearTimeout(this.#poll)
    this.#files.close()
    this.#settings.observe({ type: 'stopping', drain: DRAIN })
    await this.#listener.close({ drain: DRAIN })
    await this.#gateway.close()
    await this.#settings.store.close()
  }

  #listen(): Listener {
    const { observe } = this.#settings
    try {
      const trouble = () => this.#trouble
      const authorization = () => (this.config.auth.oauth ? this.#authorization : undefined)
      const parts = { version, observe, services: this, trouble, authorization }
      return listen(this.#gateway, parts)
    } catch (error) {
      this.#gateway.kill()
      throw error
    }
  }

  #logins(Logins: MakeLogins): AuthorizationServer {
    const { store, seal, observe } = this.#settings
    return new Logins({ store, seal, observe, config: () => this.config })
  }

  /** @throws {Error} if it cannot; then nothing has changed. */
  #become(loaded: Loaded, added: ReadonlyMap<string, unknown>): void {
    if (this.#isStopping) return
    const { observe } = this.#settings
    const former = this.#loaded
    const { config, notes } = this.#configured(loaded, added)
    const changes = this.#listener.apply(config, { drain: DRAIN })
    this.#loaded = loaded
    this.#added = added
    const names = Object.entries(changes).map(([kind, names]) => [kind, names.join(' ')])
    observe({ type: 'config_applied', ...Object.fromEntries(names) })
    this.#note([...notes, ...(this.#authorization?.notes ?? [])])
    if (loaded === former) return
    for (const text of [...loaded.warnings, ...postponed(former.config, loaded.config)]) {
      observe({ type: 'config_note', text })
    }
  }

  /** What is not kept must not run: whoever asked for it is told that it failed. */
  async #orElse(before: ReadonlyMap<string, unknown>, kept: Promise<void>): Promise<void> {
    try {
      await kept
    } catch (error) {
      this.#become(this.#loaded, before)
      throw error
    }
  }

  #configured({ config: written }: Loaded, added: ReadonlyMap<string, unknown>) {
    const { config, notes } = withAdded(written, added)
    const gateway = { ...config.gateway, ...this.#settings.overrides }
    return { config: { ...config, gateway }, notes }
  }

  /** Tells what was not told yet. */
  #note(notes: readonly string[]): void {
    const { observe } = this.#settings
    for (const text of notes) {
      if (!this.#notes.includes(text)) observe({ type: 'config_note', text })
    }
    this.#notes = notes
  }

  /** One change at a time, in the order they come. */
  #afterOthers<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#changing.then(change)
    this.#changing = changed.catch(() => {})
    return changed
  }

  #schedulePoll(): void {
    if (!this.#loaded.isRemote || this.#isStopping) return
    this.#poll = setTimeout(async () => {
      await this.reload({ isForced: false })
      this.#schedulePoll()
    }, this.config.gateway.pollInterval)
    this.#poll.unref()
  }
}

/** Where a service is kept. */
const placeOf = (name: string) => `services/${name}`

/** The services of earlier runs. What cannot be read is told of, and left there: the others can run without it. */
async function keptServices({ store, seal, observe }: Settings): Promise<Map<string, unknown>> {
  const services = new Map<string, unknown>()
  const tell = (what: string, error: unknown) =>
    observe({ type: 'config_note', text: `${what}: ${toError(error).message}` })
  try {
    for await (const [name, sealed] of store.list<string>('services')) {
      try {
        services.set(name, JSON.parse(await seal.unseal(sealed, placeOf(name))))
      } catch (error) {
        tell(`service "${name}", which was added over the API, is left out`, error)
      }
    }
  } catch (error) {
    tell('the services that were added over the API are left out', error)
  }
  return services
}

/** What holds from the next start only. */
function postponed({ gateway: before }: Config, { gateway: now }: Config): string[] {
  return (['dataDir', 'logLevel'] as const)
    .filter((option) => before[option] !== now[option])
    .map((option) => `gateway.${option}: has changed, which holds from the next start on`)
}

/** Loaded only for who wants it: others do not wait for it at their start. */
async function loginsFor({ auth }: Config): Promise<MakeLogins | undefined> {
  return auth.oauth && (await import('../auth/server.ts')).AuthorizationServer
}
