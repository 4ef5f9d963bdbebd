/**
 * The processes of a server that is a command: one for each connection, and spares that nobody uses yet.
 *
 * A spare is as good as a process that was just started: it was sent nothing, and what it has said is kept for who takes
 * it. Every process is guarded until it is gone.
 */
import { existsSync } from 'node:fs'
import type { CommandServer } from '../config/schema.ts'
import { GatewayError, toError } from '../errors.ts'
import type { Receiver, Transport } from '../rpc/peer.ts'
import { revealed } from '../secret.ts'
import type { Link, Source, Surroundings } from './source.ts'
import { type Child, spawnChild } from './stdio.ts'

/** What a spare may say before anybody listens, in characters. One that says more is of no use. */
export const MAX_UNHEARD = 1024 * 1024

export class Commands implements Source {
  readonly hint: string
  readonly redact: (text: string) => string
  readonly #name: string
  readonly #config: CommandServer
  readonly #around: Surroundings
  readonly #children = new Map<Child, Inbox>()
  /** Those of them that nobody uses yet, the oldest first. */
  readonly #spares = new Set<Child>()
  /** Also those that are gone. */
  readonly #started = new WeakMap<Transport, Child>()
  /** Why there was no spare. Each is told once. */
  readonly #noted = new Set<string>()
  #spawned = 0
  /** Why everything is being ended. */
  #ending: Error | undefined

  constructor(name: string, config: CommandServer, around: Surroundings) {
    this.#name = name
    this.#config = config
    this.#around = around
    this.redact = around.redact
    this.hint = `run the command of mcpServers.${name} by hand to see what it says`
  }

