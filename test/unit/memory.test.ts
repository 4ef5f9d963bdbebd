/** How much memory the processes of a group have, as `ps` tells it, too. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { groupIn, groupsMemory } from '../../src/upstream/memory.ts'
import { type Folder, folder } from '../lifecycle/program.ts'

const MB = 1_000_000

/** A process that leads a group, and is ready to be measured. */
async function lead(...command: string[]) {
  const child = Bun.spawn(command, { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  await child.stdout.getReader().read()
  return {
    group: child.pid,
    async [Symbol.asyncDispose]() {
      process.kill(-child.pid, 'SIGKILL')
      await child.exited
    },
  }
}

/** A process that has so many MB, and says so. */
const HOLDING = `globalThis.held = Buffer.alloc(Number(process.argv[1]) * ${MB}, 1); console.log('ready'); setInterval(() => {}, 1e6)`
const holding = (megabytes: number) => [process.execPath, '-e', HOLDING, String(megabytes)]

/** As ps tells it, in bytes. */
function told(group: number): number {
  const { stdout } = Bun.spawnSync(['ps', '-A', '-o', 'pgid=,rss='])
  return stdout
    .toString()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .reduce((sum, [pgid, rss = 0]) => (pgid === group ? sum + rss * 1024 : sum), 0)
}

describe.skipIf(process.platform !== 'linux')('the memory of process groups', () => {
  let place: Folder
  beforeAll(async () => {
    place = await folder()
  })
  afterAll(() => place[Symbol.asyncDispose]())

  test('is what ps tells, with what it has grown by', async () => {
    await using small = await lead(...holding(1))
    await using large = await lead(...holding(101))
    const memory = await groupsMemory(new Set([small.group, large.group]))
    for (const { group } of [small, large]) {
      expect(Math.abs(memory.get(group)! - told(group))).toBeLessThan(2 * MB)
    }
    const more = memory.get(large.group)! - memory.get(small.group)!
    expect(Math.abs(more - 100 * MB)).toBeLessThan(10 * MB)
  })

  test('is that of all processes together, also of grandchildren', async () => {
    const [program, ...args] = holding(50)
    const quoted = args.map((arg) => `'${arg.replaceAll("'", "'\\''")}'`).join(' ')
    await using family = await lead('sh', '-c', `"${program}" ${quoted} & wait`)
    const memory = await groupsMemory(new Set([family.group]))
    expect(memory.get(family.group)).toBeGreaterThan(50 * MB)
    expect(Math.abs(memory.get(family.group)! - told(family.group))).toBeLessThan(2 * MB)
  })

  test('is found whatever the program is called', async () => {
    const path = join(place.path, '1) S 1 (2) (')
    await Bun.write(path, '#!/bin/sh\necho; while :; do sleep 1000; done')
    await chmod(path, 0o755)
    await using odd = await lead(path)
    expect((await groupsMemory(new Set([odd.group]))).get(odd.group)).toBeGreaterThan(0)
  })

  test('is unknown of those that are gone, and of those that nobody asked for', async () => {
    await using child = await lead('sh', '-c', 'echo; exec sleep 1000')
    const memory = await groupsMemory(new Set([child.group, 99_999_999]))
    expect([...memory.keys()]).toEqual([child.group])
    expect(await groupsMemory(new Set())).toEqual(new Map())
  })

  test('does not mind processes that come and go meanwhile', async () => {
    await using churn = await lead('sh', '-c', 'echo; while :; do /bin/true; done')
    const own = new Set([churn.group])
    for (let i = 0; i < 50; i++) {
      expect((await groupsMemory(own)).get(churn.group)).toBeGreaterThan(0)
    }
  })
})

describe('of /proc/PID/stat', () => {
  const rest = ['S', '17', '42', '42', '0', '-1', ...Array(44).fill('7')].join(' ')

  test.each([['sleep'], ['a b'], ['1) S 1 (2'], ['))) ('], ['line\nfeed) S 9 9'], ['']])(
    'the group is found behind the name %j',
    (name) => {
      expect(groupIn(`123 (${name}) ${rest}\n`)).toBe(42)
    },
  )

  test.each(['', '123 (sl', '123 (sleep) S', '123 (sleep) S 17'])('there is none in %j', (text) => {
    expect(groupIn(text)).toBeNaN()
  })
})
