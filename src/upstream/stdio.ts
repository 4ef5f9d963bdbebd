/**
 * A server as a child process: one JSON-RPC message per line on its stdin and stdout.
 *
 * The child leads a process group of its own, and the whole group goes when the transport closes. No line, queue or
 * stderr output grows without bound. The child sees a short list of our environment variables, never all of them.
 */
import type { Receiver, Transport } from '../rpc/channel.ts'

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
  onSpawn?(pid: number): void
  onStderr?(text: string): void
}

export interface Child extends Transport {
  readonly pid: number
  /** The last of what it wrote to stderr, at most {@link STDERR_KEPT} characters. */
  readonly stderr: string
  /** Resolves when no process of its group is left. */
  readonly gone: Promise<void>
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
  #queue: string[] = []
  #unread = 0
  #writing = false
  #closing = false
  #closed = Promise.withResolvers<void>()
  stderr = ''

  constructor(command: Command, receiver: Receiver, observer: ChildObserver) {
    this.#receiver = receiver
    this.#observer = observer
    const env = command.inheritEnv ? { ...process.env } : inherited()
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
    observer.onSpawn?.(this.#process.pid)
    const read = this.#readLines()
    const drained = this.#drainStderr()
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
    this.#queue.push(text)
    if (this.#writing) return
    this.#writing = true
    // Whatever this turn of the event loop has to say goes out in one write: nearly twice the rate.
    queueMicrotask(() => void this.#write())
  }

  settle(_id: string, text: string | undefined): void {
    if (text !== undefined) this.send(text)
  }

  close(): void {
    if (this.#closing) return
    this.#closing = true
    this.#closed.resolve()
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
    } catch {
      // It has closed its stdin: it is about to exit, and that will be reported.
    } finally {
      this.#writing = false
    }
  }

  async #readLines(): Promise<void> {
    const lines = new Lines(MAX_LINE, this.#receiver)
    const reader = this.#process.stdout.getReader()
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        lines.push(value)
      }
    } catch {
      // A broken pipe ends like a closed one.
    }
  }

  async #drainStderr(): Promise<void> {
    const decoder = new TextDecoder()
    try {
      for await (const chunk of this.#process.stderr) {
        const text = decoder.decode(chunk, { stream: true })
        this.stderr = (this.stderr + text).slice(-STDERR_KEPT)
        this.#observer.onStderr?.(text)
      }
    } catch {
      // As above.
    }
  }

  async #watch(read: Promise<void>, drained: Promise<void>): Promise<void> {
    const { exited } = this.#process
    const exitedFirst = await Promise.race([
      exited.then(() => true),
      this.#closed.promise.then(() => false),
    ])
    if (exitedFirst) {
      // Its last words may still be in the pipes; a grandchild may hold those open for ever.
      await Promise.race([Promise.all([read, drained]), Bun.sleep(200)])
      this.#receiver.closed(new Error(ending(this.#process)))
    }
    this.#closing = true
    await this.#end()
  }

  /** The ladder. stdin EOF is the only request to leave that every platform has; signals are for those who ignore it. */
  async #end(): Promise<void> {
    const { stdin, pid } = this.#process
    try {
      await stdin.end()
    } catch {
      // It is closed already.
    }
    if (await isGone(pid, STEP)) return
    signalGroup(pid, 'SIGTERM')
    if (await isGone(pid, STEP)) return
    signalGroup(pid, 'SIGKILL')
    await this.#process.exited
  }
}

/** Cuts bytes into lines of text, without the end of line. Of a line over the limit only the beginning is told. */
export class Lines {
  readonly #limit: number
  readonly #receiver: Pick<Receiver, 'receive' | 'refused'>
  #parts: Buffer[] = []
  #length = 0

  constructor(limit: number, receiver: Pick<Receiver, 'receive' | 'refused'>) {
    this.#limit = limit
    this.#receiver = receiver
  }

  push(bytes: Uint8Array): void {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let start = 0
    for (;;) {
      const end = chunk.indexOf(10, start)
      if (end < 0) {
        this.#keep(chunk.subarray(start))
        return
      }
      if (this.#length === 0) this.#tell(chunk, start, end)
      else {
        this.#keep(chunk.subarray(start, end))
        this.#tellParts()
      }
      start = end + 1
    }
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return
    this.#length += part.length
    if (this.#length <= this.#limit) this.#parts.push(part)
    else this.#parts = [Buffer.concat(this.#parts.slice(0, 1)).subarray(0, 1024)]
  }

  #tellParts(): void {
    const line = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    const length = this.#length
    this.#parts = []
    this.#length = 0
    if (length <= this.#limit) this.#tell(line, 0, line.length)
    else
      this.#receiver.refused(line.toString(), `a message of ${length} bytes, over ${this.#limit}`)
  }

  #tell(line: Buffer, start: number, end: number): void {
    if (end > start && line[end - 1] === 13) end--
    if (end > start) this.#receiver.receive(line.toString('utf8', start, end))
  }
}

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

function inherited(): Record<string, string> {
  const env: Record<string, string> = {}
  for (const name of INHERITED) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return env
}

function ending(process: Bun.Subprocess): string {
  return process.signalCode
    ? `it was ended by ${process.signalCode}`
    : `it exited with code ${process.exitCode}`
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
