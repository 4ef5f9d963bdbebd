/**
 * What both remote transports do alike: the order of the handshake, what is in flight, a session that is lost, the end.
 *
 * How a message is said is the transport's: a function that takes as long as there may be an answer. What has none by
 * then is failed, with the reason. What goes wrong after the answer, or after we gave the message up, is told to nobody.
 */
import { toError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import { type Answer, batchOf, errorText, parseMessage, seemingId } from '../rpc/message.ts'
import type { Receiver } from '../rpc/peer.ts'
import type { RemoteObserver } from './remote.ts'
import { RemoteError, refusalOf } from './wire.ts'

/** How long after its answer a request's response may stay open, in ms. Some servers never end it. */
const GRACE = 2_000

export const INITIALIZE = 'initialize'
export const INITIALIZED = 'notifications/initialized'
const CANCELLED = 'notifications/cancelled'

/** A message of ours on its way. */
export class Outgoing {
  readonly text: string
  /** Of a request. */
  readonly id: number | undefined
  /** Undefined of an answer. */
  readonly method: string | undefined
  readonly #stop = new AbortController()
  readonly #over = Promise.withResolvers<void>()
  #timer: NodeJS.Timeout | undefined
  #isAnswered = false

  constructor(text: string) {
    const [, id, method] = OPENING.exec(text) ?? []
    this.text = text
    this.id = id === undefined ? undefined : Number(id)
    this.method = method
  }

  /** Aborts when nobody wants an answer any more. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  get isAnswered(): boolean {
    return this.#isAnswered
  }

  /** Resolves when it is answered or given up. */
  get over(): Promise<void> {
    return this.#over.promise
  }

  answered(): void {
    this.#isAnswered = true
    this.#over.resolve()
    this.#timer ??= setTimeout(() => this.giveUp(), GRACE)
  }

  giveUp(): void {
    this.release()
    this.#stop.abort()
    this.#over.resolve()
  }

  release(): void {
    clearTimeout(this.#timer)
  }
}

/** As `rpc/message.ts` writes requests and notifications. */
const OPENING = /^\{"jsonrpc":"2\.0",(?:"id":(\d+),)?"method":"((?:[^"\\]|\\.)*)"/

export class Dialogue {
  readonly #receiver: Receiver
  readonly #observer: RemoteObserver
  readonly #say: (message: Outgoing) => Promise<void>
  readonly #underway = new Set<Outgoing>()
  readonly #calls = new Map<number, Outgoing>()
  readonly #tasks = new Set<Promise<void>>()
  readonly #introduced = Promise.withResolvers<void>()
  readonly #end = new AbortController()
  #lost: RemoteError | undefined
  #isOver = false

  constructor(
    receiver: Receiver,
    observer: RemoteObserver,
    say: (message: Outgoing) => Promise<void>,
  ) {
    this.#receiver = receiver
    this.#observer = observer
    this.#say = say
  }

  /** Aborts when the dialogue is over. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  /** Whether the server knows nothing of us any more. */
  get isLost(): boolean {
    return this.#lost !== undefined
  }

