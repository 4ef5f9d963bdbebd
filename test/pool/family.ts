/** For Linux alone: all processes that a gateway has to do with, whoever is their parent now. */
import { readdirSync, readFileSync } from 'node:fs'

/** A mark in the environment, which children leave to their children. */
export class Family {
  readonly #mark = crypto.randomUUID()

  /** To be configured for each server. */
  get env() {
    return { TEST_FAMILY: this.#mark }
  }

  /** The processes that are alive. A zombie has no environment any more. */
  get pids(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && read(`/proc/${name}/environ`).includes(this.#mark))
      .map(Number)
  }

  /** Those of the process that was started, and of what it started. */
  get groups(): number {
    const groups = this.pids.map(
      (pid) =>
        read(`/proc/${pid}/stat`)
          .replace(/^.*\) /, '')
          .split(' ')[2],
    )
    return new Set(groups.filter((group) => group !== undefined)).size
  }

  /** For a test that has failed. */
  kill(): void {
    for (const pid of this.pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It went by itself.
      }
    }
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // It is gone, or somebody else's.
    return ''
  }
}

export const hasProc = process.platform === 'linux'
