/**
 * A configuration in our words, as it is made of one in other words: each option knows where it was written.
 *
 * What cannot be taken over is told of at its place: as a warning if the rest goes on working, as a refusal if it does not.
 */
import type { Path } from './document.ts'

/** Something about the place in the original where it was written. */
export interface Remark {
  path: Path
  what: string
}

type Branch = Record<string | number, unknown>

export class Draft {
  /** As somebody would have written it. */
  readonly native: Record<string, unknown> = {}
  readonly warnings: Remark[] = []
  readonly refusals: Remark[] = []
  readonly #origins = new Map<string, Path>()

  /**
   * Writes an option. Undefined writes nothing, so that what is missing there is missing here.
   *
   * @param from where its value is in the original.
   */
  set(path: Path, value: unknown, from: Path): void {
    if (value === undefined) return
    let at = this.native as Branch
    for (const [i, key] of path.slice(0, -1).entries()) {
      // A name may be one that every object has.
      const known = Object.hasOwn(at, key) ? at[key] : undefined
      const inner = known ?? (typeof path[i + 1] === 'number' ? [] : {})
      at[key] = inner
      at = inner as Branch
    }
    at[path.at(-1)!] = value
    this.#origins.set(JSON.stringify(path), from)
  }

  /** It goes on working, but not as it did, or not all of it. */
  warn(path: Path, what: string): void {
    this.warnings.push({ path, what })
  }

  /** It cannot be used. */
  refuse(path: Path, what: string): void {
    this.refusals.push({ path, what })
  }

  /** Where in the original something of ours was written: what it is inside of, if not itself. */
  from(path: Path): Path {
    for (let length = path.length; length > 0; length--) {
      const origin = this.#origins.get(JSON.stringify(path.slice(0, length)))
      if (origin) return [...origin, ...path.slice(length)]
    }
    return []
  }
}