  send(text: string): void {
    if (this.#isOver) return
    const message = new Outgoing(text)
    this.#underway.add(message)
    if (message.id !== undefined) this.#calls.set(message.id, message)
    this.run(this.#turn(message))
  }

  /** Waits for a task at the end. It must not reject. */
  run(task: Promise<void>): void {
    this.#tasks.add(task)
    void task.then(() => this.#tasks.delete(task))
  }

  /** Passes on what the server says, during a request of ours if it is known which. */
  receive(text: string, during?: number): void {
    this.#receiver.receive(text, during)
    for (const id of answeredBy(text)) this.#calls.get(id)?.answered()
    this.#endIfLost()
  }

  refused(ends: string, why: string): void {
    this.#receiver.refused(ends, why)
    this.#calls.get(Number(seemingId(ends)))?.answered()
    this.#endIfLost()
  }

  note(text: string): void {
    this.#observer.onNote?.(text)
  }

  /**
   * Judges a response outside of 2xx. Returns only if it holds the answer to request `id`.
   *
   * @param hasSession whether the server could have lost ours.
   * @throws {RemoteError} `session_lost`, `unauthorized` or `refused`.
   */
  async judge(response: Response, hasSession: boolean, id?: number): Promise<void> {
    const { error, body } = await refusalOf(response)
    if (error.code === 'unauthorized') throw error
    const { status, message } = error
    const said = errorIn(body)
    const isLost = status === 404 || (status === 400 && speaksOfSession(body))
    if (hasSession && isLost && !(said?.id === String(id) && isAboutContent(said))) {
      throw this.#lose(
        new RemoteError('session_lost', `its session is over: ${message}`, { status }),
      )
    }
    // Some give it null for an id, Python's SDK "server-error". But where there is nobody, such an error is nobody's.
    const isAnswer = said?.id === String(id) || (status !== 404 && status !== 405)
    if (!said || !isAnswer || id === undefined) throw error
    this.receive(errorText(String(id), said.error), id)
  }

  /** The server cannot be talked to any more. */
  fail(reason: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#receiver.closed(reason)
  }

  /** Gives up all that is in flight. Idempotent; resolves when nothing is left. */
  async close(): Promise<void> {
    this.#isOver = true
    this.#end.abort()
    this.#introduced.resolve()
    for (const message of this.#underway) message.giveUp()
    await Promise.all(this.#tasks)
  }

  async #turn(message: Outgoing): Promise<void> {
    const { id, method } = message
    try {
      // Answers do not wait: the server may need one to answer `initialize`.
      const isEarly = method === undefined || method === INITIALIZE || method === INITIALIZED
      if (!isEarly) await this.#introduced.promise
      message.signal.throwIfAborted()
      if (this.#lost) throw this.#lost
      await this.#say(message)
      if (method === INITIALIZED) this.#introduced.resolve()
      if (id !== undefined && !message.isAnswered) throw new RemoteError('protocol', NO_ANSWER)
    } catch (error) {
      if (!message.signal.aborted && !message.isAnswered) this.#failed(message, toError(error))
    }
    message.release()
    this.#underway.delete(message)
    if (id !== undefined) this.#calls.delete(id)
    // Now that the server knows, it is no use to wait for what it might still say.
    if (method === CANCELLED) this.#calls.get(cancelledBy(message.text))?.giveUp()
    this.#endIfLost()
  }

  /** Once nothing is in flight any more, the dialogue is over too. */
  #lose(reason: RemoteError): RemoteError {
    if (this.#lost) return this.#lost
    this.#lost = reason
    this.#introduced.resolve()
    this.#observer.onSessionLost?.()
    this.#endIfLost()
    return reason
  }

  #failed({ id, method }: Outgoing, error: Error): void {
    if (id !== undefined) this.#receiver.failed(id, error)
    else if (method !== INITIALIZED)
      this.note(`${method ?? 'an answer'} was not taken: ${error.message}`)
    else if (isDisliked(error)) {
      this.note(`${method} was not taken: ${error.message}`)
      this.#introduced.resolve()
    } else if (!this.#lost) this.fail(error)
  }

  #endIfLost(): void {
    if (!this.#lost || [...this.#calls.values()].some((call) => !call.isAnswered)) return
    this.fail(this.#lost)
  }
}

const NO_ANSWER = 'its response holds no answer to the request'

/** Some servers know no `notifications/initialized`, and can do without. */
function isDisliked(error: Error): boolean {
  return error instanceof RemoteError && error.code === 'refused' && error.status! < 500
}

function errorIn(body: string): (Answer & { kind: 'error' }) | undefined {
  try {
    const message = parseMessage(body)
    return message.kind === 'error' ? message : undefined
  } catch {
    return undefined
  }
}

/** Who finds fault with the method or its parameters has nothing against the session. */
function isAboutContent({ error }: { error: Json }): boolean {
  return /^-3260[12]$/.test(error.member('code')?.text ?? '')
}

function speaksOfSession(body: string): boolean {
  return /session/i.test(body) && /not found|invalid|expired|unknown|no valid/i.test(body)
}

/** Our requests that a text answers, be it so badly that the receiver fails them. */
function answeredBy(text: string): number[] {
  const seeming = Number(seemingId(text))
  // Where the answer is so plain, reading it whole would tell no more.
  if (seeming > 0 && OPENS_ANSWER.test(text.slice(0, 96))) return [seeming]
  try {
    const all = (batchOf(text) ?? [text]).map(parseMessage)
    return all.flatMap((one) =>
      one.kind === 'result' || one.kind === 'error' ? [Number(one.id)] : [],
    )
  } catch {
    return [seeming]
  }
}

const OPENS_ANSWER =
  /^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?(?:"id"\s*:\s*\d+\s*,\s*)?"(?:result|error)"\s*:/

function cancelledBy(text: string): number {
  const message = parseMessage(text)
  return message.kind === 'notification' ? Number(message.params?.member('requestId')?.text) : 0
}
