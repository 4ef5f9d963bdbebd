/** The processes of a server: who gets which, and that spares are as good as new and leave nothing behind. */
import { describe, expect, test } from 'bun:test'
import * as v from 'valibot'
import { ServerSchema } from '../../src/config/server.ts'
import type { GatewayEvent } from '../../src/events.ts'
import { MAX_UNHEARD } from '../../src/upstream/commands.ts'
import { type Source, sourceOf } from '../../src/upstream/source.ts'
import { Watchdog } from '../../src/upstream/watchdog.ts'

/** Remembers what it guards, and what it does not any more. */
class Remembering extends Watchdog {
  readonly calls: string[] = []
  readonly #released = new Map<number, PromiseWithResolvers<void>>()

  override guard(group: number): void {
    this.calls.push(`+${group}`)
    super.guard(group)
  }

  override release(group: number): void {
    this.calls.push(`-${group}`)
    super.release(group)
    this.#waiting(group).resolve()
  }

  released(group: number): Promise<void> {
    return this.#waiting(group).promise
  }

  #waiting(group: number): PromiseWithResolvers<void> {
    const waiting = this.#released.get(group) ?? Promise.withResolvers<void>()
    this.#released.set(group, waiting)
    return waiting
  }
}

/** A source with all that it tells. Nothing of it survives the test. */
class Place implements AsyncDisposable {
  readonly watchdog = new Remembering()
  readonly events: GatewayEvent[] = []
  readonly source: Source
  #happened = Promise.withResolvers<void>()

  constructor(config: v.InferInput<typeof ServerSchema>) {
    const observe = (event: GatewayEvent) => {
      this.events.push(event)
      this.#happened.resolve()
    }
    this.source = sourceOf('one', v.parse(ServerSchema, config), observe, this.watchdog)
  }

  /** The processes started so far, in order. */
  get pids(): number[] {
    return this.events.flatMap((event) => (event.type === 'upstream_spawned' ? event.pid : []))
  }

  /** Why spares were lost or ended so far. */
  get reasons(): string[] {
    return this.events.flatMap((event) => (event.type === 'upstream_closed' ? event.reason : []))
  }

  /** Waits until one of this type has happened. */
  async event(type: GatewayEvent['type']): Promise<void> {
    while (!this.events.some((event) => event.type === type)) {
      this.#happened = Promise.withResolvers()
      await this.#happened.promise
    }
  }

  /** Connects, and closes the link when it is told that it has closed. */
  connect() {
    const told: string[] = []
    const heard = Promise.withResolvers<void>()
    const closed = Promise.withResolvers<Error>()
    const link = this.source.connect(
      {
        receive(text) {
          told.push(text)
          heard.resolve()
        },
        refused: (_, why) => void told.push(why),
        failed() {},
        closed(reason) {
          told.push(`closed: ${reason.message}`)
          link.close()
          closed.resolve(reason)
        },
      },
      () => {},
    )
    return { link, told, heard: heard.promise, closed: closed.promise }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.source.kill()
    await this.source.close(new Error('the test is over'))
    this.watchdog.close()
  }
}

const sh = (script: string, env = {}) =>
  new Place({ command: 'sh', args: ['-c', script], cwd: '/', env })

/** Orphans may wait seconds for an init that takes its time. */
const PATIENCE = 30_000

/** Says on stderr that it is there, and repeats what it is told. */
const ECHO = 'echo up >&2; exec cat'

