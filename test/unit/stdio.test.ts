/** A child process: what it is told and what it says, what it may know, and that nothing of it stays behind. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmod, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { Lines } from '../../src/upstream/lines.ts'
import {
  type Child,
  type ChildObserver,
  type Command,
  MAX_LINE,
  MAX_UNREAD,
  STDERR_KEPT,
  spawnChild,
} from '../../src/upstream/stdio.ts'

let directory: string
beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), 'stdio-test-')))
})
afterAll(() => rm(directory, { recursive: true }))

/** Long enough for every step of the ladder. */
const LADDER = 30_000

interface Started extends AsyncDisposable {
  child: Child
  /** All lines so far. */
  lines: string[]
  refused: { beginning: string; why: string }[]
  /** The next line. */
  next(): Promise<string>
  closed: Promise<Error>
}

/** A child whose owner does what a channel does: closes it when it is told that it has closed. */
function start(
  command: string,
  args: string[] = [],
  options: Partial<Command> = {},
  observer?: ChildObserver,
): Started {
  const lines: string[] = []
  const refused: Started['refused'] = []
  const closed = Promise.withResolvers<Error>()
  let arrived = Promise.withResolvers<void>()
  let taken = 0
  const child = spawnChild(
    { command, args, env: {}, inheritEnv: false, ...options },
    {
      receive(text) {
        lines.push(text)
        arrived.resolve()
      },
      refused: (beginning, why) => void refused.push({ beginning, why }),
      failed() {},
      closed(reason) {
        child.close()
        closed.resolve(reason)
      },
    },
    observer,
  )
  return {
    child,
    lines,
    refused,
    closed: closed.promise,
    async next() {
      while (taken === lines.length) {
        arrived = Promise.withResolvers()
        await arrived.promise
      }
      return lines[taken++]!
    },
    async [Symbol.asyncDispose]() {
      child.close()
      await child.gone
    },
  }
}

const sh = (script: string, ...args: string[]) => start('sh', ['-c', script, 'sh', ...args])

/** How many processes of a group are alive. Zombies wait for an init that takes its time. */
function living(group: number): number {
  const { stdout } = Bun.spawnSync(['ps', '-A', '-o', 'pgid=,stat='])
  const all = stdout.toString().trim().split('\n')
  return all.filter((line) => Number.parseInt(line, 10) === group && !line.includes('Z')).length
}

const isAlive = (pid: number) => {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'stat=', '-p', String(pid)])
  return /^\s*[^Z\s]/.test(stdout.toString())
}

/** Reads bytes that come in the given portions. */
function cut(portions: readonly Uint8Array[], limit = 1 << 20) {
  const told: string[] = []
  const lines = new Lines(limit, {
    receive: (text) => void told.push(text),
    refused: (beginning, why) => void told.push(`refused: ${beginning} (${why})`),
  })
  for (const portion of portions) lines.push(portion)
  return told
}

/** The same bytes in portions that end at the given places. */
function portions(bytes: Buffer, places: number[]): Buffer[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length]
  ends.sort((a, b) => a - b)
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}

const places = fc.array(fc.nat(), { maxLength: 30 })

