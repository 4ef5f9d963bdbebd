/**
 * Where the connections to one server come from: a command that is started for each, or a URL that is dialled.
 *
 * A source keeps hold of everything it opened, and ends it all when it is closed. What it tells about a server holds
 * none of the configured values that may be secrets.
 */
import { existsSync } from 'node:fs'
import type { CommandServer, RemoteServer, ServerConfig } from '../config/schema.ts'
import { GatewayError, type GatewayErrorCode, toError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Receiver, Transport } from '../rpc/peer.ts'
import { connectRemote, RemoteError } from './remote.ts'
import { type Child, spawnChild } from './stdio.ts'

export interface Source {
  /** Why nothing could be opened just now; undefined if nothing is known to be in the way. */
  readonly obstacle: string | undefined
  /** What its operator may do if it cannot be reached. */
  readonly hint: string
  readonly processes: number
  /** Opens a transport, to be closed by its user. All faults it reports are `GatewayError`s that name the server. */
  connect(receiver: Receiver, onSessionLost: (reason: Error) => void): Transport
  /** What a transport of its own has left that may explain why it failed. */
  lastWords(transport: Transport): string | undefined
  /** The text without the values that were configured to be used, not seen. */
  redact(text: string): string
  /** Ends what is open, for this reason. Resolves when nothing of it is left. */
  close(reason: Error): Promise<void>
  /** For who cannot wait. */
  kill(): void
}

export function sourceOf(name: string, config: ServerConfig, observe: Observer): Source {
  return config.kind === 'command'
    ? new Commands(name, config, observe)
    : new Site(name, config, observe)
}

/** What is shorter may be anything. */
const SHORTEST_SECRET = 6

/** Takes secrets out of texts, also where each line of one stands for itself, or inside of JSON. */
function redactor(secrets: string[]): (text: string) => string {
  const spellings = secrets
    .flatMap((value) => [value, ...value.split(/[\r\n]+/), JSON.stringify(value).slice(1, -1)])
    .filter((spelling) => spelling.length >= SHORTEST_SECRET)
    // Of one that begins like another, the rest would stay.
    .sort((a, b) => b.length - a.length)
  const all = [...new Set(spellings)]
  return (text) => all.reduce((clean, spelling) => clean.replaceAll(spelling, '[secret]'), text)
}

class Commands implements Source {
  readonly hint: string
  readonly redact: (text: string) => string
  readonly #name: string
  readonly #config: CommandServer
  readonly #observe: Observer
  readonly #children = new Map<Child, Receiver>()
  /** Also those that are gone. */
  readonly #started = new WeakMap<Transport, Child>()

  constructor(name: string, config: CommandServer, observe: Observer) {
    this.#name = name
    this.#config = config
    this.#observe = observe
    this.hint = `run the command of mcpServers.${name} by hand to see what it says`
    this.redact = redactor(Object.values(config.env))
  }

  get obstacle(): string | undefined {
    return obstacleTo(this.#config)
  }

  get processes(): number {
    return this.#children.size
  }

  connect(receiver: Receiver): Transport {
    const server = this.#name
    const closed = (reason: Error) =>
      receiver.closed(
        new GatewayError('upstream_closed', `server "${server}" is gone: ${reason.message}`, {
          server,
          hint: 'the next call starts it again',
        }),
      )
    const child = this.#spawn({
      receive: (text) => receiver.receive(text),
      refused: (ends, why) => receiver.refused(ends, why),
      failed: (id, reason) => receiver.failed(id, reason),
      closed,
    })
    this.#started.set(child, child)
    this.#children.set(child, receiver)
    child.gone.then(() => this.#children.delete(child))
    this.#observe({ type: 'upstream_spawned', server, pid: child.pid })
    return child
  }

  lastWords(transport: Transport): string | undefined {
    const said = this.#started.get(transport)?.stderr
    const line = said?.trimEnd().split('\n').at(-1)?.trim().slice(0, 300)
    return line ? this.redact(`stderr: ${line}`) : undefined
  }

