/**
 * What a form must know when it comes back, sealed into the form itself: for one browser, for ten minutes.
 *
 * So nobody can send a form that was not shown to them, and nothing is kept for who only looks at a page.
 */
import type { Seal } from '../../store/seal.ts'

const LIFETIME = 10 * 60_000
const LONGEST = 40_000

export class Forms {
  readonly #seal: Seal
  readonly #now: () => number

  constructor(seal: Seal, now: () => number = Date.now) {
    this.#seal = seal
    this.#now = now
  }

  /** @param browser the one that it is shown in. */
  seal(state: unknown, browser: string): Promise<string> {
    const expiresAt = this.#now() + LIFETIME
    return this.#seal.seal(JSON.stringify({ state, expiresAt }), placeOf(browser))
  }

  /** Undefined if it is too old, was shown in another browser, or was never shown. */
  async open<T>(sealed: string, browser: string): Promise<T | undefined> {
    if (sealed === '' || sealed.length > LONGEST) return undefined
    let text: string
    try {
      text = await this.#seal.unseal(sealed, placeOf(browser))
    } catch {
      return undefined
    }
    const { state, expiresAt } = JSON.parse(text) as { state: T; expiresAt: number }
    return this.#now() < expiresAt ? state : undefined
  }
}

const placeOf = (browser: string) => `oauth-form/${browser}`
