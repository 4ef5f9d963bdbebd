/**
 * What access tokens are good for, without asking the store each time.
 *
 * What was looked up within the last second is answered at once, so that a revocation in another process counts within a
 * second, and one in this process immediately. Of tokens only digests are remembered, and not of those that are not known;
 * but for a second, the tokens themselves: to digest one for each of many calls would cost as much as all else here.
 */
import { digest } from './grants/credential.ts'
import type { Access } from './grants.ts'

interface Checked {
  access: Access
  at: number
}

const FRESH = 1000
const MOST = 10_000

export class AccessTokens {
  readonly #find: (token: string) => Promise<Access | undefined>
  readonly #now: () => number
  /** By digest; who was looked up longest ago is first. */
  readonly #checked = new Map<string, Checked>()
  /** Those used in this second, by themselves. */
  readonly #hot = new Map<string, Checked>()
  #hotSince = 0
  /** Those that are being looked up. */
  readonly #asked = new Map<string, Promise<Access | undefined>>()
  /** How often something was revoked. What was asked for before is not remembered. */
  #revocations = 0

  /** @param find as `Grants.find` does. */
  constructor(find: (token: string) => Promise<Access | undefined>, now = Date.now) {
    this.#find = find
    this.#now = now
  }

  /** Undefined if it is good for nothing. The same object as long as it was not looked up again. */
  find(token: string): Access | undefined | Promise<Access | undefined> {
    const now = this.#now()
    if (now - this.#hotSince >= FRESH || now < this.#hotSince) {
      this.#hot.clear()
      this.#hotSince = now
    }
    const hot = this.#hot.get(token)
    if (hot && isFresh(hot, now)) return stillGood(hot, now)
    const key = digest(token)
    const known = this.#checked.get(key)
    if (known && isFresh(known, now)) {
      if (this.#hot.size < MOST) this.#hot.set(token, known)
      return stillGood(known, now)
    }
    const asked = this.#asked.get(key) ?? this.#look(token, key)
    this.#asked.set(key, asked)
    return asked
  }

  /** Nothing of a grant is good any more. */
  forget(grantId: string): void {
    this.#revocations++
    this.#asked.clear()
    this.#hot.clear()
    for (const [key, { access }] of this.#checked) {
      if (access.grantId === grantId) this.#checked.delete(key)
    }
  }

  async #look(token: string, key: string): Promise<Access | undefined> {
    const revocations = this.#revocations
    const at = this.#now()
    try {
      const access = await this.#find(token)
      if (revocations === this.#revocations) this.#remember(key, access, at)
      return access
    } finally {
      if (revocations === this.#revocations) this.#asked.delete(key)
    }
  }

  #remember(key: string, access: Access | undefined, at: number): void {
    this.#checked.delete(key)
    if (!access) return
    this.#checked.set(key, { access, at })
    if (this.#checked.size <= MOST) return
    this.#checked.delete(this.#checked.keys().next().value!)
    this.#hot.clear()
  }
}

function isFresh({ at }: Checked, now: number): boolean {
  return now - at < FRESH && now >= at
}

function stillGood({ access }: Checked, now: number): Access | undefined {
  return access.expiresAt > now ? access : undefined
}