  async close(reason: Error): Promise<void> {
    const open = [...this.#children]
    for (const [, receiver] of open) receiver.closed(reason)
    await Promise.all(open.map(([child]) => child.gone))
  }

  kill(): void {
    for (const child of this.#children.keys()) child.kill()
  }

  #spawn(receiver: Receiver): Child {
    const server = this.#name
    try {
      return spawnChild(this.#config, receiver, {
        onStderr: (text) =>
          this.#observe({ type: 'upstream_stderr', server, text: this.redact(text) }),
      })
    } catch (error) {
      const why = this.obstacle ?? toError(error).message
      throw new GatewayError(
        'upstream_unreachable',
        `server "${server}" cannot be started: ${why}`,
        { server, cause: error },
      )
    }
  }
}

const CODES: Record<RemoteError['code'], GatewayErrorCode> = {
  unreachable: 'upstream_unreachable',
  session_lost: 'upstream_session_lost',
  unauthorized: 'upstream_unauthorized',
  refused: 'upstream_protocol',
  protocol: 'upstream_protocol',
  broken: 'upstream_closed',
}

class Site implements Source {
  readonly obstacle = undefined
  readonly hint: string
  readonly processes = 0
  readonly redact: (text: string) => string
  readonly #name: string
  readonly #config: RemoteServer
  readonly #observe: Observer
  readonly #open = new Map<Transport, { gone: Promise<void>; receiver: Receiver }>()
  /** What was found out about its transport, so that the next connection need not try. */
  #transport: RemoteServer['transport']

  constructor(name: string, config: RemoteServer, observe: Observer) {
    this.#name = name
    this.#config = config
    this.#observe = observe
    this.#transport = config.transport
    this.hint = `check mcpServers.${name}.url, and whether the server runs`
    this.redact = redactor(secretsOf(config))
  }

  connect(receiver: Receiver, onSessionLost: (reason: Error) => void): Transport {
    const { url, headers, insecure } = this.#config
    const transport = connectRemote(
      { url, headers, insecure, transport: this.#transport },
      {
        receive: (text, during) => receiver.receive(text, during),
        refused: (ends, why) => receiver.refused(ends, why),
        failed: (id, reason) => receiver.failed(id, this.#named(reason)),
        closed: (reason) => receiver.closed(this.#named(reason)),
      },
      {
        onSessionLost: () => onSessionLost(this.#lost()),
        onTransport: (kind) => {
          this.#transport = kind
        },
        onNote: (text) =>
          this.#observe({ type: 'upstream_note', server: this.#name, text: this.redact(text) }),
      },
    )
    this.#open.set(transport, { gone: transport.gone, receiver })
    transport.gone.then(() => this.#open.delete(transport))
    return transport
  }

  lastWords(): undefined {}

  async close(reason: Error): Promise<void> {
    const open = [...this.#open.values()]
    for (const { receiver } of open) receiver.closed(reason)
    await Promise.all(open.map(({ gone }) => gone))
  }

  kill(): void {}

  #lost(): GatewayError {
    const message = `server "${this.#name}" no longer knows the session`
    return new GatewayError('upstream_session_lost', message, { server: this.#name })
  }

  #named(reason: Error): Error {
    if (!(reason instanceof RemoteError)) return reason
    // It may have been moved to the other transport.
    if (reason.code === 'refused') this.#transport = this.#config.transport
    const message = `server "${this.#name}": ${this.redact(reason.message)}`
    return new GatewayError(CODES[reason.code], message, {
      server: this.#name,
      hint: reason.code === 'unauthorized' ? `check mcpServers.${this.#name}.headers` : this.hint,
      cause: reason,
    })
  }
}

function secretsOf({ url, headers }: RemoteServer): string[] {
  const { username, password, searchParams } = new URL(url)
  const values = Object.values(headers)
  const credentials = values.map((value) => value.replace(/^\w+ +/, ''))
  return [...values, ...credentials, username, password, ...searchParams.values()]
}

/** Why the command cannot be started; undefined if nothing is in its way. */
function obstacleTo({ command, cwd, env }: CommandServer): string | undefined {
  const tilde = (path: string) => (path.startsWith('~') ? '; "~" is not expanded here' : '')
  if (cwd !== undefined && !existsSync(cwd)) return `its cwd does not exist: ${cwd}${tilde(cwd)}`
  const PATH = env.PATH ?? process.env.PATH ?? ''
  if (Bun.which(command, { PATH, ...(cwd === undefined ? {} : { cwd }) })) return undefined
  const words = /\s/.test(command) ? '; arguments are written under "args"' : ''
  return `command not found: ${command}${words}${tilde(command)}`
}
