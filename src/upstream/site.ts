/**
 * The connections to a server behind a URL: each is dialled when it is needed, and ends with its user.
 *
 * What was found out about the server's transport is used for the next connection.
 */
import type { RemoteServer } from '../config/schema.ts'
import { GatewayError, type GatewayErrorCode } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Receiver } from '../rpc/peer.ts'
import { revealed } from '../secret.ts'
import { connectRemote, RemoteError } from './remote.ts'
import type { Link, Source, Surroundings } from './source.ts'

export class Site implements Source {
  readonly obstacle = undefined
  readonly hint: string
  readonly processes = 0
  readonly spawned = 0
  readonly redact: (text: string) => string
  readonly #name: string
  readonly #config: RemoteServer
  readonly #observe: Observer
  readonly #open = new Map<Link, Receiver>()
  /** What was found out about its transport, so that the next connection need not try. */
  #transport: RemoteServer['transport']

  constructor(name: string, config: RemoteServer, { observe, redact }: Surroundings) {
    this.#name = name
    this.#config = config
    this.#observe = observe
    this.redact = redact
    this.#transport = config.transport
    this.hint = `check mcpServers.${name}.url, and whether the server runs`
  }

  connect(receiver: Receiver, onSessionLost: (reason: Error) => void): Link {
    const { url, headers, insecure } = this.#config
    const link = connectRemote(
      { url, headers: revealed(headers), insecure, transport: this.#transport },
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
    this.#open.set(link, receiver)
    link.gone.then(() => this.#open.delete(link))
    return link
  }

  spare(): void {}

  lastWords(): undefined {}

  async close(reason: Error): Promise<void> {
    const open = [...this.#open]
    for (const [, receiver] of open) receiver.closed(reason)
    await Promise.all(open.map(([{ gone }]) => gone))
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

const CODES: Record<RemoteError['code'], GatewayErrorCode> = {
  unreachable: 'upstream_unreachable',
  session_lost: 'upstream_session_lost',
  unauthorized: 'upstream_unauthorized',
  refused: 'upstream_protocol',
  protocol: 'upstream_protocol',
  broken: 'upstream_closed',
}
