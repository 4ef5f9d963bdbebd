/**
 * A server as a child process: one JSON-RPC message per line on its stdin and stdout.
 *
 * The child leads a process group of its own, and the whole group goes when the transport closes. No line, queue or
 * stderr output grows without bound. The child sees a short list of our environment variables, never all of them.
 */
import type { Receiver, Transport } from '../rpc/peer.ts'
import { Lines, oneLine } from './lines.ts'

export interface Command {
  command: string
  args: readonly string[]
  cwd?: string | undefined
  env: Readonly<Record<string, string>>
  /** Pass on all of the gateway's own environment. */
  inheritEnv: boolean
}

/** What the owner of a child learns beside its messages. */
export interface ChildObserver {
  /** Whole lines of stderr, one or more. */
  onStderr?(text: string): void
}

export interface Child extends Transport {
  readonly pid: number
  /** False as soon as it is known to have ended, or to talk or listen no more; why is told a moment later. */
  readonly isLiving: boolean
  /** The last of what it wrote to stderr, at most {@link STDERR_KEPT} characters. */
  readonly stderr: string
  /** Resolves when no process of its group is left. */
  readonly gone: Promise<void>
  /** Ends its whole group at once, without the ladder. */
  kill(): void
}

/** Longer lines are not read: the largest results seen in the wild are images of some 30 MB. */
export const MAX_LINE = 64 * 1024 * 1024
/** What may wait for a child that does not read. */
export const MAX_UNREAD = 64 * 1024 * 1024
export const STDERR_KEPT = 64 * 1024
/** What each step of the ladder gets: end of stdin, SIGTERM, SIGKILL. */
const STEP = 2_000

/**
 * Starts the command. Its name is looked up in the child's own PATH; no shell ever sees it.
 *
 * @throws if there is no such command, or no such working directory.
 */
export function spawnChild(
  command: Command,
  receiver: Receiver,
  observer: ChildObserver = {},
): Child {
  return new StdioChild(command, receiver, observer)
}

class StdioChild implements Child {
  readonly #receiver: Receiver
  readonly #observer: ChildObserver
  readonly #process: Bun.Subprocess<'pipe', 'pipe', 'pipe'>
  readonly gone: Promise<void>
  isLiving = true
  #queue: string[] = []
  #unread = 0
  #writing = false
  #closing = false
  readonly #closed = Promise.withResolvers<void>()
  readonly #deaf = Promise.withResolvers<void>()
  readonly #readers: { cancel(): Promise<void> }[] = []
  stderr = ''
  #stderrLine = ''

