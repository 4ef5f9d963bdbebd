/** The store in a file: with other processes, after a crash, and when the file is not as it should be. */
import { Database } from 'bun:sqlite'
import { afterAll, beforeEach, describe, expect, setSystemTime, test } from 'bun:test'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultDirectory, SqliteStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import { contract } from './contract.ts'

const root = mkdtempSync(join(tmpdir(), 'mcp-gateway-store-'))
afterAll(() => rmSync(root, { recursive: true }))

let made = 0
const freshDirectory = () => join(root, `${++made}`)
const directories = new WeakMap<Store, string>()

/** Root may do everything: until `return`, this process is nobody, if it is root. */
function leaveRoot(): { return(): void } {
  if (process.getuid?.() !== 0) return { return: () => {} }
  process.seteuid!(65_534)
  return { return: () => process.seteuid!(0) }
}

function at(directory: string): SqliteStore {
  const store = new SqliteStore(directory)
  directories.set(store, directory)
  return store
}

contract(
  'the store in a file',
  async () => at(freshDirectory()),
  async (store) => at(directories.get(store)!),
)

let directory: string
let file: string
beforeEach(() => {
  directory = freshDirectory()
  file = join(directory, 'mcp-gateway.sqlite')
})

const put = (store: Store, key: string, value: unknown = 1) =>
  store.update('services', key, () => ({ value }))
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

function writer(...args: string[]) {
  const script = new URL('writer.ts', import.meta.url).pathname
  return Bun.spawn([process.execPath, script, directory, ...args], { stdout: 'pipe' })
}

describe('with other processes', () => {
  test('loses none of 400 changes that two of them make at once', async () => {
    const processes = [writer('count', '200'), writer('count', '200')]
    expect(await Promise.all(processes.map(({ exited }) => exited))).toEqual([0, 0])
    await using store = closing(at(directory))
    expect(await store.get<number>('services', 'count')).toBe(400)
  })

  test('goes on with everything else while another one holds the file', async () => {
    await using store = closing(at(directory))
    await put(store, 'a')
    using other = new Database(file)
    other.run('BEGIN IMMEDIATE')
    let isDone = false
    const update = put(store, 'a', 2).then(() => {
      isDone = true
    })
    // Its turn comes after the first attempt to write.
    expect(await store.get<number>('services', 'a')).toBe(1)
    expect(isDone).toBe(false)
    other.run('COMMIT')
    await update
    expect(await store.get<number>('services', 'a')).toBe(2)
  })

  test('loses nothing that was acknowledged when one is killed in the middle of writing', async () => {
    const child = writer('endless')
    let output = ''
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      output += text
      if (output.includes('\n50\n')) child.kill('SIGKILL')
    }
    expect(await child.exited).not.toBe(0)
    const acknowledged = Number(output.trim().split('\n').at(-1))
    await using store = closing(at(directory))
    const kept = await store.get<number>('services', 'count')
    expect(acknowledged).toBeGreaterThanOrEqual(50)
    // One more may have been written and not told any more.
    expect([acknowledged, acknowledged + 1]).toContain(kept!)
    await put(store, 'count', 0)
    expect(await store.get<number>('services', 'count')).toBe(0)
  })
})

