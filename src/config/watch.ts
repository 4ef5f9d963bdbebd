/**
 * Tells when files are not what they were: written to, or replaced by another under the same name, as editors do it, or
 * behind a link, as orchestrators do it.
 *
 * A file that is gone is waited for: whoever replaces it may need two steps.
 */
import { type BigIntStats, type FSWatcher, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'

/** Where the system tells nothing, as on network drives, they are looked at this often, in ms. */
const LOOK = 2_000
/** Who writes a file seldom writes it in one go. */
const SETTLED = 50
/** The times of files lag behind the clock by one tick of the system, in ms. */
const TICK = 10

export class FileWatch {
  readonly #changed: () => void
  readonly #timer: NodeJS.Timeout
  #files = new Map<string, string>()
  /** How those look that have changed, as long as they have not settled. */
  #seen = ''
  #folders = new Map<string, FSWatcher | undefined>()
  #settling: NodeJS.Timeout | undefined

  /** As of {@link watch}. */
  constructor(files: readonly string[], since: number, changed: () => void) {
    this.#changed = changed
    this.#timer = setInterval(() => this.#look(), LOOK)
    this.#timer.unref()
    this.watch(files, since)
  }

  /**
   * From now on these are watched. Of those that were, no change is missed.
   *
   * @param since when whoever watches began to read them, in ms since 1970: what was written after that may not have been
   *   read, and counts as a change.
   */
  watch(files: readonly string[], since: number): void {
    const before = (file: string) => this.#files.get(file) ?? stampBefore(since - TICK, file)
    this.#files = new Map(files.map((file) => [file, before(file)]))
    const folders = new Set(files.map(dirname))
    for (const [folder, watcher] of this.#folders) {
      if (folders.has(folder)) continue
      watcher?.close()
      this.#folders.delete(folder)
    }
    for (const folder of folders) {
      if (!this.#folders.has(folder)) this.#folders.set(folder, undefined)
    }
    // The first watcher takes four milliseconds, which nobody is to wait for. Nothing is missed meanwhile.
    setImmediate(() => this.#watchFolders())
  }

  #watchFolders(): void {
    for (const [folder, watcher] of this.#folders) {
      if (!watcher) this.#folders.set(folder, this.#watchFolder(folder))
    }
    this.#look()
  }

  close(): void {
    clearInterval(this.#timer)
    clearTimeout(this.#settling)
    for (const watcher of this.#folders.values()) watcher?.close()
    this.#folders.clear()
  }

  #watchFolder(folder: string): FSWatcher | undefined {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#look())
      watcher.on('error', () => watcher.close())
      return watcher
    } catch {
      // There may be no more watchers to be had. It is still looked at.
      return undefined
    }
  }

  #look(): void {
    const seen = this.#difference()
    // Others in the folder, which are written to all the time, must not put it off for ever.
    if (seen === this.#seen) return
    this.#seen = seen
    clearTimeout(this.#settling)
    if (seen !== '') this.#settling = setTimeout(() => this.#settle(), SETTLED)
  }

  #settle(): void {
    this.#seen = ''
    if (this.#difference() === '') return
    for (const file of this.#files.keys()) this.#files.set(file, stamp(file))
    this.#changed()
  }

  /** How those look that have changed; '' if none has. */
  #difference(): string {
    return [...this.#files]
      .flatMap(([file, before]) => {
        const now = stamp(file)
        return now === GONE || now === before ? [] : `${file} ${now}`
      })
      .join('\n')
  }
}

const GONE = 'gone'
const UNREAD = 'unread'

function stamp(file: string): string {
  const stats = statsOf(file)
  return stats ? `${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeNs}` : GONE
}

/** What was put there later is not what was read. One that is moved keeps the time of its writing, but not the other. */
function stampBefore(time: number, file: string): string {
  const stats = statsOf(file)
  const isNewer = stats && Math.max(Number(stats.mtimeMs), Number(stats.ctimeMs)) >= time
  return isNewer ? UNREAD : stamp(file)
}

/** Undefined also if it may not be looked at, or is a link that leads nowhere: it may be better soon. */
function statsOf(file: string): BigIntStats | undefined {
  try {
    return statSync(file, { bigint: true, throwIfNoEntry: false })
  } catch {
    return undefined
  }
}