describe('lines', () => {
  const line = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 60 }).map((text) => text.replaceAll('\n', '')),
    fc.constantFrom('', '\r', '\r\r', 'a\rb', '\ufeff{}', 'é😀\u2028', '{"a":"\\n"}', ' ', '\0'),
  )

  test('are cut at line feeds, wherever the portions end; carriage returns before them and empty lines go', () => {
    const ending = fc.constantFrom('\n', '\r\n', '\n\n', '\r\n\r\n')
    fc.assert(
      fc.property(fc.array(fc.tuple(line, ending)), line, places, (whole, rest, places) => {
        const text = whole.map((parts) => parts.join('')).join('') + rest
        const all = text.split('\n').slice(0, -1)
        const bare = all.map((line) => line.replace(/\r$/, '').replace(/^\ufeff/, ''))
        const expected = bare.filter((line) => line !== '')
        expect(cut(portions(Buffer.from(text), places))).toEqual(expected)
      }),
      { numRuns: 500 },
    )
  })

  test('that are no text become the same in whatever portions they come', () => {
    const byte = fc.oneof(fc.nat(255), fc.constantFrom(10, 13, 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0xef))
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 80 }), places, (bytes, places) => {
        const whole = Buffer.from([...bytes, 10])
        const expected: string[] = []
        for (let at = 0; at < whole.length; at = whole.indexOf(10, at) + 1) {
          const line = whole.subarray(at, whole.indexOf(10, at)).toString().replace(/\r$/, '')
          if (line !== '') expected.push(line)
        }
        expect(cut(portions(whole, places))).toEqual(expected)
      }),
      { numRuns: 500 },
    )
  })

  test('may be as long as the limit; of longer ones the two ends are told, and the next is read again', () => {
    const size = fc.oneof(fc.nat(30), fc.constantFrom(9, 10, 11, 1023, 1024, 1088, 1089, 3000))
    fc.assert(
      fc.property(fc.array(size), fc.nat(20), places, (sizes, limit, places) => {
        const all = sizes.map((size) =>
          Array.from({ length: size }, (_, i) => String.fromCharCode(97 + (i % 26))).join(''),
        )
        const expected = all.flatMap((line) => {
          if (line.length <= limit) return line === '' ? [] : [line]
          const ends = line.length <= 1088 ? line : line.slice(0, 1024) + line.slice(-64)
          return `refused: ${ends} (a message of ${line.length} bytes, over ${limit})`
        })
        const bytes = Buffer.from(all.map((line) => `${line}\n`).join(''))
        expect(cut(portions(bytes, places), limit)).toEqual(expected)
      }),
      { numRuns: 500 },
    )
  })

  test('are measured in bytes', () => {
    const bytes = Buffer.from('éé\nééx\n')
    for (let at = 0; at <= bytes.length; at++) {
      expect(cut([bytes.subarray(0, at), bytes.subarray(at)], 4)).toEqual([
        'éé',
        'refused: ééx (a message of 5 bytes, over 4)',
      ])
    }
  })

  test('of 64 MiB pass through a real child, and not one byte more', async () => {
    const line = `head -c "$1" /dev/zero | tr '\\0' x; echo`
    const big = `set -- ${MAX_LINE}; ${line}; set -- ${MAX_LINE + 1}; ${line}; echo after`
    await using started = sh(big)
    const first = await started.next()
    expect(first.length).toBe(64 * 1024 * 1024)
    expect(first.slice(-3)).toBe('xxx')
    expect(await started.next()).toBe('after')
    expect(started.refused).toEqual([
      { beginning: 'x'.repeat(1088), why: `a message of ${MAX_LINE + 1} bytes, over ${MAX_LINE}` },
    ])
  })
})

describe('what is sent', () => {
  test('arrives line by line in its order, however much it is', async () => {
    await using cat = start('cat')
    const texts = Array.from({ length: 32 }, (_, i) => `{"i":${i},"s":"${'é'.repeat(i * 20_000)}"}`)
    for (const text of texts) cat.child.send(text)
    for (const text of texts) expect((await cat.next()) === text).toBe(true)
    cat.child.settle('1', '{"answer":1}')
    cat.child.settle('2', undefined)
    cat.child.send('{"last":1}')
    expect([await cat.next(), await cat.next()]).toEqual(['{"answer":1}', '{"last":1}'])
  })

  test('is one line even if it was written over several, so that nobody can forge a message', async () => {
    await using cat = start('cat')
    const forged = '{"jsonrpc":"2.0","id":7,"method":"tools/call"}'
    cat.child.send(`{"params":{\n"a":\n${forged}\n,\r"b":\r\n"\\n\u2028"}\r\n}`)
    cat.child.send('{"a":\r1}')
    expect(await cat.next()).toBe(`{"params":{ "a": ${forged} , "b":  "\\n\u2028"}  }`)
    expect(await cat.next()).toBe('{"a": 1}')
  })

  test('before closing still arrives; what is sent after it does not', async () => {
    const file = join(directory, 'last-words')
    const { child } = sh('cat > "$1"', file)
    for (let i = 0; i < 1000; i++) child.send(`${i}:${'x'.repeat(1000)}`)
    child.close()
    child.send('too late')
    await child.gone
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
    expect(lines.map((line) => Number.parseInt(line, 10))).toEqual(lines.map((_, i) => i))
    expect(lines).toHaveLength(1000)
  })

  test('to a child that has exited, or was closed, harms nobody', async () => {
    const { child, closed } = start('true')
    await closed
    child.send('hello')
    child.settle('1', 'hello')
    await child.gone
    child.send('hello')
    child.close()
    expect(living(child.pid)).toBe(0)
  })
})

