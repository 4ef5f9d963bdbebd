/**
 * Streamable HTTP as a client (2025-03-26 to 2025-11-25): each message is a POST, and its response holds the answer.
 *
 * Nothing is POSTed twice. A response that breaks off is resumed where the server has said how, with a GET; another GET
 * stream carries what the server says of its own accord, and is opened again for as long as the transport is.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { toError } from '../errors.ts'
import type { Bookmark } from '../rpc/eventstream.ts'
import { parseMessage } from '../rpc/message.ts'
import type { Receiver, Transport } from '../rpc/peer.ts'
import { Dialogue, INITIALIZE, INITIALIZED, type Outgoing } from './dialogue.ts'
import type { Remote, RemoteObserver } from './remote.ts'
import { discard, mediaType, RemoteError, readEvents, textOf, UNKNOWN, Wire } from './wire.ts'

/** How many times in a row a response may fail to be resumed. */
const RESUME_TRIES = 5
/** The first pause before coming back to a stream that says nothing about it, and the longest one, in ms. */
const RETRY = 1_000
const LONGEST_PAUSE = 30_000
/** What a stream may ask for instead, in ms. */
const RETRY_BOUNDS = { least: 10, most: 10 * 60_000 }
/** What `DELETE` of the session gets, in ms. */
const FAREWELL = 2_000

export class Streamable implements Transport {
  readonly gone: Promise<void>
  readonly #wire: Wire
  readonly #dialogue: Dialogue
  readonly #closed = Promise.withResolvers<void>()
  #session: string | undefined
  #version: string | undefined

  /** @throws {TypeError} as {@link Wire} does. */
  constructor(remote: Remote, receiver: Receiver, observer: RemoteObserver) {
    this.#wire = new Wire(remote)
    this.#dialogue = new Dialogue(receiver, observer, (message) => this.#post(message))
    this.gone = this.#closed.promise
  }

  send(text: string): void {
    this.#dialogue.send(text)
  }

  settle(_id: string, text: string | undefined): void {
    if (text !== undefined) this.#dialogue.send(text)
  }

