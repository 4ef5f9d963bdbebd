/**
 * A client on our own stdin and stdout: one JSON-RPC message per line, and nothing else on stdout.
 *
 * The pipe is the session. When its input ends, what is in flight is still answered.
 */
import type { Principal } from '../caller.ts'
import type { Observer } from '../events.ts'
import type { Endpoint } from '../routing/endpoint.ts'
import type { Id } from '../rpc/message.ts'
import type { Transport } from '../rpc/peer.ts'
import { Lines, oneLine } from '../upstream/lines.ts'
import { MAX_LINE } from '../upstream/stdio.ts'
import { MAX_UNREAD } from './outlet.ts'
import { Session } from './session.ts'

/** How long what is in flight may take when the input has ended. */
const DRAIN = 10_000

export interface Pipe {
  input: ReadableStream<Uint8Array>
  /** Resolves once more can be taken, and rejects when nobody reads any more. Called again only after that. */
  write(text: string): Promise<void>
  observe: Observer
  /** Longer lines are refused, in bytes. */
  maxLine?: number
}

/** Resolves when the conversation is over: the input has ended and the last answer is out, or nobody reads our output. */
export async function serveStdio(
  endpoint: Endpoint,
  principal: Principal,
  { input, write, observe, maxLine = MAX_LINE }: Pipe,
): Promise<void> {
  const output = new Output(principal, endpoint, write, observe)
  const { session } = output
  const ended = Promise.withResolvers<void>()
  session.ended.addEventListener('abort', () => ended.resolve())
  const reader = input.getReader()
  const lines = new Lines(maxLine, session)
  await Promise.race([read(() => reader.read(), lines), ended.promise])
  void reader.cancel().catch(() => {})

  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, DRAIN)
  await Promise.race([output.settled(), late.promise])
  session.end('its input has ended')
  await Promise.race([output.flushed(), late.promise])
  clearTimeout(timer)
}

async function read(
  next: () => Promise<{ done: boolean; value?: Uint8Array | undefined }>,
  lines: Lines,
): Promise<void> {
  try {
    for (let part = await next(); !part.done; part = await next()) lines.push(part.value!)
  } catch {
    // A broken pipe ends like a closed one.
  }
  // Who has only one thing to say often leaves the end of the line away.
  lines.push(LINE_END)
}

const LINE_END = Buffer.from('\n')

class Output implements Transport {
  readonly session: Session
  readonly #write: Pipe['write']
  #queue: string[] = []
  #unread = 0
  #writing: Promise<void> | undefined
  #isClosed = false
  #onSettled: (() => void) | undefined

  constructor(principal: Principal, endpoint: Endpoint, write: Pipe['write'], observe: Observer) {
    this.#write = write
    this.session = new Session(principal, endpoint, this, observe)
  }

  /** When nothing is in flight. */
  async settled(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onSettled = resolve
    if (this.session.isWorking) await promise
  }

  async flushed(): Promise<void> {
    await this.#writing
  }

  send(text: string): void {
    if (this.#unread > MAX_UNREAD) this.session.end('its client does not read')
    if (this.#isClosed) return
    this.#unread += text.length
    this.#queue.push(oneLine(text))
    this.#writing ??= this.#drain()
  }

  settle(_id: Id, text: string | undefined): void {
    if (text !== undefined) this.send(text)
    if (!this.session.isWorking) this.#onSettled?.()
  }

  close(): void {
    this.#isClosed = true
  }

  async #drain(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const text = `${this.#queue.join('\n')}\n`
        this.#queue = []
        await this.#write(text)
        this.#unread = this.#queue.reduce((sum, { length }) => sum + length, 0)
      }
    } catch {
      this.#isClosed = true
      this.session.end('nobody reads its output')
    }
    this.#writing = undefined
  }
}