  constructor(command: Command, receiver: Receiver, observer: ChildObserver) {
    this.#receiver = receiver
    this.#observer = observer
    const env = command.inheritEnv ? ours() : inherited()
    Object.assign(env, command.env)
    this.#process = Bun.spawn([command.command, ...command.args], {
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
      env,
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
      // A group of its own, so that what npx, uvx or a shell started can be ended with it.
      detached: true,
    })
    const { stdout, stderr } = this.#process
    const lines = new Lines(MAX_LINE, receiver)
    const read = this.#read(stdout, (bytes) => lines.push(bytes))
    const decoder = new TextDecoder()
    const drained = this.#read(
      stderr,
      (bytes) => this.#hear(decoder.decode(bytes, STREAM)),
      () => this.#hearEnd(),
    )
    this.gone = this.#watch(read, drained)
  }

  get pid(): number {
    return this.#process.pid
  }

  send(text: string): void {
    if (this.#closing) return
    this.#unread += text.length
    if (this.#unread > MAX_UNREAD) {
      this.#receiver.closed(new Error('it does not read its input'))
      return
    }
    this.#queue.push(oneLine(text))
    if (this.#writing) return
    this.#writing = true
    // All that one turn of the event loop has to say goes out in one write. Requests come in by a turn each, microtasks
    // between them, so a microtask would be too early.
    setImmediate(() => void this.#write())
  }

  settle(_id: string, text: string | undefined): void {
    if (text !== undefined) this.send(text)
  }

  close(): void {
    if (this.#closing) return
    this.#closing = true
    this.#closed.resolve()
  }

  kill(): void {
    signalGroup(this.pid, 'SIGKILL')
  }

  async #write(): Promise<void> {
    const { stdin } = this.#process
    try {
      while (this.#queue.length > 0) {
        const text = `${this.#queue.join('\n')}\n`
        this.#queue = []
        // Both answer with a promise when the pipe is full; one that nobody awaits would end this process.
        const written = stdin.write(text)
        if (written instanceof Promise) await written
        const flushed = stdin.flush()
        if (flushed instanceof Promise) await flushed
        this.#unread = this.#queue.reduce((sum, waiting) => sum + waiting.length, 0)
      }
      // stdin EOF is the only request to leave that every platform has.
      if (this.#closing) await stdin.end()
    } catch {
      this.#deaf.resolve()
    } finally {
      this.#writing = false
    }
  }

  async #read(
    stream: ReadableStream<Uint8Array>,
    take: (bytes: Uint8Array) => void,
    end?: () => void,
  ): Promise<void> {
    const reader = stream.getReader()
    this.#readers.push(reader)
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return end?.()
        take(value)
      }
    } catch {
      // A broken pipe ends like a closed one.
    }
  }

  #hear(text: string): void {
    this.stderr = (this.stderr + text).slice(-STDERR_KEPT)
    const begun = this.#stderrLine + text
    const end = begun.length > STDERR_KEPT ? begun.length : begun.lastIndexOf('\n') + 1
    this.#stderrLine = begun.slice(end)
    if (end > 0) this.#observer.onStderr?.(begun.slice(0, end))
  }

  /** Who dies often has no time for a last line feed. */
  #hearEnd(): void {
    if (this.#stderrLine !== '') this.#observer.onStderr?.(this.#stderrLine)
  }

  async #watch(read: Promise<void>, drained: Promise<void>): Promise<void> {
    const { exited } = this.#process
    const closed = this.#closed.promise
    await Promise.race([exited, read, this.#deaf.promise, closed])
    this.isLiving = false
    if (!this.#closing) {
      // Who closes a pipe is mostly about to exit, and how it exits says more.
      await Promise.race([exited, closed, Bun.sleep(STEP)])
      // Its last words may still be in the pipes; a grandchild may hold those open for ever.
      await Promise.race([Promise.all([read, drained]), Bun.sleep(200)])
      this.#receiver.closed(new Error(ending(this.#process)))
    }
    this.#closing = true
    await this.#end()
    // Who left the group may hold the pipes open, and go on talking.
    for (const reader of this.#readers) reader.cancel().catch(() => {})
  }

  /** The ladder. Signals are for those who ignore the end of their input. */
  async #end(): Promise<void> {
    const { pid, exited } = this.#process
    // Not awaited: it would take until a child that does not read is killed.
    if (!this.#writing) void this.#write()
    if (await isGone(pid, STEP)) return
    signalGroup(pid, 'SIGTERM')
    if (await isGone(pid, STEP)) return
    signalGroup(pid, 'SIGKILL')
    await Promise.all([exited, isGone(pid, STEP)])
  }
}

const STREAM = { stream: true }

/** Enough to find programs, the home directory and the language; nothing that is likely to hold a secret. */
const INHERITED =
  process.platform === 'win32'
    ? [
        'APPDATA',
        'COMSPEC',
        'HOMEDRIVE',
        'HOMEPATH',
        'LOCALAPPDATA',
        'PATH',
        'PATHEXT',
        'PROCESSOR_ARCHITECTURE',
        'PROGRAMFILES',
        'SYSTEMDRIVE',
        'SYSTEMROOT',
        'TEMP',
        'TMP',
        'USERNAME',
        'USERPROFILE',
      ]
    : [
        'HOME',
        'LANG',
        'LC_ALL',
        'LC_CTYPE',
        'LOGNAME',
        'NODE_EXTRA_CA_CERTS',
        'PATH',
        'SHELL',
        'SSL_CERT_DIR',
        'SSL_CERT_FILE',
        'TERM',
        'TMPDIR',
        'TZ',
        'USER',
        'XDG_CACHE_HOME',
        'XDG_CONFIG_HOME',
        'XDG_DATA_HOME',
      ]

/** Without what was set for this process alone. */
function ours(): Record<string, string | undefined> {
  const { BUN_CONFIG_MAX_HTTP_REQUESTS, ...env } = process.env
  return env
}

function inherited(): Record<string, string> {
  const env: Record<string, string> = {}
  for (const name of INHERITED) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return env
}

function ending(process: Bun.Subprocess): string {
  if (process.signalCode) return `it was ended by ${process.signalCode}`
  if (process.exitCode !== null) return `it exited with code ${process.exitCode}`
  return 'it closed its stdin or stdout'
}

/** Waits until no process of the group is left. There is no event for that, so it looks, ever less often. */
async function isGone(group: number, within: number): Promise<boolean> {
  const deadline = performance.now() + within
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    if (!signalGroup(group, 0)) return true
    if (performance.now() > deadline) return false
    await Bun.sleep(pause)
  }
}

/** False if there is no such group any more. */
function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(process.platform === 'win32' ? group : -group, signal)
    return true
  } catch {
    return false
  }
}