const isThere = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('a spare process', () => {
  test('goes to the next who connects, and is replaced when that is asked for', async () => {
    await using place = sh(ECHO)
    const { source } = place
    source.spare(1)
    expect([source.processes, source.spawned]).toEqual([1, 1])
    source.spare(1)
    expect([source.processes, source.spawned]).toEqual([1, 1])

    const { link, told, heard } = place.connect()
    expect([source.processes, source.spawned]).toEqual([1, 1])
    expect(link.pid).toBe(place.pids[0]!)
    link.send('hello')
    await heard
    expect(told).toEqual(['hello'])

    source.spare(1)
    expect([source.processes, source.spawned]).toEqual([2, 2])
    expect(place.connect().link.pid).toBe(place.pids[1]!)
    expect(place.connect().link.pid).toBe(place.pids[2]!)
    expect([source.processes, source.spawned]).toEqual([3, 3])
    expect(place.reasons).toEqual([])
  })

  test('that is the oldest goes first', async () => {
    await using place = sh(ECHO)
    place.source.spare(3)
    const taken = [1, 2, 3].map(() => place.connect().link.pid!)
    expect(taken).toEqual(place.pids)
  })

  test('has not lost what it said before it was taken, and says it first', async () => {
    await using place = sh(`echo one; echo two; ${ECHO}`)
    place.source.spare(1)
    await place.event('upstream_stderr')
    // Its two pipes are read in one turn, in any order.
    await new Promise(setImmediate)
    const { link, told, heard } = place.connect()
    expect(told).toEqual([])
    link.send('three')
    await heard
    expect(told).toEqual(['one', 'two'])
    while (told.length < 3) await new Promise(setImmediate)
    expect(told).toEqual(['one', 'two', 'three'])
  })

  test('that is closed when it was just taken says what it has to say before', async () => {
    await using place = sh(`echo one; ${ECHO}`)
    place.source.spare(1)
    await place.event('upstream_stderr')
    await new Promise(setImmediate)
    const { told } = place.connect()
    await place.source.close(new Error('enough'))
    expect(told).toEqual(['one', 'closed: enough'])
  })

  test('that died is not used, and not replaced by itself', async () => {
    await using place = sh('echo my key is $KEY >&2; exit 3', { KEY: 'hunter2' })
    const { source, watchdog } = place
    source.spare(1)
    await place.event('upstream_closed')
    const why = 'it exited with code 3 (stderr: my key is [secret])'
    expect(place.reasons).toEqual([`a spare process: ${why}`])
    const [dead] = place.pids
    await watchdog.released(dead!)
    expect([source.processes, source.spawned]).toEqual([0, 1])
    const { link, closed } = place.connect()
    expect(link.pid).not.toBe(dead)
    expect((await closed).message).toBe('server "one" is gone: it exited with code 3')
    source.spare(1)
    expect(source.spawned).toBe(3)
  })

  test(
    'that died just now is neither used nor counted, though it is not known yet how it ended',
    async () => {
      // While somebody holds its pipes it may have more to say.
      await using place = sh('sleep 1000 & exit 3')
      const { source } = place
      source.spare(1)
      const [dead] = place.pids
      while (isThere(dead!)) await new Promise(setImmediate)
      expect(place.reasons).toEqual([])
      const { link } = place.connect()
      expect(link.pid).not.toBe(dead)
      source.spare(1)
      expect(source.spawned).toBe(3)
      await place.event('upstream_closed')
      expect(place.reasons).toEqual(['a spare process: it exited with code 3'])
    },
    PATIENCE,
  )

  test('that is surplus is ended, the youngest first', async () => {
    await using place = sh(ECHO)
    const { source, watchdog } = place
    source.spare(3)
    source.spare(1)
    const [first, ...others] = place.pids
    await Promise.all(others.map((pid) => watchdog.released(pid)))
    expect(others.map(isThere)).toEqual([false, false])
    expect([source.processes, source.spawned]).toEqual([1, 3])
    const reason = 'a spare process: it is not needed any more'
    expect(place.reasons).toEqual([reason, reason])
    expect(place.connect().link.pid).toBe(first!)
    source.spare(0)
    expect(source.processes).toBe(1)
  })

  test(
    'that talks without end is ended before it fills the memory',
    async () => {
      await using place = sh(`yes ${'x'.repeat(1023)} | head -c ${MAX_UNHEARD}; exec cat`)
      place.source.spare(1)
      await place.event('upstream_closed')
      expect(place.reasons).toEqual([
        'a spare process: it says too much before it is asked anything',
      ])
      await place.watchdog.released(place.pids[0]!)
      expect(place.source.processes).toBe(0)
    },
    PATIENCE,
  )

  test('has last words when it was taken', async () => {
    await using place = sh('read line; echo "no $line" >&2; exit 1')
    place.source.spare(1)
    const { link, closed } = place.connect()
    link.send('{}')
    expect(await closed).toMatchObject({ code: 'upstream_closed', server: 'one' })
    expect(place.source.lastWords(link)).toBe('stderr: no {}')
    expect(place.reasons).toEqual([])
  })

  test('that cannot be started is noted once; who connects is told', async () => {
    await using place = new Place({ command: 'no-such-command' })
    const { source } = place
    source.spare(2)
    source.spare(2)
    expect(place.events).toEqual([
      {
        type: 'upstream_note',
        server: 'one',
        text: 'no spare process: server "one" cannot be started: command not found: no-such-command',
      },
    ])
    expect([source.processes, source.spawned]).toEqual([0, 0])
    expect(() => place.connect()).toThrow('server "one" cannot be started')
  })

  test('is not kept of a URL', async () => {
    await using place = new Place({ url: 'http://127.0.0.1:1/mcp' })
    place.source.spare(3)
    expect([place.source.processes, place.source.spawned]).toEqual([0, 0])
    expect(place.events).toEqual([])
    const { link } = place.connect()
    expect(link.pid).toBeUndefined()
    link.close()
    await link.gone
  })
})

describe('all processes', () => {
  test('end when the source is closed, spares as well, and none is started any more', async () => {
    await using place = sh(ECHO)
    const { source } = place
    source.spare(3)
    const { link, told, closed } = place.connect()
    const reason = new Error('enough')
    await source.close(reason)
    expect(await closed).toBe(reason)
    await link.gone
    expect(place.pids.map(isThere)).toEqual([false, false, false])
    expect(told).toEqual(['closed: enough'])
    expect(place.reasons).toEqual(['a spare process: enough', 'a spare process: enough'])
    source.spare(2)
    expect([source.processes, source.spawned]).toEqual([0, 3])
  })

  test(
    'end at once when they are killed, and none is started any more',
    async () => {
      await using place = sh(`trap '' TERM; echo up >&2; while :; do sleep 1000; done`)
      const { source, watchdog } = place
      source.spare(2)
      const { closed } = place.connect()
      await place.event('upstream_stderr')
      source.kill()
      source.spare(2)
      expect((await closed).message).toBe('server "one" is gone: it was ended by SIGKILL')
      await Promise.all(place.pids.map((pid) => watchdog.released(pid)))
      expect([source.processes, source.spawned]).toEqual([0, 2])
    },
    PATIENCE,
  )

  test('are guarded from their start until they are gone', async () => {
    await using place = sh(ECHO)
    const { source, watchdog } = place
    source.spare(1)
    const first = place.connect().link
    const second = place.connect().link
    expect(watchdog.calls).toEqual([`+${first.pid}`, `+${second.pid}`])
    second.close()
    await second.gone
    await watchdog.released(second.pid!)
    await source.close(new Error('enough'))
    expect(watchdog.calls.slice(2)).toEqual([`-${second.pid}`, `-${first.pid}`])
  })
})
