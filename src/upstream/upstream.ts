/**
 * One configured server: its state, and the seats that clients have at it.
 *
 * It fails alone and says why. Closing it ends everything it ever opened.
 */
import type { ClientPeer } from '../caller.ts'
import type { ServerConfig } from '../config/schema.ts'
import { GatewayError, RpcError, toError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Connect } from '../rpc/peer.ts'
import { Connection, type Introduction } from './connection.ts'
import { MemoryLimit } from './limit.ts'
import { type List, type ListMethod, older } from './lists.ts'
import { Pool } from './pool.ts'
import { Share, Shared } from './share.ts'
import type { Hold } from './slot.ts'
import { type Link, type Source, sourceOf } from './source.ts'
import { type State, Supervision } from './supervision.ts'
import type { Watchdog } from './watchdog.ts'

export interface Status {
  state: State
  /** Why it is failing, or how its last connection ended. */
  reason?: string
  /** Connections, those included that are being opened or closed. */
  total: number
  /** With a call in flight, or of a client's own. */
  active: number
  idle: number
  /** Calls that wait for a connection. */
  waiting: number
  /** Processes started so far. */
  spawned: number
  /** Connections lost by the server's own fault. */
  crashed: number
  /** Clients are shown what it listed before, if it ever did: it does not list now. */
  missing?: true
  /** What of it is shown otherwise than it says, or not at all. */
  notices?: string[]
  connections: number
  processes: number
}

/** How many kinds of clients are remembered with what the server answers them. */
const MAX_REMEMBERED = 64
const MAX_NOTICES = 50
/** What a server says may be of any length. This much of it is told, in characters. */
const MAX_TOLD = 500

export class Upstream {
  readonly name: string
  readonly config: ServerConfig
  /** How long a page of a list may take to come, in ms. */
  listTimeout: number
  readonly #observe: Observer
  readonly #source: Source
  readonly #connections = new Set<Connection>()
  readonly #introductions = new Map<string, Introduction>()
  readonly #lists = new Map<ListMethod, List>()
  readonly #notices = new Set<string>()
  readonly #missedBy = new Set<object>()
  /** Its own answer to the last `initialize`, if that was a refusal. */
  #refusal: RpcError | undefined
  readonly #supervision = new Supervision()
  readonly #shares = new Map<string, Share>()
  readonly #memory: MemoryLimit<{ client: ClientPeer; connection: Connection }>
  readonly pool: Pool<Shared>
  #ownConnections = 0
  #isWarm = false