describe('a child', () => {
  const env = (lines: string[]) =>
    Object.fromEntries(lines.map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)]))

  const environment = async (options: Partial<Command>) => {
    await using started = start('env', [], options)
    await started.closed
    return env(started.lines)
  }

  beforeAll(() => {
    process.env.STDIO_TEST_SECRET = 'hunter2'
  })
  afterAll(() => {
    delete process.env.STDIO_TEST_SECRET
  })

  test('sees of our environment what it needs, and no more', async () => {
    const seen = await environment({ env: { OWN: 'a=b c', HOME: '/elsewhere' } })
    expect(seen).toMatchObject({ OWN: 'a=b c', HOME: '/elsewhere', PATH: process.env.PATH! })
    expect(seen).not.toHaveProperty('STDIO_TEST_SECRET')
    const harmless = /^(HOME|LANG|LC_\w+|LOGNAME|PATH|SHELL|TERM|TMPDIR|TZ|USER|XDG_\w+|OWN)$/
    const certificates = /^(SSL_CERT_\w+|NODE_EXTRA_CA_CERTS)$/
    // What the system itself adds is nobody's secret.
    const odd = Object.keys(seen).filter((name) => !harmless.test(name) && !certificates.test(name))
    expect(odd.filter((name) => name in process.env && name !== '_')).toEqual([])
  })

  test('sees all of it if it shall; its own variables win', async () => {
    const all = await environment({ inheritEnv: true })
    expect(all.STDIO_TEST_SECRET).toBe('hunter2')
    const own = await environment({ inheritEnv: true, env: { STDIO_TEST_SECRET: 'mine' } })
    expect(own.STDIO_TEST_SECRET).toBe('mine')
    expect(process.env.STDIO_TEST_SECRET).toBe('hunter2')
  })

  test('runs where it shall', async () => {
    await using pwd = start('pwd', [], { cwd: directory })
    expect(await pwd.next()).toBe(directory)
  })

  test('is looked up in its own PATH', async () => {
    const program = join(directory, 'only-here')
    await writeFile(program, '#!/bin/sh\necho found "$0"\n')
    await chmod(program, 0o755)
    await using started = start('only-here', [], { env: { PATH: directory } })
    expect(await started.next()).toBe(`found ${program}`)
    expect(() => start('only-here')).toThrow('only-here')
    expect(() => start('cat', [], { env: { PATH: directory } })).toThrow('cat')
  })

  test('gets its arguments as they are: no shell sees them', async () => {
    const args = [
      ...['', ' ', 'a b', '$(touch forged)', '`touch forged`', '; touch forged', '| cat', '&', '*'],
      ...['~', '$HOME', '"', "'", '\\', '\\n', '-n', '--', '#', '%s', 'é😀\u2028', '\t', '>forged'],
    ]
    const script = 'for arg; do printf "<%s>" "$arg"; done; echo; ls'
    await using started = start('sh', ['-c', script, 'sh', ...args], { cwd: directory })
    expect(await started.next()).toBe(args.map((arg) => `<${arg}>`).join(''))
    await started.closed
    expect(started.lines.slice(1)).not.toContain('forged')
  })

  test.each([
    ['there is no such command', 'no-such-command', {}],
    ['the command is a whole command line', 'echo hello', {}],
    ['the command is a line of shell', 'true; true', {}],
    ['the command is a directory', '/', {}],
    ['the command may not be executed', '/dev/null', {}],
    ['the command is empty', '', {}],
    ['there is no such directory', 'cat', { cwd: '/no/such/directory' }],
  ])('cannot be started where %s', (_, command, options) => {
    expect(() => start(command, [], options)).toThrow(Error)
  })

  test('tells its process id', async () => {
    await using started = start('sh', ['-c', 'echo $$'])
    expect(await started.next()).toBe(String(started.child.pid))
  })
})

