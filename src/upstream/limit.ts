/** Finds processes that take more memory than they may. */
import { groupsMemory } from './memory.ts'

/** How often the memory of processes is looked at, in ms. */
const CHECK = 5_000

/** Watches process groups, each for whom it works. */
export class MemoryLimit<For> {
  readonly #most: number
  readonly #onOver: (whom: For, reason: string) => boolean
  readonly #groups = new Map<number, For>()
  readonly #timer: NodeJS.Timeout | undefined

  /**
   * @param most in bytes; undefined for no limit.
   * @param onOver told, until it says that it has done something about it.
   */
  constructor(most: number | undefined, onOver: (whom: For, reason: string) => boolean) {
    this.#most = most ?? Number.POSITIVE_INFINITY
    this.#onOver = onOver
    if (most === undefined) return
    this.#timer = setInterval(() => void this.#check(), CHECK)
    this.#timer.unref()
  }

  watch(group: number, whom: For): void {
    this.#groups.set(group, whom)
  }

  forget(group: number): void {
    this.#groups.delete(group)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #check(): Promise<void> {
    const used = await groupsMemory(new Set(this.#groups.keys()))
    for (const [group, bytes] of used) {
      const whom = bytes > this.#most ? this.#groups.get(group) : undefined
      if (whom === undefined) continue
      const reason = `its ${bytes} bytes of memory are over ${this.#most}`
      if (this.#onOver(whom, reason)) this.#groups.delete(group)
    }
  }
}
