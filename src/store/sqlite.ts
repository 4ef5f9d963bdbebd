/**
 * The store in a file, shared by all processes that are given the same directory.
 *
 * It is opened by the first write, or by the first read if the file is there: who keeps nothing has no file, and does
 * not wait for SQLite to load. Nothing here blocks for long: what another process holds is tried again later.
 */
import type { Database } from 'bun:sqlite'
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { toError } from '../errors.ts'
import { type Bucket, type Entry, type Store, StoreError } from './store.ts'

/** Where the file is if nobody says otherwise. */
export function defaultDirectory(env: Record<string, string | undefined>): string {
  return join(env.HOME || homedir(), '.mcp-gateway')
}

const FILE = 'mcp-gateway.sqlite'

/** What brings a file from each version to the next. Those that were ever released stay as they are. */
const MIGRATIONS = [
  `CREATE TABLE entries (
     bucket TEXT NOT NULL,
     key TEXT NOT NULL,
     value TEXT NOT NULL,
     expires_at REAL,
     PRIMARY KEY (bucket, key)
   ) STRICT;
   CREATE INDEX expiring ON entries (expires_at) WHERE expires_at IS NOT NULL;`,
]

/** How long, in ms, another process may hold the file. It does for less than one, if nothing is wrong. */
const PATIENCE = 10_000
/** That long SQLite itself waits, with everything else in this process. */
const BLOCKING = 5
/** Of expired entries, how many a write takes away. */
const SWEEP = 50
const PAGE = 100

interface Row {
  key: string
  value: string
}

export class SqliteStore implements Store {
  readonly #directory: string
  readonly #path: string
  #database: Promise<Database> | undefined
  #isClosed = false

  /** @param directory is made if it is not there. */
  constructor(directory: string) {
    this.#directory = directory
    this.#path = join(directory, FILE)
  }

  async get<T>(bucket: Bucket, key: string): Promise<T | undefined> {
    const row = await this.#read((database) => find(database, bucket, key))
    return row ? (JSON.parse(row.value) as T) : undefined
  }

  async update<T>(
    bucket: Bucket,
    key: string,
    change: (old: T | undefined) => Entry<T> | undefined,
  ): Promise<void> {
    let refusal: { error: unknown } | undefined
    const decide = (old: T | undefined) => {
      try {
        const entry = change(old)
        return entry && { text: textOf(entry.value), expiresAt: entry.expiresAt }
      } catch (error) {
        refusal = { error }
        throw error
      }
    }
    const database = await this.#open()
    const write = () => {
      const row = find(database, bucket, key)
      const next = decide(row ? (JSON.parse(row.value) as T) : undefined)
      if (next) {
        database
          .query('INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)')
          .run(bucket, key, next.text, next.expiresAt ?? null)
      } else {
        database.query('DELETE FROM entries WHERE bucket = ? AND key = ?').run(bucket, key)
      }
      sweep(database)
    }
    try {
      await this.#patiently(() => transact(database, write))
    } catch (error) {
      throw refusal ? refusal.error : error
    }
  }

  async *list<T>(bucket: Bucket): AsyncGenerator<[key: string, value: T]> {
    let last: string | undefined
    while (true) {
      const rows = (await this.#read((database) => page(database, bucket, last))) ?? []
      for (const { key, value } of rows) yield [key, JSON.parse(value) as T]
      if (rows.length < PAGE) return
      last = rows.at(-1)!.key
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const opened = this.#database
    this.#database = undefined
    // Whoever opened it was told why it failed.
    const database = await opened?.catch(() => undefined)
    database?.close()
  }

  /** Undefined also if there is nothing to read from. */
  async #read<T>(read: (database: Database) => T): Promise<T | undefined> {
    this.#check()
    if (!this.#database && !this.#isThere()) return undefined
    const database = await this.#open()
    return this.#patiently(() => read(database))
  }

  /** What cannot be looked at may well be there. */
  #isThere(): boolean {
    try {
      return statSync(this.#path, { throwIfNoEntry: false }) !== undefined
    } catch (error) {
      throw unusable(this.#path, error)
    }
  }

  #open(): Promise<Database> {
    this.#check()
    this.#database ??= this.#opened().catch((error) => {
      this.#database = undefined
      throw error
    })
    return this.#database
  }