  constructor(
    name: string,
    config: ServerConfig,
    listTimeout: number,
    watchdog: Watchdog,
    observe: Observer,
  ) {
    this.name = name
    this.config = config
    this.listTimeout = listTimeout
    this.#observe = observe
    this.pool = new Pool(name, config.pool, {
      onChange: () => this.#stock(),
      pause: () => this.#supervision.pause,
      onEnd: (reason) => observe({ type: 'upstream_reaped', server: name, reason: reason.message }),
    })
    this.#source = sourceOf(name, config, observe, watchdog)
    const { obstacle } = this.#source
    if (obstacle !== undefined && this.#supervision.blocked(obstacle)) this.#tellFailure(obstacle)
    this.#memory = new MemoryLimit(config.maxMemory, ({ client, connection }, reason) => {
      // What is in flight is answered first.
      if (connection.isBusy && !(client instanceof Shared)) return false
      observe({ type: 'upstream_recycled', server: name, reason })
      const error = new GatewayError('upstream_closed', `server "${name}": ${reason}`)
      if (client instanceof Shared) this.pool.retire(client, error)
      else connection.close(error)
      return true
    })
  }

  get status(): Status {
    const { state, reason, crashed } = this.#supervision
    const { total, active, idle, waiting } = this.pool.stats
    return {
      state,
      ...(reason === undefined ? {} : { reason }),
      total: total + this.#ownConnections,
      active: active + this.#ownConnections,
      idle,
      waiting,
      spawned: this.#source.spawned,
      crashed,
      ...(this.#missedBy.size === 0 ? {} : { missing: true as const }),
      ...(this.#notices.size === 0 ? {} : { notices: [...this.#notices] }),
      connections: this.#connections.size,
      processes: this.#source.processes,
    }
  }

  /** Whether it looks as if it could be asked. */
  get isReady(): boolean {
    return this.#supervision.state === 'ready'
  }

  /** From now on, as many processes are kept as `minConnections` wants. */
  warm(): void {
    this.#isWarm = true
    this.#stock()
  }

  /** What a client shares with others of the same owner. It leaves with the client. */
  share(client: ClientPeer): Share {
    const owner = this.config.isolation === 'shared' ? '*' : client.principal.id
    const key = `${owner} ${kindOf(client)}`
    const share = this.#shares.get(key) ?? new Share(this, key, () => this.#forget(key, share))
    this.#shares.set(key, share)
    share.enter(client)
    return share
  }

  /** What the server said of itself last to a client like this one. */
  remembered(client: ClientPeer): Introduction | undefined {
    return this.#introductions.get(kindOf(client))
  }

  /** A list that it gave, or the same as somebody else has got it last: most clients see the same. */
  shared(method: ListMethod, list: List): List {
    const shared = older(this.#lists.get(method), list)
    this.#lists.set(method, shared)
    return shared
  }

  /** Says once, in the log and on /health, that something of the server is not shown as it is. */
  notice(said: string): void {
    if (this.#notices.size >= MAX_NOTICES) return
    const text = this.#told(said)
    if (this.#notices.has(text)) return
    this.#notices.add(text)
    this.#observe({ type: 'upstream_note', server: this.name, text })
  }

  /** Somebody who wanted its lists has to do without them. */
  missedBy(who: object): void {
    this.#missedBy.add(who)
  }

  #forget(key: string, share: Share): void {
    if (this.#shares.get(key) === share) this.#shares.delete(key)
  }

  /** Whether to try it again just now. While it fails it is left alone, ever longer. */
  mayTry(): boolean {
    return this.#supervision.pause === 0
  }

  /** They have them again, or want them no more. */
  backFor(who: object): void {
    this.#missedBy.delete(who)
  }

  /** Whether anybody waits for an answer of it. */
  get isWorking(): boolean {
    if (this.#supervision.isOpening || this.pool.stats.waiting > 0) return true
    return this.#connections.values().some(({ isBusy }) => isBusy)
  }

  /**
   * Resolves when no process and no connection of it is left.
   *
   * @param drain what is in flight gets so many ms to be answered.
   */
  async close({ drain = 0 } = {}): Promise<void> {
    const deadline = performance.now() + drain
    while (this.isWorking && performance.now() < deadline) await Bun.sleep(10)
    this.#supervision.stop()
    this.#memory.close()
    this.pool.close(this.#stopped())
    await this.#source.close(this.#stopped())
  }

  /** For who cannot wait: ends every process of it at once. */
  kill(): void {
    this.#source.kill()
  }

  /**
   * A connection of this client's own. It closes itself when the client leaves.
   *
   * @throws {GatewayError} `upstream_busy` if there are too many of them; else as {@link open}.
   */
  async openOwn(client: ClientPeer, onGone: (reason: Error) => void): Promise<Opened> {
    const { maxSessionConnections } = this.config
    if (this.#ownConnections >= maxSessionConnections) {
      throw new GatewayError(
        'upstream_busy',
        `server "${this.name}": ${maxSessionConnections} sessions have connections of their own`,
        { server: this.name, hint: `raise mcpServers.${this.name}.maxSessionConnections` },
      )
    }
    this.#ownConnections++
    let gone = Promise.resolve()
    const hold: Hold = (of) => {
      gone = of
    }
    try {
      const opened = await this.open(client, onGone, hold)
      opened.gone.then(() => this.#ownConnections--)
      this.#stock()
      return opened
    } catch (error) {
      // Its room is free when nothing is left of it.
      void gone.then(() => this.#ownConnections--)
      throw error
    }
  }

  /**
   * A connection on behalf of a client. It closes itself when the client leaves.
   *
   * @param onGone it takes no more calls, for this reason; those in flight may still be answered.
   * @param hold told when nothing will be left of it, also if it cannot be opened.
   * @throws {GatewayError} naming the server, caused by an `RpcError` if that is its refusal; whatever the client left
   *   with, if it does meanwhile.
   */
  async open(
    client: ClientPeer,
    onGone: (reason: Error) => void,
    hold: Hold = () => {},
  ): Promise<Opened> {
    const supervision = this.#supervision
    if (supervision.isStopped) throw this.#stopped()
    if (supervision.pause > 0) throw this.#leftAlone(supervision.pause)
    supervision.opening()
    const started = performance.now()
    let connection: Connection | undefined
    let link: Link | undefined
    let hasServed = false
    const connect: Connect = (receiver) => {
      link = this.#source.connect(receiver, onGone)
      hold(link.gone)
      return link
    }
    try {
      connection = await Connection.open(
        this.name,
        connect,
        client,
        {
          onCall: (method, outcome, ms) => {
            if (method !== 'initialize' && outcome !== 'failed') hasServed = true
            this.#observe({ type: 'request', server: this.name, method, outcome, ms })
          },
          onNoise: (text, why) => this.noise(text, why),
          onClose: (closed, reason) => {
            // What never opened is told as a failure.
            if (!this.#connections.delete(closed)) return
            if (link?.pid !== undefined) this.#memory.forget(link.pid)
            const isProven = hasServed || this.#connections.size > 0
            if (isItsOwn(reason)) supervision.lost(reason.message, isProven)
            onGone(reason)
            this.#observe({ type: 'upstream_closed', server: this.name, reason: reason.message })
          },
        },
        this.config.startupTimeout,
      )
      // As soon as it was open.
      if (connection.closed) throw connection.closed
    } catch (error) {
      throw this.#cannotOpen(error, client, link)
    }
    this.#connections.add(connection)
    this.#remember(client, connection.introduction)
    supervision.opened()
    const ms = Math.round(performance.now() - started)
    this.#observe({ type: 'upstream_ready', server: this.name, ms })
    const { gone, pid } = link!
    if (pid !== undefined) this.#memory.watch(pid, { client, connection })
    return { connection, gone }
  }

  /** Something came from the server that cannot be used. */
  noise(text: string, why: string): void {
    this.#observe({
      type: 'upstream_noise',
      server: this.name,
      text: this.#source.redact(text).slice(0, 200),
      why: this.#source.redact(why),
    })
  }

  #told(text: string): string {
    const clean = this.#source.redact(text)
    return clean.length > MAX_TOLD ? `${clean.slice(0, MAX_TOLD)}…` : clean
  }

  #cannotOpen(error: unknown, client: ClientPeer, link: Link | undefined): unknown {
    // A client that left says nothing about the server.
    if (client.ended.aborted || this.#supervision.isStopped) {
      this.#supervision.gaveUp()
      const reason = toError(error).message
      this.#observe({ type: 'upstream_closed', server: this.name, reason })
      return error
    }
    const words = link && this.#source.lastWords(link)
    const reason =
      error instanceof RpcError
        ? this.#told(`server "${this.name}" refused initialize: ${error.error.text}`)
        : this.#told(toError(error).message) + (words ? ` (${words})` : '')
    if (this.#connections.size > 0) this.#supervision.stumbled(reason)
    else if (this.#supervision.failed(reason)) this.#tellFailure(reason)
    this.#refusal = error instanceof RpcError ? error : undefined
    const known = error instanceof GatewayError ? error : undefined
    return new GatewayError(known?.code ?? 'upstream_unreachable', reason, {
      server: this.name,
      hint: known?.code === 'upstream_unauthorized' ? known.hint! : this.#source.hint,
      cause: error,
    })
  }

  #leftAlone(ms: number): GatewayError {
    const { reason = 'it failed' } = this.#supervision
    return new GatewayError('upstream_unreachable', `${reason}; it is tried again in ${ms} ms`, {
      server: this.name,
      hint: this.#source.hint,
      cause: this.#refusal,
    })
  }

  /** Keeps processes that nobody uses yet, as far as those in use are fewer than are wanted. */
  #stock(): void {
    const { isolation, pool } = this.config
    if (!this.#isWarm || this.#supervision.isStopped || this.#supervision.pause > 0) return
    const used = isolation === 'session' ? 0 : this.pool.stats.total
    this.#source.spare(Math.max(0, pool.minConnections - used))
  }

  #remember(client: ClientPeer, introduction: Introduction): void {
    const kind = kindOf(client)
    this.#introductions.delete(kind)
    this.#introductions.set(kind, introduction)
    if (this.#introductions.size <= MAX_REMEMBERED) return
    const [oldest] = this.#introductions.keys()
    this.#introductions.delete(oldest!)
  }

  #stopped(): GatewayError {
    return new GatewayError('shutting_down', `server "${this.name}" is being stopped`)
  }

  #tellFailure(reason: string): void {
    this.#observe({ type: 'upstream_failed', server: this.name, reason })
  }
}

/** A connection, and when nothing is left of what carried it. */
export interface Opened {
  connection: Connection
  gone: Promise<void>
}

/** Servers behave by what a client declares, and by the revision it speaks. */
function kindOf({ introduction }: ClientPeer): string {
  const said = (name: string) => introduction.member(name)?.text ?? ''
  return `${said('protocolVersion')} ${said('capabilities')}`
}

/** Whether a connection ended by a fault of the server's. That it forgets a session is none. */
function isItsOwn(reason: Error): boolean {
  if (!(reason instanceof GatewayError) || reason.code === 'upstream_session_lost') return false
  return reason.server !== undefined
}