describe('the file', () => {
  test('is not made by who only reads', async () => {
    await using store = closing(at(directory))
    expect(await store.get('services', 'a')).toBeUndefined()
    expect(await Array.fromAsync(store.list('services'))).toEqual([])
    expect(existsSync(directory)).toBe(false)
  })

  test('is seen by a reader as soon as another one has made it', async () => {
    await using reader = closing(at(directory))
    await using store = closing(at(directory))
    expect(await reader.get('services', 'a')).toBeUndefined()
    await put(store, 'a')
    expect(await reader.get<number>('services', 'a')).toBe(1)
  })

  test('is for its owner alone, and so is what stands beside it', async () => {
    await using store = closing(at(directory))
    await put(store, 'a')
    expect(modeOf(directory)).toBe('700')
    const files = readdirSync(directory).sort()
    expect(files).toEqual(['', '-shm', '-wal'].map((end) => `mcp-gateway.sqlite${end}`))
    expect(files.map((name) => modeOf(join(directory, name)))).toEqual(['600', '600', '600'])
  })

  test('is taken from others if they could read it', async () => {
    const first = at(directory)
    await put(first, 'a')
    await first.close()
    chmodSync(file, 0o644)
    await using store = closing(at(directory))
    expect(await store.get<number>('services', 'a')).toBe(1)
    expect(modeOf(file)).toBe('600')
  })

  test('is all that is left after closing', async () => {
    const store = at(directory)
    await put(store, 'a')
    await store.close()
    expect(readdirSync(directory)).toEqual(['mcp-gateway.sqlite'])
  })

  test('is in the home of its user if nobody says otherwise', () => {
    expect(defaultDirectory({ HOME: '/home/alice' })).toBe('/home/alice/.mcp-gateway')
    expect(defaultDirectory({})).toEndWith('/.mcp-gateway')
  })

  test('does not grow with what has expired, and no write takes away much at once', async () => {
    await using store = closing(at(directory))
    const expiresAt = Date.now() + 1_000
    const short = (i: number) => store.update('services', `${i}`, () => ({ value: i, expiresAt }))
    for (let i = 0; i < 120; i++) await short(i)
    using raw = new Database(file, { readonly: true })
    const count = () => raw.query<{ n: number }, []>('SELECT count(*) AS n FROM entries').get()!.n
    const counts = [count()]
    setSystemTime(expiresAt)
    for (let i = 0; i < 3; i++) {
      await put(store, 'a')
      counts.push(count())
    }
    setSystemTime()
    expect(counts).toEqual([120, 71, 21, 1])
  })
})

describe('says what to do about', () => {
  const failing = async (store: SqliteStore) => {
    const error = await put(store, 'a').then(
      () => undefined,
      (error) => error,
    )
    await store.close()
    expect(error?.name).toBe('StoreError')
    return error.message as string
  }
  const written = async (change: (raw: Database) => void) => {
    const store = at(directory)
    await put(store, 'a')
    await store.close()
    using raw = new Database(file)
    change(raw)
  }

  test('a file of a newer version, and leaves it as it is', async () => {
    await written((raw) => raw.run('PRAGMA user_version = 99'))
    expect(await failing(at(directory))).toBe(
      `${file}: was written by a newer mcp-gateway; run that one, or choose another gateway.dataDir`,
    )
    using raw = new Database(file, { readonly: true })
    expect(raw.query<{ n: number }, []>('SELECT count(*) AS n FROM entries').get()?.n).toBe(1)
  })

  test('a file that is no database', async () => {
    await Bun.write(file, 'this is not a database '.repeat(100))
    expect(await failing(at(directory))).toStartWith(`${file}: is damaged, or something else; put`)
    expect(await Bun.file(file).text()).toStartWith('this is not')
  })

  test('a file that is damaged inside', async () => {
    await written(() => {})
    const bytes = await Bun.file(file).bytes()
    bytes.fill(0xff, 4096)
    await Bun.write(file, bytes)
    expect(await failing(at(directory))).toStartWith(`${file}: is damaged, or something else; put`)
  })

  test('a directory that is a file', async () => {
    await Bun.write(directory, '')
    const message = `${file}: cannot be there; choose a directory as gateway.dataDir`
    expect(await failing(at(directory))).toBe(message)
    expect(await failing(at(join(directory, 'inside')))).toContain('cannot be there')
  })

  test('a directory of somebody else', async () => {
    await written(() => {})
    chmodSync(root, 0o755)
    for (const mode of [0o500, 0o000]) {
      chmodSync(directory, mode)
      const asNobody = leaveRoot()
      try {
        const store = at(directory)
        const reading = store.get('services', 'a').catch(({ message }) => message)
        expect(await reading).toStartWith(`${file}: is not for this user; let it`)
        expect(await failing(store)).toStartWith(`${file}: is not for this user; let it`)
      } finally {
        asNobody.return()
      }
    }
    chmodSync(directory, 0o700)
  })

  test('a directory in which nothing can be made', async () => {
    expect(await failing(at('/proc/mcp-gateway'))).toContain('choose')
  })

  test('nothing any more, once it is mended', async () => {
    await Bun.write(directory, '')
    await using store = closing(at(directory))
    await expect(put(store, 'a')).rejects.toThrow('cannot be there')
    rmSync(directory)
    await put(store, 'a')
    expect(await store.get<number>('services', 'a')).toBe(1)
  })
})

/** Closed with its scope. */
function closing(store: SqliteStore): SqliteStore & AsyncDisposable {
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() })
}
