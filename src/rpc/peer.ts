/**
 * The seam of the house: whoever can be asked and told, who answers, and what carries the words.
 *
 * A new transport implements `Transport` and reports to a `Receiver`; a new kind of other side implements `Peer`.
 */
import type { Outcome } from '../events.ts'
import type { Json } from './json.ts'
import type { Id, MalformedMessage } from './message.ts'

/** The other side of a JSON-RPC conversation: someone who can be asked and told. */
export interface Peer {
  /**
   * Asks, and waits for the one answer.
   *
   * @throws {RpcError} with the peer's own error, verbatim.
   * @throws the reason for which the request it serves was given up, after telling the peer that this one is cancelled.
   * @throws the reason for which the channel closed.
   */
  request(method: string, params?: Json, options?: RequestOptions): Promise<Json>
  /** Tells. Nothing comes back, not even whether it arrived. */
  notify(method: string, params?: Json, relatedTo?: Incoming): void
}

export interface RequestOptions {
  /** The request of another peer that this one serves: it is cancelled with it, and reports progress to it. */
  serves?: Incoming | undefined
  /** The peer's own request in whose course this is asked: a transport with several ways out picks the right one. */
  relatedTo?: Incoming | undefined
  /** It is cancelled after so many ms, and rejected with what `late` makes. */
  deadline?: Deadline | undefined
}

export interface Deadline {
  ms: number
  late: () => Error
}

/** A request of the peer's, being worked on. */
export interface Incoming {
  readonly id: Id
  /** Why it was given up: {@link Cancelled} by the peer, or because the channel closed. */
  readonly aborted: Error | undefined
  /** Tells `listener`, once, when the request is given up. The lean kin of an `AbortSignal`: that costs a microsecond. */
  onAbort(listener: AbortListener): void
  /** Takes the listener off again. */
  offAbort(listener: AbortListener): void
  /** Reports progress under the peer's token. Undefined if it did not ask for any. */
  readonly progress: ((progress: Json) => void) | undefined
}

export interface AbortListener {
  abort(reason: Error): void
}

/** `during` is what our request serves in whose course the peer speaks; undefined where the transport cannot tell. */
export interface Handler {
  /** What it resolves to, or rejects with, is the answer; see {@link toRpc}. It never throws. */
  onRequest(
    method: string,
    params: Json | undefined,
    from: Incoming,
    during: Incoming | undefined,
  ): Promise<Json>
  onNotification(method: string, params: Json | undefined, during: Incoming | undefined): void
  /** A request of ours is over, after so many ms. */
  onOver?(method: string, outcome: Outcome, ms: number): void
  /** Something arrived that is no message. Returns what to tell the request that it seems to answer. */
  onMalformed(text: string, why: MalformedMessage): Error
  /** Called once, after everything that waited was answered. */
  onClose(reason: Error): void
}

/** Bytes below, messages above. */
export interface Transport {
  /** A question or news. Never throws: what cannot be sent is followed by {@link Receiver.closed}. */
  send(text: string, relatedTo?: Id): void
  /** The last word on a request of the peer's: its answer, or undefined if it will have none. Never throws. */
  settle(id: Id, text: string | undefined): void
  /** Idempotent. */
  close(): void
}

/** What a transport reports to. */
export interface Receiver {
  /** A message, or what should be one. `during` is the id of our request in whose course it came, if that is known. */
  receive(text: string, during?: number): void
  /** A message that could not be read whole: how it begins and ends, and why. */
  refused(ends: string, why: string): void
  /** One request of ours will have no answer. Of no effect if it has had one. */
  failed(id: number, reason: Error): void
  /** No more will come. */
  closed(reason: Error): void
}

/** Opens a transport that reports to `receiver`. */
export type Connect = (receiver: Receiver) => Transport

/** The peer took its request back. */
export class Cancelled extends Error {
  override name = 'Cancelled'
  /** Of its `notifications/cancelled`. */
  readonly params: Json

  constructor(params: Json) {
    super('cancelled by the caller')
    this.params = params
  }
}
