/**
 * One initialized conversation with one server, on behalf of one client.
 *
 * The handshake is the client's own, so the server sees the capabilities of who will use it. What the server asks goes
 * to that client and nobody else, with the call that it belongs to if that is known.
 */
import type { ClientPeer } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Outcome } from '../events.ts'
import { Channel } from '../rpc/channel.ts'
import { Json } from '../rpc/json.ts'
import type { MalformedMessage } from '../rpc/message.ts'
import type { Connect, Deadline, Handler, Incoming } from '../rpc/peer.ts'

/** The revisions with sessions, the latest first. Newer ones have no `initialize`. */
export const LEGACY_VERSIONS = [
  '2025-11-25',
  '2025-06-18',
  '2025-03-26',
  '2024-11-05',
  '2024-10-07',
]

/** What a server says of itself is kept, and shown along with what others say. No more than this, in characters. */
const MAX_INTRODUCTION = 1024 * 1024

/** What a server says of itself when it is met. */
export interface Introduction {
  /** Its result of `initialize`, as it came. */
  result: Json
  capabilities: Record<string, unknown>
  instructions: string | undefined
}

/** A capability as far as it is an object, which it is to be; undefined if the server does not have it. */
export function capabilityOf(
  { capabilities }: Introduction,
  name: string,
): Record<string, unknown> | undefined {
  const value = Object.hasOwn(capabilities, name) ? capabilities[name] : undefined
  return isObject(value) ? value : undefined
}

export interface ConnectionObserver {
  /** A call has ended after so many ms. */
  onCall(method: string, outcome: Outcome, ms: number): void
  onNoise(text: string, why: string): void
  onClose(connection: Connection, reason: Error): void
}

export class Connection {
  readonly #server: string
  readonly #client: ClientPeer
  readonly #observer: ConnectionObserver
  readonly #channel: Channel
  #introduction: Introduction | undefined
  #closed: Error | undefined

  private constructor(
    server: string,
    connect: Connect,
    client: ClientPeer,
    observer: ConnectionObserver,
  ) {
    this.#server = server
    this.#client = client
    this.#observer = observer
    this.#channel = new Channel(connect, this.#handler())
  }

