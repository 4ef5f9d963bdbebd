/** What becomes of child processes when who started them is killed by SIGKILL, which nobody can do anything about. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { Watchdog } from '../../src/upstream/watchdog.ts'
import { until } from '../pool/gate.ts'
import { type Folder, folder, isGone, Program, ROOT } from './program.ts'

let place: Folder
beforeAll(async () => {
  place = await folder()
})
afterAll(() => place[Symbol.asyncDispose]())

/** After this none of the children may be alive. */
const BOUND = 5_000
/** What a test may take that waits for it, and for a slow machine. */
const PATIENCE = 30_000

/** Two processes of one group, which take note of nothing: neither of the end of their input nor of a signal. */
const STUBBORN = 'trap "" TERM HUP INT; sleep 1000 & echo; exec sleep 1000'

/** A program that guards children, each a shell that runs `child` and says a line when it is ready. */
async function guarding(child: string, count: number, then = ''): Promise<Guarding> {
  const path = join(place.path, `${Bun.randomUUIDv7()}.ts`)
  await Bun.write(
    path,
    `import { Watchdog } from ${JSON.stringify(join(ROOT, 'src/upstream/watchdog.ts'))}
    const watchdog = new Watchdog(console.error)
    const children = Array.from({ length: ${count} }, () => {
      const child = Bun.spawn(['sh', '-c', ${JSON.stringify(child)}], {
        stdio: ['pipe', 'pipe', 'inherit'],
        detached: true,
      })
      watchdog.guard(child.pid)
      return child
    })
    await Promise.all(children.map(async ({ stdout }) => {
      const reader = stdout.getReader()
      await reader.read()
      await reader.cancel()
    }))
    ${then}
    console.log(children.map(({ pid }) => pid).join(' '), '.')`,
  )
  const stdio = ['ignore', 'pipe', 'pipe'] as const
  const program = new Program(Bun.spawn([process.execPath, path], { stdio: [...stdio] }))
  const [, list = ''] = await program.stdout.until(/(.*) \.\n/)
  return new Guarding(program, list.split(' ').map(Number))
}

class Guarding implements AsyncDisposable {
  readonly groups: number[]
  readonly program: Program

  constructor(program: Program, groups: number[]) {
    this.program = program
    this.groups = groups
  }

  /** Kills the program. How long it takes, in ms, until no process of its children is left. */
  async killed(): Promise<number> {
    const begun = performance.now()
    this.program.signal('SIGKILL')
    await none(this.groups)
    return performance.now() - begun
  }

  get watchdog(): number | undefined {
    return watchdogOf(this.program.pid)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]()
    for (const group of this.groups) {
      try {
        process.kill(-group, 'SIGKILL')
      } catch {
        // It is gone, as it should be.
      }
    }
  }
}

/** Rows of `ps` without zombies, which wait for an init that takes its time. */
function processes(...columns: string[]): string[][] {
  const { stdout } = Bun.spawnSync(['ps', '-A', '-ww', '-o', `stat=,${columns.join('=,')}=`])
  return stdout
    .toString()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([stat = 'Z']) => !stat.startsWith('Z') && stat !== '')
    .map(([, ...row]) => row)
}

function living(groups: number[]): number {
  const wanted = new Set(groups)
  return processes('pgid').filter(([group]) => wanted.has(Number(group))).length
}

async function none(groups: number[]): Promise<void> {
  while (living(groups) > 0) await Bun.sleep(20)
}

/** The watchdog of a process, if it has one now. */
function watchdogOf(parent: number, others: ReadonlySet<number> = new Set()): number | undefined {
  return watchdogsOf(parent).find((pid) => !others.has(pid))
}

function watchdogsOf(parent: number): number[] {
  return processes('ppid', 'pid', 'args')
    .filter(([ppid, , ...args]) => Number(ppid) === parent && args.includes('mcp-watchdog'))
    .map(([, pid]) => Number(pid))
}

/** Another watchdog than the one before. */
async function successor(
  parent: number,
  before: number,
  others?: ReadonlySet<number>,
): Promise<number> {
  for (;;) {
    const now = watchdogOf(parent, others)
    if (now !== undefined && now !== before) return now
    await Bun.sleep(10)
  }
}

