/**
 * One configured server: its connections, its state, and what it answers.
 *
 * It fails alone and says why. Closing it ends every process it ever started.
 */
import { existsSync } from 'node:fs'
import type { Caller, ClientPeer } from '../caller.ts'
import type { ServerConfig } from '../config/schema.ts'
import { GatewayError, RpcError, toError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Json } from '../rpc/json.ts'
import type { Connect, Receiver } from '../rpc/peer.ts'
import { Connection } from './connection.ts'
import { Pool } from './pool.ts'
import { type Child, spawnChild } from './stdio.ts'

/** `ready` also before anybody needed it, as long as it looks as if it could start. */
export type State = 'ready' | 'failing' | 'stopped'

export interface Status {
  state: State
  /** Why it is failing, or how its last connection ended. */
  reason?: string
  connections: number
  processes: number
}

/** What a start may take: `npx` and `uvx` download on the first one. */
const STARTUP_DEADLINE = 60_000

export class Upstream {
  readonly name: string
  readonly #config: ServerConfig
  readonly #observe: Observer
  readonly #pool: Pool
  readonly #children = new Map<Child, Receiver>()
  #state: State = 'ready'
  #reason: string | undefined

  constructor(name: string, config: ServerConfig, observe: Observer) {
    this.name = name
    this.#config = config
    this.#observe = observe
    this.#pool = new Pool((client) => this.#open(client))
    const obstacle = obstacleTo(config)
    if (obstacle !== undefined) this.#fail(obstacle)
  }

  get status(): Status {
    return {
      state: this.#state,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      connections: this.#pool.connections.length,
      processes: this.#children.size,
    }
  }

  /** Connects on behalf of the caller's session. The server's own answer to `initialize`. */
  async initialize(caller: Caller): Promise<Json> {
    return (await this.#pool.acquire(caller.session)).introduction
  }

  request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const connection = this.#pool.acquire(caller.session)
    if (connection instanceof Connection) return connection.request(method, params, caller)
    return connection.then((opened) => opened.request(method, params, caller))
  }

  /** Tells the server what the session has to say, if they are in touch. */
  notify(method: string, params: Json | undefined, session: ClientPeer): void {
    this.#pool.current(session)?.notify(method, params)
  }

  /** Resolves when no process of it is left. */
  async close(): Promise<void> {
    this.#state = 'stopped'
    const children = [...this.#children]
    for (const [, receiver] of children) receiver.closed(this.#stopped())
    await Promise.all(children.map(([child]) => child.gone))
  }

  /** For who cannot wait: ends every process of it at once. */
  kill(): void {
    for (const child of this.#children.keys()) child.kill()
  }

  async #open(client: ClientPeer): Promise<Connection> {
    if (this.#state === 'stopped') throw this.#stopped()
    const started = performance.now()
    let child: Child | undefined
    const connect: Connect = (receiver) => {
      child = this.#spawn({
        receive: (text) => receiver.receive(text),
        refused: (ends, why) => receiver.refused(ends, why),
        closed: (reason) => receiver.closed(this.#closed(reason.message)),
      })
      this.#children.set(child, receiver)
      return child
    }
    try {
      const connection = await Connection.open(
        this.name,
        connect,
        client,
        {
          onCall: (method, outcome, ms) =>
            this.#observe({ type: 'request', server: this.name, method, outcome, ms }),
          onNoise: (text, why) =>
            this.#observe({
              type: 'upstream_noise',
              server: this.name,
              text: this.#redact(text).slice(0, 200),
              why: this.#redact(why),
            }),
          onClose: (closed, reason) => {
            this.#pool.forget(closed)
            this.#observe({ type: 'upstream_closed', server: this.name, reason: reason.message })
          },
        },
        STARTUP_DEADLINE,
      )
      this.#state = 'ready'
      this.#reason = undefined
      const ms = Math.round(performance.now() - started)
      this.#observe({ type: 'upstream_ready', server: this.name, ms })
      return connection
    } catch (error) {
      // A client that left says nothing about the server.
      if (client.ended.aborted) throw error
      if (error instanceof RpcError) {
        this.#fail(this.#redact(`server "${this.name}" refused initialize: ${error.error.text}`))
        throw error
      }
      const said = child && lastLine(child.stderr)
      const reason = this.#redact(toError(error).message + (said ? ` (stderr: ${said})` : ''))
      this.#fail(reason)
      const code = error instanceof GatewayError ? error.code : 'upstream_unreachable'
      throw new GatewayError(code, reason, {
        server: this.name,
        hint: `run the command of mcpServers.${this.name} by hand to see what it says`,
        cause: error,
      })
    }
  }

  #spawn(receiver: Receiver): Child {
    let child: Child
    try {
      child = spawnChild(this.#config, receiver, {
        onStderr: (text) =>
          this.#observe({ type: 'upstream_stderr', server: this.name, text: this.#redact(text) }),
      })
    } catch (error) {
      const why = obstacleTo(this.#config) ?? toError(error).message
      throw new GatewayError(
        'upstream_unreachable',
        `server "${this.name}" cannot be started: ${why}`,
        { server: this.name, cause: error },
      )
    }
    child.gone.then(() => this.#children.delete(child))
    this.#observe({ type: 'upstream_spawned', server: this.name, pid: child.pid })
    return child
  }

  #stopped(): GatewayError {
    return new GatewayError('shutting_down', `server "${this.name}" is being stopped`)
  }

  #closed(how: string): GatewayError {
    const message = `server "${this.name}" is gone: ${how}`
    if (this.#state === 'ready') this.#reason = message
    return new GatewayError('upstream_closed', message, {
      server: this.name,
      hint: 'the next call starts it again',
    })
  }

  #fail(reason: string): void {
    if (this.#state === 'stopped') return
    this.#state = 'failing'
    this.#reason = reason
    this.#observe({ type: 'upstream_failed', server: this.name, reason })
  }

  /** What a child writes may repeat what it was given. */
  #redact(text: string): string {
    let clean = text
    for (const value of Object.values(this.#config.env)) {
      if (value.length >= 6) clean = clean.replaceAll(value, '[secret]')
    }
    return clean
  }
}

/** Why the command cannot be started; undefined if nothing is in its way. */
function obstacleTo({ command, cwd, env }: ServerConfig): string | undefined {
  const tilde = (path: string) => (path.startsWith('~') ? '; "~" is not expanded here' : '')
  if (cwd !== undefined && !existsSync(cwd)) return `its cwd does not exist: ${cwd}${tilde(cwd)}`
  const PATH = env.PATH ?? process.env.PATH ?? ''
  if (Bun.which(command, { PATH, ...(cwd === undefined ? {} : { cwd }) })) return undefined
  const words = /\s/.test(command) ? '; arguments are written under "args"' : ''
  return `command not found: ${command}${words}${tilde(command)}`
}

function lastLine(text: string): string | undefined {
  return text.trimEnd().split('\n').at(-1)?.trim().slice(0, 300) || undefined
}