  /**
   * Connects and shakes hands. The connection closes itself when the client leaves.
   *
   * @throws {GatewayError} `upstream_unreachable` if the server cannot be started or does not answer within `deadline` ms;
   *   `upstream_protocol` if it answers nonsense; whatever the client left with, if it does meanwhile.
   * @throws {RpcError} if the server refuses.
   */
  static async open(
    server: string,
    connect: Connect,
    client: ClientPeer,
    observer: ConnectionObserver,
    deadline: number,
  ): Promise<Connection> {
    const connection = new Connection(server, connect, client, observer)
    client.ended.addEventListener('abort', connection.#leave)
    try {
      await connection.#shakeHands(deadline)
    } catch (error) {
      connection.close(error as Error)
      throw error
    }
    return connection
  }

  /** What the server said of itself. */
  get introduction(): Introduction {
    return this.#introduction!
  }

  /** Why it takes no more calls; undefined while it does. */
  get closed(): Error | undefined {
    return this.#closed
  }

  /** Whether the server is to answer something. */
  get isBusy(): boolean {
    return this.#channel.waiting > 0
  }

  /** The call of the client's that came last, of those in flight. */
  get latest(): Incoming | undefined {
    return this.#channel.serving.at(-1)
  }

  /** Relays a call of the client's, if it serves one: then progress and cancellation go along. */
  request(
    method: string,
    params: Json | undefined,
    serves?: Incoming,
    deadline?: Deadline,
  ): Promise<Json> {
    return this.#channel.request(method, params, { serves, deadline })
  }

  notify(method: string, params: Json | undefined): void {
    this.#channel.notify(method, params)
  }

  readonly #leave = () => this.close(this.#client.ended.reason)

  /** Idempotent. What is in flight is answered with `reason`. */
  close(reason: Error): void {
    this.#channel.close(reason)
  }

  async #shakeHands(deadline: number): Promise<void> {
    const { introduction } = this.#client
    const wanted = introduction.member('protocolVersion')
    const hello = isLegacy(wanted)
      ? introduction
      : introduction.with('protocolVersion', LEGACY_VERSIONS[0])
    // Not cancellable: initialize must not be cancelled (2025-11-25, basic/utilities/cancellation).
    const late = () =>
      new GatewayError(
        'upstream_unreachable',
        `server "${this.#server}" did not answer initialize within ${deadline} ms`,
        { server: this.#server, hint: 'run its command by hand to see what it waits for' },
      )
    const answer = await within(this.#channel.request('initialize', hello), { ms: deadline, late })
    this.#introduction = introductionOf(this.#server, answer)
    this.#channel.notify('notifications/initialized')
  }

  #handler(): Handler {
    return {
      onRequest: (method, params, from, during) => this.#ask(method, params, from, during),
      onNotification: (method, params, during) => this.#tell(method, params, during),
      onOver: (method, outcome, ms) => this.#observer.onCall(method, outcome, ms),
      onMalformed: (text, why) => this.#complain(text, why),
      onClose: (reason) => {
        this.#closed = reason
        this.#client.ended.removeEventListener('abort', this.#leave)
        this.#observer.onClose(this, reason)
      },
    }
  }

  async #ask(
    method: string,
    params: Json | undefined,
    from: Incoming,
    during: Incoming | undefined,
  ): Promise<Json> {
    if (method === 'ping') return Json.of({})
    // Where others may be at work on it unseen, it is for the client to know whose it is.
    const relatedTo = during ?? (this.#client.isOne ? this.#onlyCall() : undefined)
    return this.#client.request(method, params, { serves: from, relatedTo })
  }

  #tell(method: string, params: Json | undefined, during: Incoming | undefined): void {
    // What a server logs belongs to the work it does; what has changed is news for the whole session.
    const isLog = method === 'notifications/message'
    this.#client.notify(
      method,
      params,
      isLog ? (during ?? (this.#client.isOne ? this.#onlyCall() : undefined)) : undefined,
    )
  }

  #complain(text: string, why: MalformedMessage): Error {
    this.#observer.onNoise(text, why.message)
    return new GatewayError(
      'upstream_protocol',
      `server "${this.#server}" sent an answer that cannot be passed on: ${why.message}`,
      { server: this.#server },
    )
  }

  #onlyCall(): Incoming | undefined {
    const { serving } = this.#channel
    return serving.length === 1 ? serving[0] : undefined
  }
}

/** @throws {GatewayError} `upstream_protocol` if it is endless, or of no revision that we speak. */
function introductionOf(server: string, result: Json): Introduction {
  if (result.text.length > MAX_INTRODUCTION) {
    throw new GatewayError(
      'upstream_protocol',
      `server "${server}" answered initialize with more than ${MAX_INTRODUCTION} characters`,
      { server },
    )
  }
  const { capabilities, instructions } = result.get<Record<string, unknown>>() ?? {}
  if (!isLegacy(result.member('protocolVersion'))) {
    throw new GatewayError(
      'upstream_protocol',
      `server "${server}" answered initialize in none of the protocol versions ${LEGACY_VERSIONS.join(', ')}`,
      { server },
    )
  }
  return {
    result,
    capabilities: isObject(capabilities) ? capabilities : {},
    instructions: typeof instructions === 'string' ? instructions : undefined,
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isLegacy(version: Json | undefined): boolean {
  return LEGACY_VERSIONS.some((known) => version?.text === `"${known}"`)
}

/** Whether something was given up because it took too long. */
export function isLate(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'upstream_timeout'
}

/** What a promise resolves to, if it does in time. Without a deadline it may take for ever. */
export async function within<T>(promise: Promise<T>, deadline: Deadline | undefined): Promise<T> {
  if (!deadline) return promise
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(deadline.late()), deadline.ms)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