  async #opened(): Promise<Database> {
    try {
      makeFile(this.#directory, this.#path)
    } catch (error) {
      throw unusable(this.#path, error)
    }
    const { Database } = await import('bun:sqlite')
    return this.#patiently(() => {
      const database = new Database(this.#path, { readwrite: true, create: false })
      try {
        database.run(`PRAGMA busy_timeout = ${BLOCKING}`)
        migrate(database, this.#path)
        return database
      } catch (error) {
        database.close()
        throw error
      }
    })
  }

  /** Does it as soon as no other process is in the way. */
  async #patiently<T>(act: () => T): Promise<T> {
    const deadline = performance.now() + PATIENCE
    while (true) {
      this.#check()
      try {
        return act()
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw unusable(this.#path, error)
      }
      // Those who wait for one another must not come back at the same time.
      await Bun.sleep(1 + Math.random() * 20)
    }
  }

  #check(): void {
    if (this.#isClosed) throw new StoreError(`${this.#path}: the store is closed`)
  }
}

/** Only its owner may read what is kept. A directory that was there before may hold other things, and stays as it is. */
function makeFile(directory: string, path: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  // Another one that is there is not opened: closing it would take away the locks that this process has on it.
  if (!existsSync(path)) writeNew(path)
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0
    if (mode & 0o077 && process.platform !== 'win32') chmodSync(file, 0o600)
  }
}

function writeNew(path: string): void {
  try {
    writeFileSync(path, '', { flag: 'wx', mode: 0o600 })
  } catch (error) {
    // Another process was faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** @throws {StoreError} if the file is of a version that is not known yet. */
function migrate(database: Database, path: string): void {
  if (versionOf(database) > MIGRATIONS.length) {
    throw new StoreError(
      `${path}: was written by a newer mcp-gateway; run that one, or choose another gateway.dataDir`,
    )
  }
  database.run('PRAGMA journal_mode = WAL')
  // What was revoked must stay so when the power fails, too.
  database.run('PRAGMA synchronous = FULL')
  if (versionOf(database) === MIGRATIONS.length) return
  transact(database, () => {
    for (const migration of MIGRATIONS.slice(versionOf(database))) database.run(migration)
    database.run(`PRAGMA user_version = ${MIGRATIONS.length}`)
  })
}

function versionOf(database: Database): number {
  const row = database.query<{ user_version: number }, []>('PRAGMA user_version').get()
  return row?.user_version ?? 0
}

/** All of it, or nothing. It writes alone from its beginning, so what it reads stays true. */
function transact(database: Database, act: () => void): void {
  database.run('BEGIN IMMEDIATE')
  try {
    act()
    database.run('COMMIT')
  } catch (error) {
    // Some errors have ended it already.
    if (database.inTransaction) database.run('ROLLBACK')
    throw error
  }
}

function find(database: Database, bucket: Bucket, key: string): Row | null {
  return database
    .query<Row, [string, string, number]>(
      'SELECT key, value FROM entries WHERE bucket = ? AND key = ? AND ifnull(expires_at, 9e99) > ?',
    )
    .get(bucket, key, Date.now())
}

/** The entries behind a key, or the first ones. */
function page(database: Database, bucket: Bucket, last: string | undefined): Row[] {
  const from = last === undefined ? '' : 'AND key > ?4'
  return database
    .query<Row, (string | number)[]>(
      `SELECT key, value FROM entries WHERE bucket = ?1 AND ifnull(expires_at, 9e99) > ?2 ${from}
       ORDER BY key LIMIT ?3`,
    )
    .all(bucket, Date.now(), PAGE, ...(last === undefined ? [] : [last]))
}

function sweep(database: Database): void {
  database
    .query(
      'DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries WHERE expires_at <= ? LIMIT ?)',
    )
    .run(Date.now(), SWEEP)
}

function textOf(value: unknown): string {
  const text: string | undefined = JSON.stringify(value)
  if (text === undefined) throw new TypeError('a value that JSON cannot say')
  return text
}

function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(codeOf(error))
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | undefined)?.code ?? '')
}

/** What is wrong with the file, and what to do. */
function unusable(path: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const code = codeOf(error)
  const [, what] = FAULTS.find(([codes]) => codes.test(code)) ?? []
  const { message } = toError(error)
  return new StoreError(`${path}: ${what ?? `cannot be used: ${message}`}`, { cause: error })
}

const FAULTS: [codes: RegExp, what: string][] = [
  [
    /^SQLITE_(NOTADB|CORRUPT)/,
    'is damaged, or something else; put a copy of it back, or move it away to begin with nothing',
  ],
  [
    /^(EACCES|EPERM|EROFS|SQLITE_(READONLY|CANTOPEN|PERM|AUTH))/,
    'is not for this user; let it read and write there, or choose another gateway.dataDir',
  ],
  [
    /^(ENOTDIR|EEXIST|EISDIR|ENOENT|ELOOP|ENAMETOOLONG)/,
    'cannot be there; choose a directory as gateway.dataDir',
  ],
  [/^(ENOSPC|EDQUOT|SQLITE_FULL)/, 'there is no space left; make some'],
  [/^SQLITE_(BUSY|LOCKED)/, 'another process holds it; end that, or try again'],
]
