/**
 * One configured server: its state, and the seats that clients have at it.
 *
 * It fails alone and says why. Closing it ends everything it ever opened.
 */
import type { ClientPeer } from '../caller.ts'
import type { ServerConfig } from '../config/schema.ts'
import { GatewayError, RpcError, toError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Connect, Transport } from '../rpc/peer.ts'
import { Connection, type Introduction } from './connection.ts'
import { type List, type ListMethod, older } from './lists.ts'
import { Seat } from './seat.ts'
import { type Source, sourceOf } from './source.ts'

/** `ready` also before anybody needed it, as long as it looks as if it could start. */
export type State = 'ready' | 'failing' | 'stopped'

export interface Status {
  state: State
  /** Why it is failing, or how its last connection ended. */
  reason?: string
  /** Clients are shown what it listed before, if it ever did: it does not list now. */
  missing?: true
  /** What of it is shown otherwise than it says, or not at all. */
  notices?: string[]
  connections: number
  processes: number
}

/** What a start may take: `npx` and `uvx` download on the first one. */
const STARTUP_DEADLINE = 60_000
/** How many kinds of clients are remembered with what the server answers them. */
const MAX_REMEMBERED = 64
const MAX_NOTICES = 50
/** A server that fails is tried again after so many ms: doubled each time, up to the second. */
const PAUSE = 1_000
const LONGEST_PAUSE = 30_000
/** What a server says may be of any length. This much of it is told, in characters. */
const MAX_TOLD = 500

export class Upstream {
  readonly name: string
  readonly config: ServerConfig
  /** How long a page of a list may take to come, in ms. */
  readonly listTimeout: number
  readonly #observe: Observer
  readonly #source: Source
  readonly #connections = new Set<Connection>()
  readonly #introductions = new Map<string, Introduction>()
  readonly #lists = new Map<ListMethod, List>()
  readonly #notices = new Set<string>()
  readonly #missedBy = new Set<object>()
  /** When a server that fails was last tried without being needed, and how long not to try it again. */
  #tried = 0
  #pause = 0
  #state: State = 'ready'
  #reason: string | undefined

  constructor(name: string, config: ServerConfig, listTimeout: number, observe: Observer) {
    this.name = name
    this.config = config
    this.listTimeout = listTimeout
    this.#observe = observe
    this.#source = sourceOf(name, config, observe)
    const { obstacle } = this.#source
    if (obstacle !== undefined) this.#fail(obstacle)
  }

  get status(): Status {
    return {
      state: this.#state,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      ...(this.#missedBy.size === 0 ? {} : { missing: true as const }),
      ...(this.#notices.size === 0 ? {} : { notices: [...this.#notices] }),
      connections: this.#connections.size,
      processes: this.#source.processes,
    }
  }

  /** A place for a client, to be asked on its behalf. Nothing is opened yet; all is closed when the client leaves. */
  seat(client: ClientPeer): Seat {
    return new Seat(this, client)
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

  /** Whether to try it again just now. While it fails it is not tried by all who miss it, but ever less often. */
  mayTry(): boolean {
    if (this.#state !== 'failing') return true
    const now = performance.now()
    if (now - this.#tried < this.#pause) return false
    this.#tried = now
    this.#pause = Math.min(Math.max(PAUSE, this.#pause * 2), LONGEST_PAUSE)
    return true
  }

  /** They have them again, or want them no more. */
  backFor(who: object): void {
    this.#missedBy.delete(who)
  }

  /** Resolves when no process and no connection of it is left. */
  async close(): Promise<void> {
    this.#state = 'stopped'
    await this.#source.close(this.#stopped())
  }

  /** For who cannot wait: ends every process of it at once. */
  kill(): void {
    this.#source.kill()
  }

  /**
   * A connection of this client's own, for its seat. It closes itself when the client leaves.
   *
   * @param onGone it takes no more calls, for this reason; those in flight may still be answered.
   * @throws {GatewayError} naming the server, caused by an `RpcError` if that is its refusal; whatever the client left
   *   with, if it does meanwhile.
   */
  async open(client: ClientPeer, onGone: (reason: Error) => void): Promise<Connection> {
    if (this.#state === 'stopped') throw this.#stopped()
    const started = performance.now()
    let connection: Connection | undefined
    let transport: Transport | undefined
    const connect: Connect = (receiver) => {
      transport = this.#source.connect(receiver, onGone)
      return transport
    }
    try {
      connection = await Connection.open(
        this.name,
        connect,
        client,
        {
          onCall: (method, outcome, ms) =>
            this.#observe({ type: 'request', server: this.name, method, outcome, ms }),
          onNoise: (text, why) => this.noise(text, why),
          onClose: (closed, reason) => {
            // What never opened is told as a failure.
            if (!this.#connections.delete(closed)) return
            if (this.#state === 'ready' && isItsOwn(reason)) this.#reason = reason.message
            onGone(reason)
            this.#observe({ type: 'upstream_closed', server: this.name, reason: reason.message })
          },
        },
        STARTUP_DEADLINE,
      )
      // As soon as it was open.
      if (connection.closed) throw connection.closed
    } catch (error) {
      throw this.#cannotOpen(error, client, transport)
    }
    this.#connections.add(connection)
    this.#remember(client, connection.introduction)
    this.#state = 'ready'
    this.#reason = undefined
    this.#pause = 0
    const ms = Math.round(performance.now() - started)
    this.#observe({ type: 'upstream_ready', server: this.name, ms })
    return connection
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

  #cannotOpen(error: unknown, client: ClientPeer, transport: Transport | undefined): unknown {
    // A client that left says nothing about the server.
    if (client.ended.aborted || this.#state === 'stopped') {
      const reason = toError(error).message
      this.#observe({ type: 'upstream_closed', server: this.name, reason })
      return error
    }
    const words = transport && this.#source.lastWords(transport)
    const reason =
      error instanceof RpcError
        ? this.#told(`server "${this.name}" refused initialize: ${error.error.text}`)
        : this.#told(toError(error).message) + (words ? ` (${words})` : '')
    this.#fail(reason)
    const known = error instanceof GatewayError ? error : undefined
    return new GatewayError(known?.code ?? 'upstream_unreachable', reason, {
      server: this.name,
      hint: known?.code === 'upstream_unauthorized' ? known.hint! : this.#source.hint,
      cause: error,
    })
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

  #fail(reason: string): void {
    // It may be tried again for long, and is not told again for the same reason.
    if (this.#state === 'stopped' || (this.#state === 'failing' && this.#reason === reason)) return
    this.#state = 'failing'
    this.#reason = reason
    this.#observe({ type: 'upstream_failed', server: this.name, reason })
  }
}

/** Servers behave by what a client declares, and by the revision it speaks. */
function kindOf({ introduction }: ClientPeer): string {
  const said = (name: string) => introduction.member(name)?.text ?? ''
  return `${said('protocolVersion')} ${said('capabilities')}`
}

/** Whether a connection ended because of the server. */
function isItsOwn(reason: Error): boolean {
  return reason instanceof GatewayError && reason.server !== undefined
}
