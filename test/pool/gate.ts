/** Waiting for what happens elsewhere: in a server, by calls of its tool `fetch`, and in what nobody tells us of. */

/** Calls that came here wait until they are let go. */
export class Gate implements Disposable {
  /** How many waited at once, at most. */
  most = 0
  readonly #server: Bun.Server<undefined>
  readonly #held: (() => void)[] = []
  #isOpen = false

  /** @param full lets those go that wait, as soon as there are so many. */
  constructor(full = Number.POSITIVE_INFINITY) {
    this.#server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      idleTimeout: 0,
      fetch: async () => {
        if (!this.#isOpen) {
          const { promise, resolve } = Promise.withResolvers<void>()
          this.#held.push(resolve)
          this.most = Math.max(this.most, this.#held.length)
          if (this.#held.length >= full) this.letGo()
          await promise
        }
        return new Response('through')
      },
    })
  }

  /** The arguments of `fetch`. */
  get args() {
    return { url: this.#server.url.href }
  }

  /** Resolves when so many wait. */
  held(count: number): Promise<void> {
    return until(`${count} calls wait`, () => this.#held.length >= count)
  }

  /** Those who wait now. */
  letGo(): void {
    for (const go of this.#held.splice(0)) go()
  }

  /** Also those who come later. */
  open(): void {
    this.#isOpen = true
    this.letGo()
  }

  [Symbol.dispose](): void {
    this.open()
    void this.#server.stop(true)
  }
}

/**
 * For what there is no event.
 *
 * @throws {Error} if it is not so in time: it will never be.
 */
export async function until(
  what: string,
  isSo: () => unknown | Promise<unknown>,
  ms = 20_000,
): Promise<void> {
  const end = performance.now() + ms
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await Bun.sleep(5)
  }
}