describe('stderr', () => {
  test('is drained, and the last of it kept', async () => {
    let size = 0
    const script = `head -c 10000000 /dev/zero | tr '\\0' e >&2; echo the end >&2; echo done`
    await using started = start(
      'sh',
      ['-c', script],
      {},
      { onStderr: (text) => (size += text.length) },
    )
    expect(await started.next()).toBe('done')
    await started.closed
    expect(size).toBe(10_000_008)
    expect(started.child.stderr).toBe(`${'e'.repeat(STDERR_KEPT - 8)}the end\n`)
  })

  test('is text, wherever its portions end', async () => {
    const text = `x${'é😀'.repeat(300_000)}`
    const told: string[] = []
    const script = 'fs.writeFileSync(2, "x" + "é😀".repeat(300_000))'
    const options = { onStderr: (text: string) => void told.push(text) }
    await using started = start(process.execPath, ['-e', script], {}, options)
    await started.closed
    expect(told.join('') === text).toBe(true)
    expect(started.child.stderr).toBe(text.slice(-STDERR_KEPT))
  })

  test('is told by whole lines, and at the end what is left of one', async () => {
    const told: string[] = []
    const script = 'printf one >&2; sleep 0.05; printf " and\\ntwo\\n\\nthree" >&2'
    const options = { onStderr: (text: string) => void told.push(text) }
    await using started = start('sh', ['-c', script], {}, options)
    await started.closed
    expect(told).toEqual(['one and\ntwo\n\n', 'three'])
    expect(started.child.stderr).toBe('one and\ntwo\n\nthree')
  })
})

describe('a child that ends by itself', () => {
  test.each([
    ['at once', 'exit 0', 'it exited with code 0', []],
    ['with an exit code', 'exit 7', 'it exited with code 7', []],
    ['by a signal', 'kill -9 $$', 'it was ended by SIGKILL', []],
    ['after its last words', 'echo "{}"; exit 3', 'it exited with code 3', ['{}']],
    ['in the middle of a line', 'echo "{}"; printf "{"; exit 4', 'it exited with code 4', ['{}']],
  ])('%s: it is told how, after all that it said', async (_, script, how, words) => {
    await using started = sh(script)
    expect((await started.closed).message).toBe(how)
    expect(started.lines).toEqual(words)
  })

  test('after very many last words', async () => {
    await using started = sh(`head -c 5000000 /dev/zero | tr '\\0' x; echo; exit 3`)
    expect((await started.closed).message).toBe('it exited with code 3')
    expect(started.lines.map(({ length }) => length)).toEqual([5_000_000])
  })
})

describe('a child that stays, but', () => {
  test.concurrent(
    'closed its stdout has closed: it cannot answer any more',
    async () => {
      await using started = sh('exec 1>&-; exec sleep 1000')
      expect((await started.closed).message).toBe('it closed its stdin or stdout')
      await started.child.gone
      expect(living(started.child.pid)).toBe(0)
    },
    LADDER,
  )

  test.concurrent(
    'closed its stdin has closed: it cannot be asked any more',
    async () => {
      await using started = sh('exec 0<&-; echo ready; exec sleep 1000')
      await started.next()
      started.child.send('hello')
      expect((await started.closed).message).toBe('it closed its stdin or stdout')
      await started.child.gone
      expect(living(started.child.pid)).toBe(0)
    },
    LADDER,
  )

  test.concurrent(
    'never reads is closed before too much waits for it, and does not stay behind',
    async () => {
      await using started = start('sleep', ['1000'])
      let closed = false
      started.closed.then(() => {
        closed = true
      })
      const megabyte = 'x'.repeat(2 ** 20)
      for (let sent = 0; sent < MAX_UNREAD; sent += megabyte.length) started.child.send(megabyte)
      await new Promise(setImmediate)
      expect(closed).toBe(false)
      started.child.send('{}')
      expect((await started.closed).message).toBe('it does not read its input')
      await started.child.gone
      expect(living(started.child.pid)).toBe(0)
    },
    LADDER,
  )
})

