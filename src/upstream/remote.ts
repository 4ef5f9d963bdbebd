/**
 * A server behind a URL: the transport to it, and which of the two that is.
 *
 * Both are for servers up to 2025-11-25. With `auto` the first message decides, as the specification has it: what is
 * refused as Streamable HTTP, in a way that says there is none, is tried as HTTP+SSE.
 *
 * @see [Backwards Compatibility](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#backwards-compatibility)
 */
import type { Receiver, Transport } from '../rpc/peer.ts'
import { Sse } from './sse.ts'
import { Streamable } from './streamable.ts'
import { RemoteError } from './wire.ts'

export { RemoteError }

export interface Remote {
  url: string
  transport: 'auto' | Kind
  /** Sent with every request, and to no other origin. */
  headers: Readonly<Record<string, string>>
  /** Take whatever certificate the server has. */
  insecure: boolean
}

type Kind = 'streamable-http' | 'sse'

/** What the owner of a connection learns beside its messages. */
export interface RemoteObserver {
  /** The server no longer knows the session. What is in flight may still be answered; new calls need a new connection. */
  onSessionLost?(): void
  /** Which of the two `auto` has found. */
  onTransport?(kind: Kind): void
  /** Something worth a line in the log, without what is configured. */
  onNote?(text: string): void
}

export interface RemoteTransport extends Transport {
  /** Resolves when nothing of it is left: no request, no stream, no timer. */
  readonly gone: Promise<void>
}

/**
 * The transport, before anything was sent. What the receiver is told as failed or closed is a {@link RemoteError}.
 *
 * @throws {TypeError} if the URL is none, or a header cannot be sent.
 */
export function connectRemote(
  remote: Remote,
  receiver: Receiver,
  observer: RemoteObserver = {},
): RemoteTransport {
  return remote.transport === 'auto'
    ? new Auto(remote, receiver, observer)
    : open(remote.transport, remote, receiver, observer)
}

function open(
  kind: Kind,
  remote: Remote,
  receiver: Receiver,
  observer: RemoteObserver,
): RemoteTransport {
  return kind === 'sse'
    ? new Sse(remote, receiver, observer)
    : new Streamable(remote, receiver, observer)
}

/** How a server says that it has nothing at this URL that takes a POST. Others are no evidence. */
const NOT_STREAMABLE = new Set([400, 404, 405, 410, 501])

class Auto implements RemoteTransport {
  readonly gone: Promise<void>
  readonly #remote: Remote
  readonly #receiver: Receiver
  readonly #observer: RemoteObserver
  readonly #closed = Promise.withResolvers<void>()
  #opened: RemoteTransport[] = []
  #hello: string | undefined
  #isFound = false
  /** Why it is not Streamable HTTP. */
  #evidence: RemoteError | undefined

  constructor(remote: Remote, receiver: Receiver, observer: RemoteObserver) {
    this.#remote = remote
    this.#receiver = receiver
    this.#observer = observer
    this.gone = this.#closed.promise
    this.#open('streamable-http')
  }

  send(text: string): void {
    this.#hello ??= text
    this.#transport.send(text)
  }

  settle(id: string, text: string | undefined): void {
    this.#transport.settle(id, text)
  }

  close(): void {
    for (const transport of this.#opened) transport.close()
    this.#closed.resolve(Promise.all(this.#opened.map(({ gone }) => gone)).then(() => {}))
  }

  get #transport(): RemoteTransport {
    return this.#opened.at(-1)!
  }

  #open(kind: Kind): void {
    const receiver = this.#receiver
    const listening: Receiver = {
      receive: (text, during) => {
        this.#find(kind)
        receiver.receive(text, during)
      },
      refused: (ends, why) => {
        this.#find(kind)
        receiver.refused(ends, why)
      },
      failed: (id, reason) => {
        if (!this.#fallsBack(reason)) receiver.failed(id, this.#told(reason))
      },
      closed: (reason) => receiver.closed(this.#told(reason)),
    }
    this.#opened.push(open(kind, this.#remote, listening, this.#observer))
  }

  #find(kind: Kind): void {
    if (this.#isFound) return
    this.#isFound = true
    this.#observer.onTransport?.(kind)
  }

  #fallsBack(reason: Error): boolean {
    if (this.#isFound || this.#evidence || !(reason instanceof RemoteError)) return false
    if (reason.code !== 'refused' || !NOT_STREAMABLE.has(reason.status ?? 0)) return false
    this.#evidence = reason
    this.#transport.close()
    this.#open('sse')
    this.#transport.send(this.#hello!)
    return true
  }

  #told(reason: Error): Error {
    if (this.#isFound || !this.#evidence || !(reason instanceof RemoteError)) return reason
    const { code, status } = reason
    const message = `as Streamable HTTP ${this.#evidence.message}; as HTTP+SSE ${reason.message}`
    return new RemoteError(code, message, { status, cause: reason })
  }
}