describe('when the gateway is killed', () => {
  test(
    'children that ignore everything are gone within the bound, with their grandchildren, and so is the watchdog',
    async () => {
      await using guarded = await guarding(STUBBORN, 3)
      expect(living(guarded.groups)).toBe(6)
      const watchdog = guarded.watchdog!
      expect(await guarded.killed()).toBeLessThan(BOUND)
      await none([watchdog])
    },
    PATIENCE,
  )

  test(
    'two hundred of them, too',
    async () => {
      await using guarded = await guarding(STUBBORN, 200)
      expect(living(guarded.groups)).toBe(400)
      expect(await guarded.killed()).toBeLessThan(BOUND)
    },
    PATIENCE,
  )

  test(
    'children are first asked to go',
    async () => {
      const said = join(place.path, 'said')
      const polite = `trap 'echo bye > "${said}"; exit' TERM; echo; while :; do sleep 0.02; done`
      await using guarded = await guarding(polite, 1)
      expect(await guarded.killed()).toBeLessThan(BOUND)
      expect(readFileSync(said, 'utf8')).toBe('bye\n')
    },
    PATIENCE,
  )

  test(
    'groups that were gone before are left alone, whoever has their number now',
    async () => {
      const release = 'for (const i of [0, 2, 3]) watchdog.release(children[i].pid)'
      await using guarded = await guarding(STUBBORN, 4, release)
      const watchdog = guarded.watchdog!
      guarded.program.signal('SIGKILL')
      await none([watchdog, guarded.groups[1]!])
      expect(living(guarded.groups)).toBe(6)
    },
    PATIENCE,
  )

  test(
    'a watchdog that was sent every polite signal, and then was killed, has one that does the same',
    async () => {
      await using guarded = await guarding(STUBBORN, 2)
      const { pid } = guarded.program
      const first = guarded.watchdog!
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(first, signal)
      process.kill(first, 'SIGKILL')
      const second = await successor(pid, first)
      process.kill(second, 'SIGKILL')
      const third = await successor(pid, second)
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(third, signal)
      expect(watchdogOf(pid)).toBe(third)
      expect(await guarded.killed()).toBeLessThan(BOUND)
    },
    PATIENCE,
  )
})

describe('the watchdog', () => {
  /** Of gateways that other tests have in this process. */
  let others: ReadonlySet<number>
  beforeEach(() => {
    others = new Set(watchdogsOf(process.pid))
  })

  test(
    'keeps nobody alive, and ends with its owner',
    async () => {
      const end = 'for (const child of children) child.unref()'
      await using guarded = await guarding(STUBBORN, 2, end)
      expect(await guarded.program.exited).toBe(0)
      await none(guarded.groups)
      expect(guarded.program.stderr.text).toBe('')
    },
    PATIENCE,
  )

  test('is there once for all, from the first child until it is closed', async () => {
    const watchdog = new Watchdog((text) => expect.unreachable(text))
    expect(watchdogOf(process.pid, others)).toBeUndefined()
    const children = [1, 2, 3].map(() => Bun.spawn(['sleep', '1000'], { detached: true }))
    for (const { pid } of children) watchdog.guard(pid)
    const pid = watchdogOf(process.pid, others)!
    for (const child of children) {
      child.kill()
      await child.exited
      watchdog.release(child.pid)
    }
    expect(watchdogOf(process.pid, others)).toBe(pid)
    watchdog.close()
    watchdog.close()
    await isGone(pid)
    watchdog.guard(children[0]!.pid)
    watchdog.release(children[0]!.pid)
    expect(watchdogOf(process.pid, others)).toBeUndefined()
  })

  test('does no harm when it is killed while it is told of groups, and has not listened', async () => {
    const watchdog = new Watchdog()
    const child = Bun.spawn(['sleep', '1000'], { detached: true })
    watchdog.guard(child.pid)
    const first = watchdogOf(process.pid, others)!
    const tell = (times: number) => {
      for (let i = 0; i < times; i++) {
        watchdog.release(child.pid)
        watchdog.guard(child.pid)
      }
    }
    process.kill(first, 'SIGSTOP')
    // More than a pipe or a socket holds.
    tell(50_000)
    await Bun.sleep(1)
    process.kill(first, 'SIGKILL')
    for (let i = 0; i < 10; i++) {
      tell(100)
      await Bun.sleep(1)
    }
    const second = await successor(process.pid, first, others)
    watchdog.close()
    await child.exited
    await isGone(second)
    expect(child.signalCode).toBe('SIGTERM')
  })

  test.skipIf(!existsSync('/proc/self/fd'))(
    'knows nothing but PATH, holds nothing of ours, and is in a session of its own',
    async () => {
      const watchdog = new Watchdog()
      const child = Bun.spawn(['cat'], { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
      watchdog.guard(child.pid)
      const pid = watchdogOf(process.pid, others)!
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
      expect(environment.map((text) => text.split('=')[0])).toEqual(['PATH', ''])
      const held = () => readdirSync(`/proc/${pid}/fd`)
      // What has just been started has its libraries open for a moment.
      await until('it has started', () => held().length <= 3)
      const files = held().map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
      expect(files).toEqual([expect.stringMatching(/^(socket|pipe):/), '/dev/null', '/dev/null'])
      expect(processes('pid', 'sess').find(([id]) => Number(id) === pid)?.[1]).toBe(String(pid))
      watchdog.close()
      await child.exited
    },
  )

  test('that cannot be is noted once, and nothing else', () => {
    const notes: string[] = []
    const watchdog = new Watchdog((text) => notes.push(text), '/nowhere/sh')
    watchdog.guard(99_999_998)
    watchdog.guard(99_999_999)
    watchdog.release(99_999_998)
    watchdog.close()
    expect(notes).toEqual([expect.stringMatching(/^no watchdog: .* may survive: .*\/nowhere\/sh/)])
  })

  test('that ends at once, too', async () => {
    const notes: string[] = []
    const noted = Promise.withResolvers<void>()
    const watchdog = new Watchdog((text) => {
      notes.push(text)
      noted.resolve()
    }, '/bin/false')
    watchdog.guard(99_999_999)
    await noted.promise
    watchdog.guard(99_999_998)
    watchdog.close()
    expect(notes).toEqual([expect.stringMatching(/^no watchdog: .* it ended at once$/)])
  })
})