/** Whatever is left alone only hangs about. */
const LOITER = 'while :; do sleep 0.1; done'

describe('closing', () => {
  test.concurrent(
    'begins with the end of its input: whoever heeds it gets no signal',
    async () => {
      const file = join(directory, 'heeds-eof')
      const script = `trap 'echo TERM >> "$1"' TERM; echo up; cat > /dev/null; echo EOF >> "$1"`
      const { child, next } = sh(script, file)
      await next()
      child.close()
      child.close()
      await child.gone
      expect(await readFile(file, 'utf8')).toBe('EOF\n')
      expect(living(child.pid)).toBe(0)
    },
    LADDER,
  )

  test.concurrent(
    'goes on with SIGTERM, for whoever ignores that',
    async () => {
      const file = join(directory, 'heeds-term')
      const { child, next } = sh(`trap 'echo TERM > "$1"; exit' TERM; echo up; ${LOITER}`, file)
      await next()
      child.close()
      await child.gone
      expect(await readFile(file, 'utf8')).toBe('TERM\n')
      expect(living(child.pid)).toBe(0)
    },
    LADDER,
  )

  test.concurrent(
    'ends with SIGKILL, for whoever ignores that too',
    async () => {
      const { child, next } = sh(`trap '' TERM; echo up; ${LOITER}`)
      await next()
      child.close()
      await child.gone
      expect(living(child.pid)).toBe(0)
    },
    LADDER,
  )

  test.concurrent(
    'does not wait for a child that has not read what it was sent',
    async () => {
      const { child } = start('sleep', ['1000'])
      child.send('x'.repeat(2 ** 22))
      child.close()
      await child.gone
      expect(living(child.pid)).toBe(0)
    },
    LADDER,
  )

  test.concurrent.each([
    ['that keeps its pipes open', 'sleep 1000 & echo up; cat > /dev/null'],
    ['that ignores SIGTERM', `(trap '' TERM; ${LOITER}) & echo up; cat > /dev/null`],
    ['that has a child itself', `sh -c '(${LOITER}) & ${LOITER}' & echo up; cat > /dev/null`],
  ])(
    'takes a grandchild along %s',
    async (_, script) => {
      const { child, next } = sh(script)
      await next()
      expect(living(child.pid)).toBeGreaterThan(1)
      child.close()
      await child.gone
      expect(living(child.pid)).toBe(0)
    },
    LADDER,
  )

  test.concurrent(
    'takes the grandchildren along of a child that crashed; that it did is told at once',
    async () => {
      const { child, next, closed } = sh('sleep 1000 & echo $!; exit 5')
      const grandchild = Number(await next())
      expect((await closed).message).toBe('it exited with code 5')
      expect(isAlive(grandchild)).toBe(true)
      await child.gone
      expect(isAlive(grandchild)).toBe(false)
    },
    LADDER,
  )

  test.concurrent(
    'takes along what a real server started, even if neither wants to go',
    async () => {
      const server = join(import.meta.dir, '../support/servers/raw.ts')
      const { child, next } = start(process.execPath, [server])
      const call = async (id: number, name: string) => {
        child.send(`{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"${name}"}}`)
        return JSON.parse(await next()).result.content[0].text as string
      }
      const grandchild = Number(await call(1, 'grandchild'))
      expect(await call(2, 'ignore_term')).toBe('staying')
      expect(isAlive(grandchild)).toBe(true)
      child.close()
      await child.gone
      expect(isAlive(grandchild)).toBe(false)
      expect(living(child.pid)).toBe(0)
    },
    LADDER,
  )

  test.skipIf(!Bun.which('setsid')).concurrent(
    'stops listening to who left the group, and holds the pipes open',
    async () => {
      const outsider = 'echo $$; while echo still here; do sleep 0.02; done'
      const { child, next, lines } = sh(`setsid sh -c '${outsider}' & exit 0`)
      const pid = Number(await next())
      await child.gone
      const heard = lines.length
      // A broken pipe ends it.
      while (isAlive(pid)) await Bun.sleep(20)
      expect(lines).toHaveLength(heard)
    },
    LADDER,
  )
})