  get obstacle(): string | undefined {
    return obstacleTo(this.#config)
  }

  get processes(): number {
    return this.#children.size
  }

  get spawned(): number {
    return this.#spawned
  }

  connect(receiver: Receiver): Link {
    const server = this.#name
    const mine: Receiver = {
      receive: (text) => receiver.receive(text),
      refused: (ends, why) => receiver.refused(ends, why),
      failed: (id, reason) => receiver.failed(id, reason),
      closed: (reason) =>
        receiver.closed(
          reason === this.#ending
            ? reason
            : new GatewayError('upstream_closed', `server "${server}" is gone: ${reason.message}`, {
                server,
                hint: 'the next call starts it again',
              }),
        ),
    }
    const spare = this.#living()[0]
    if (!spare) return this.#start(new Inbox(mine))
    this.#spares.delete(spare)
    this.#children.get(spare)!.handTo(mine)
    return spare
  }

  spare(count: number): void {
    if (this.#ending) return
    const living = this.#living()
    for (const surplus of living.slice(count)) this.#drop(surplus, 'it is not needed any more')
    try {
      for (let missing = count - living.length; missing > 0; missing--) this.#startSpare()
    } catch (error) {
      const text = `no spare process: ${this.redact(toError(error).message)}`
      if (this.#noted.has(text)) return
      this.#noted.add(text)
      this.#around.observe({ type: 'upstream_note', server: this.#name, text })
    }
  }

  lastWords(transport: Transport): string | undefined {
    const said = this.#started.get(transport)?.stderr
    const line = said?.trimEnd().split('\n').at(-1)?.trim().slice(0, 300)
    return line ? this.redact(`stderr: ${line}`) : undefined
  }

  async close(reason: Error): Promise<void> {
    this.#ending ??= reason
    for (const spare of this.#spares) this.#drop(spare, this.#ending.message)
    const open = [...this.#children]
    for (const [, inbox] of open) inbox.closed(this.#ending)
    await Promise.all(open.map(([child]) => child.gone))
  }

  kill(): void {
    this.#ending ??= new Error('it was killed')
    for (const child of this.#children.keys()) child.kill()
  }

  /** The spares that are of use. Of one that has just died it may not be known yet why. */
  #living(): Child[] {
    return [...this.#spares].filter((spare) => spare.isLiving)
  }

  #startSpare(): void {
    const inbox = new Inbox()
    const spare = this.#start(inbox)
    this.#spares.add(spare)
    inbox.onUnused = (reason) => {
      const words = this.lastWords(spare)
      this.#drop(spare, words ? `${reason.message} (${words})` : reason.message)
    }
  }

  #drop(spare: Child, why: string): void {
    if (!this.#spares.delete(spare)) return
    spare.close()
    const reason = `a spare process: ${why}`
    this.#around.observe({ type: 'upstream_closed', server: this.#name, reason })
  }

  #start(inbox: Inbox): Child {
    const { observe, watchdog } = this.#around
    const child = this.#spawn(inbox)
    const { pid } = child
    watchdog.guard(pid)
    this.#spawned++
    this.#started.set(child, child)
    this.#children.set(child, inbox)
    child.gone.then(() => {
      watchdog.release(pid)
      this.#children.delete(child)
    })
    observe({ type: 'upstream_spawned', server: this.#name, pid })
    return child
  }

  #spawn(receiver: Receiver): Child {
    const server = this.#name
    try {
      return spawnChild({ ...this.#config, env: revealed(this.#config.env) }, receiver, {
        onStderr: (text) =>
          this.#around.observe({ type: 'upstream_stderr', server, text: this.redact(text) }),
      })
    } catch (error) {
      const why = this.obstacle ?? toError(error).message
      throw new GatewayError(
        'upstream_unreachable',
        `server "${server}" cannot be started: ${why}`,
        { server, cause: error },
      )
    }
  }
}

/** Carries what a process says to who uses it, and keeps it as long as nobody does. */
class Inbox implements Receiver {
  /** Called if it becomes useless before anybody uses it. Maybe more than once. */
  onUnused: (reason: Error) => void = () => {}
  #receiver: Receiver | undefined
  #isTaken: boolean
  #kept: ((receiver: Receiver) => void)[] = []
  #unheard = 0

  constructor(receiver?: Receiver) {
    this.#receiver = receiver
    this.#isTaken = receiver !== undefined
  }

  handTo(receiver: Receiver): void {
    this.#isTaken = true
    // Who takes it has not got it before the call returns.
    queueMicrotask(() => {
      try {
        // More may be added meanwhile.
        for (const tell of this.#kept) tell(receiver)
      } finally {
        this.#kept = []
        this.#receiver = receiver
      }
    })
  }

  receive(text: string): void {
    if (this.#receiver) this.#receiver.receive(text)
    else this.#keep(text.length, (receiver) => receiver.receive(text))
  }

  refused(ends: string, why: string): void {
    if (this.#receiver) this.#receiver.refused(ends, why)
    else this.#keep(ends.length, (receiver) => receiver.refused(ends, why))
  }

  failed(id: number, reason: Error): void {
    this.#receiver?.failed(id, reason)
  }

  closed(reason: Error): void {
    if (this.#receiver) this.#receiver.closed(reason)
    else if (this.#isTaken) this.#keep(0, (receiver) => receiver.closed(reason))
    else this.onUnused(reason)
  }

  #keep(length: number, tell: (receiver: Receiver) => void): void {
    // Short ones cost something, too.
    this.#unheard += length + 100
    if (this.#isTaken || this.#unheard <= MAX_UNHEARD) this.#kept.push(tell)
    else this.onUnused(new Error('it says too much before it is asked anything'))
  }
}

/** Why the command cannot be started; undefined if nothing is in its way. */
function obstacleTo({ command, cwd, env }: CommandServer): string | undefined {
  const tilde = (path: string) => (path.startsWith('~') ? '; "~" is not expanded here' : '')
  if (cwd !== undefined && !existsSync(cwd)) return `its cwd does not exist: ${cwd}${tilde(cwd)}`
  const PATH = env.PATH?.reveal() ?? process.env.PATH ?? ''
  if (Bun.which(command, { PATH, ...(cwd === undefined ? {} : { cwd }) })) return undefined
  const words = /\s/.test(command) ? '; arguments are written under "args"' : ''
  return `command not found: ${command}${words}${tilde(command)}`
}