  close(): void {
    if (this.#dialogue.signal.aborted) return
    const leaving = [this.#dialogue.close(), this.#leave()]
    this.#closed.resolve(Promise.all(leaving).then(() => {}))
  }

  async #post(message: Outgoing): Promise<void> {
    const { id, method, signal } = message
    const response = await this.#wire.ask({
      method: 'POST',
      headers: this.#headers(JSON_HEADERS),
      body: message.text,
      signal,
    })
    if (!response.ok) return this.#dialogue.judge(response, this.#session !== undefined, id)
    if (method === INITIALIZE) this.#session = sessionOf(response)
    if (id === undefined) {
      discard(response)
      if (method === INITIALIZED) this.#dialogue.run(this.#listen())
      return
    }
    const type = mediaType(response)
    if (type === 'text/event-stream') return this.#hearOut(response, message)
    if (type !== 'application/json') {
      discard(response)
      const { status } = response
      const held = type === '' ? 'nothing' : `${type}, neither JSON nor an event stream`
      throw new RemoteError('protocol', `it answered ${status} with ${held}`, { status })
    }
    const text = await textOf(response)
    if (text !== '') this.#receive(text, id)
  }

  /** Reads the response to a request, over as many connections as it takes. */
  async #hearOut(response: Response, message: Outgoing): Promise<void> {
    const place = begin()
    let broken: RemoteError | undefined
    try {
      await this.#hear(response, place, message.id)
    } catch (error) {
      broken = error as RemoteError
    }
    message.signal.throwIfAborted()
    if (message.isAnswered) return
    if (place.lastId === '') {
      const how = broken?.message ?? 'its response ended'
      throw new RemoteError('broken', `${how} before the answer; ${UNKNOWN}`, { cause: broken })
    }
    if (broken) this.#dialogue.note(`${broken.message}: resuming the response`)
    try {
      await pause(place, 0, message.signal)
      await this.#follow(place, message)
    } catch (cause) {
      // Of this request nothing is known any more, whatever that says of the session.
      const { message: why } = cause as Error
      const how = `its response broke and could not be resumed: ${why}`
      throw new RemoteError('broken', `${how}; ${UNKNOWN}`, { cause })
    }
  }

  /** Hears what the server says of its own accord, until the transport closes or the server will not have it. */
  async #listen(): Promise<void> {
    const { signal } = this.#dialogue
    try {
      await this.#follow(begin())
    } catch (error) {
      const { code, message, status } = error as RemoteError
      const isNews = code !== 'session_lost' && status !== 404 && status !== 405
      if (isNews && !signal.aborted) {
        this.#dialogue.note(`there is no stream for what it says of its own accord: ${message}`)
      }
    }
  }

  /**
   * Opens a stream, and opens it again whenever it ends: until `message` is answered, or else for ever.
   *
   * @throws {RemoteError} that makes it useless to try again, or the last of too many in a row.
   */
  async #follow(place: Place, message?: Outgoing): Promise<void> {
    const signal = message?.signal ?? this.#dialogue.signal
    const tries = message ? RESUME_TRIES : Number.POSITIVE_INFINITY
    for (let failures = 0; ; ) {
      const { events } = place
      const since = performance.now()
      let broken: Error | undefined
      try {
        await this.#hear(await this.#open(place, signal), place, message?.id)
      } catch (error) {
        broken = toError(error)
      }
      if (message?.isAnswered) return
      if (broken && (signal.aborted || isFinal(broken))) throw broken

      const isUseful = place.events > events || performance.now() - since > LONGEST_PAUSE
      if (isUseful) failures = 0
      // An answer may have to be asked for often. Otherwise a stream that ends without a word is no better than none.
      if (broken || !(message || isUseful)) failures++
      else failures = 0
      if (failures === tries) throw broken
      if (broken) this.#dialogue.note(`${broken.message}: trying again`)
      await pause(place, failures, signal)
    }
  }

  async #open({ lastId }: Place, signal: AbortSignal): Promise<Response> {
    const resume = UNSENDABLE.test(lastId) ? {} : { 'Last-Event-ID': latin1(lastId) }
    const response = await this.#wire.ask({
      method: 'GET',
      headers: this.#headers({ Accept: 'text/event-stream', ...resume }),
      signal,
    })
    if (!response.ok) await this.#dialogue.judge(response, this.#session !== undefined)
    const type = mediaType(response)
    if (type === 'text/event-stream') return response
    discard(response)
    throw new RemoteError(
      'protocol',
      `it answered GET with ${type || 'nothing'}, not an event stream`,
    )
  }

  #hear(response: Response, place: Place, during: number | undefined): Promise<void> {
    return readEvents(
      response,
      {
        event: (data, type) => {
          place.events++
          // Without data it only tells from where to resume.
          if (type === 'message' && data !== '') this.#receive(data, during)
        },
        refused: (ends, why) => this.#dialogue.refused(ends, why),
      },
      place,
    )
  }

  #receive(text: string, during: number | undefined): void {
    this.#version ??= agreedVersion(text)
    this.#dialogue.receive(text, during)
  }

  #headers(own: Record<string, string>): Record<string, string> {
    return {
      ...own,
      ...(this.#session === undefined ? {} : { 'Mcp-Session-Id': this.#session }),
      ...(this.#version === undefined ? {} : { 'MCP-Protocol-Version': this.#version }),
    }
  }

  async #leave(): Promise<void> {
    if (this.#session === undefined || this.#dialogue.isLost) return
    const signal = AbortSignal.timeout(FAREWELL)
    try {
      discard(await this.#wire.ask({ method: 'DELETE', headers: this.#headers({}), signal }))
    } catch {
      // It will find out by itself that we have left.
    }
  }
}

/** Where we are in a stream that several connections carry, one after the other. */
interface Place extends Bookmark {
  /** How many there were so far. */
  events: number
}

function begin(): Place {
  return { lastId: '', retry: undefined, events: 0 }
}

const JSON_HEADERS = {
  Accept: 'application/json, text/event-stream',
  'Content-Type': 'application/json',
}

/** @throws {RemoteError} for an id that we could not send back. (2025-11-25, basic/transports, Session Management) */
function sessionOf({ headers }: Response): string | undefined {
  const id = headers.get('mcp-session-id') ?? undefined
  if (id === undefined || /^[\x21-\x7e]+$/.test(id)) return id
  throw new RemoteError('protocol', 'its Mcp-Session-Id is more than visible ASCII')
}

/** What the answer to `initialize` says; undefined of all other messages. */
function agreedVersion(text: string): string | undefined {
  try {
    const message = parseMessage(text)
    if (message.kind !== 'result') return undefined
    return /^"([\w.-]+)"$/.exec(message.result.member('protocolVersion')?.text ?? '')?.[1]
  } catch {
    return undefined
  }
}

/** An id that no header can carry, or is none. */
const UNSENDABLE = /^$|[\x00-\x1f\x7f]|.{1025}/s

/** UTF-8 as a header takes it. */
function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** Whether it is no use to ask again. */
function isFinal(error: unknown): boolean {
  const { code, status = 0 } = error as RemoteError
  return code !== 'unreachable' && code !== 'broken' && status !== 429 && status < 500
}

/** At least as long as the stream has asked for; after failures ever longer, and not in step with others. */
function pause({ retry = RETRY }: Place, failures: number, signal: AbortSignal): Promise<void> {
  const asked = Math.min(Math.max(retry, RETRY_BOUNDS.least), RETRY_BOUNDS.most)
  const longer = Math.min(asked * 2 ** (failures - 1), Math.max(asked, LONGEST_PAUSE))
  const ms = failures === 0 ? asked : longer * (1 + Math.random() / 4)
  return sleep(ms, undefined, { signal })
}
