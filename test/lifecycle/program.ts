/**
 * The program as its users start it: a child process in a folder of its own, with hardly any environment.
 */
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export const ROOT = new URL('../..', import.meta.url).pathname

/** A temporary folder, gone with its scope. */
export interface Folder extends AsyncDisposable {
  readonly path: string
}

/** Texts are written as they are, everything else as JSON. */
export async function folder(files: Record<string, unknown> = {}): Promise<Folder> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'mcp-gateway-')))
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true })
    await Bun.write(join(path, name), typeof content === 'string' ? content : toJson(content))
  }
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

const toJson = (value: unknown) => JSON.stringify(value, undefined, 2)

export interface Options {
  /** Where it is started; its home, too. */
  in: Folder
  env?: Record<string, string>
  /** Instead of the sources. */
  executable?: string
}

/** Runs the program to its end. */
export async function run(argv: string[], options: Options) {
  const child = spawn(argv, options)
  const [code, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ])
  return { code, stdout, stderr }
}

/** Starts the program and waits for its banner. */
export async function start(argv: string[], options: Options): Promise<Program> {
  const program = new Program(spawn(argv, options))
  try {
    await program.stdout.until(/ on http.*\n$/s)
    return program
  } catch {
    const code = await program.exited
    throw new Error(`no banner, exit code ${code}: ${program.stderr.text}`)
  }
}

/** Starts the program to talk to it: a line written is a message, and so is a line read. */
export function talk(argv: string[], options: Options): Talk {
  return new Talk(spawn(argv, options, 'pipe'))
}

export class Talk implements AsyncDisposable {
  readonly #child: Child<'pipe'>
  readonly stdout: Output
  readonly stderr: Output
  #read = 0

  constructor(child: Child<'pipe'>) {
    this.#child = child
    this.stdout = new Output(child.stdout)
    this.stderr = new Output(child.stderr)
  }

  /** As it is, without an end of line. */
  write(text: string): void {
    this.#child.stdin.write(text)
    this.#child.stdin.flush()
  }

  async line(): Promise<string> {
    const from = this.#read
    await this.stdout.until(new RegExp(`^[^]{${from}}[^\\n]*\\n`))
    const end = this.stdout.text.indexOf('\n', from)
    this.#read = end + 1
    return this.stdout.text.slice(from, end)
  }

  /** Ends its input. The exit code. */
  async end(): Promise<number> {
    this.#child.stdin.end()
    const [code] = await Promise.all([this.#child.exited, this.stdout.ended, this.stderr.ended])
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#child.exited
  }
}

export class Program implements AsyncDisposable {
  readonly #child: Child
  readonly stdout: Output
  readonly stderr: Output

  constructor(child: Child) {
    this.#child = child
    this.stdout = new Output(child.stdout)
    this.stderr = new Output(child.stderr)
  }

  get pid(): number {
    return this.#child.pid
  }

  /** As the banner has it: `http://127.0.0.1:PORT/`. */
  get url(): URL {
    return new URL(/ on (http\S+)/.exec(this.stdout.text)![1]!)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** The exit code, once everything it said has been read. */
  get exited(): Promise<number> {
    return Promise.all([this.#child.exited, this.stdout.ended, this.stderr.ended]).then(
      ([code]) => code,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#child.exited
  }
}

/** What has come from a stream so far. */
export class Output {
  text = ''
  readonly ended: Promise<void>
  #more = Promise.withResolvers<boolean>()

  constructor(stream: ReadableStream<Uint8Array>) {
    this.ended = this.#read(stream)
  }

  /** Waits until the text so far matches. Rejects when it ends without. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const more = this.#more.promise
      const found = pattern.exec(this.text)
      if (found) return found
      if (!(await more)) throw new Error(`ended without ${pattern}: ${this.text}`)
    }
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    for await (const chunk of stream) {
      this.text += decoder.decode(chunk, { stream: true })
      this.#more.resolve(true)
      this.#more = Promise.withResolvers()
    }
    this.#more.resolve(false)
  }
}

type Child<In extends 'ignore' | 'pipe' = 'ignore'> = Bun.Subprocess<In, 'pipe', 'pipe'>

function spawn<In extends 'ignore' | 'pipe' = 'ignore'>(
  argv: string[],
  { in: { path }, env, executable }: Options,
  stdin = 'ignore' as In,
): Child<In> {
  const program = executable ? [executable] : [process.execPath, join(ROOT, 'src/main.ts')]
  return Bun.spawn([...program, ...argv], {
    cwd: path,
    env: { PATH: process.env.PATH, HOME: path, ...env },
    stdin,
    stdout: 'pipe',
    stderr: 'pipe',
  })
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Resolves when there is no such process. It was not our child, so nobody tells us. */
export async function isGone(pid: number): Promise<void> {
  while (isAlive(pid)) await Bun.sleep(10)
}
