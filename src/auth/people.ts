/**
 * The people of the configuration, and how they prove who they are.
 *
 * Every attempt is as much work as any other, also for somebody who does not exist, and only a few are worked on at once:
 * each hash takes a tenth of a second and 64 MB. Whoever fails too often has to wait, by account and by address. A browser in
 * which somebody has logged in to an account before has a count of its own there: nobody can lock them out from elsewhere.
 */
import type { Config } from '../config/schema.ts'
import { countedAs } from './address.ts'
import type { Person } from './people/person.ts'
import { Throttle } from './people/throttle.ts'

type Users = NonNullable<Config['auth']['oauth']>['users']

/** Why somebody may not come in. Which of the two, name or password, was wrong is nobody's business. */
export interface Refusal {
  refused: 'wrong' | 'throttled' | 'busy'
  /** When another attempt makes sense, in seconds. */
  retryAfter?: number
}

/** Where an attempt comes from. */
export interface Origin {
  /** Undefined if it is not known: all of those count as one. */
  address: string | undefined
  /** The browser, if somebody has logged in there to this account before: something that only it can know. */
  browser?: string | undefined
}

export type Verify = (password: string, hash: string) => Promise<boolean>

/** Of a password that nobody knows; with the cost that `hash-password` takes. */
const NOBODY =
  '$argon2id$v=19$m=65536,t=2,p=1$6vLKTbwyoW5q9sPR7nCzVdOaJpYGfkUu0xH1QmEcL8s$bWNwLWdhdGV3YXkgaGFzIG5vIHN1Y2ggdXNlciBhdCA'

const LONGEST_PASSWORD = 1024
const AT_ONCE = 2
const WAITING = 16

const MINUTE = 60_000
const PER_ACCOUNT = { free: 5, first: 1000, longest: 15 * MINUTE, memory: 60 * MINUTE }
const PER_ADDRESS = { free: 30, first: 1000, longest: 15 * MINUTE, memory: 60 * MINUTE }

export class People {
  readonly #config: () => Config
  readonly #verify: Verify
  readonly #accounts: Throttle
  readonly #addresses: Throttle
  readonly #work = new Queue(AT_ONCE, WAITING)

  /** @param verify as of `Bun.password`. */
  constructor(
    config: () => Config,
    now: () => number = Date.now,
    verify: Verify = (password, hash) => Bun.password.verify(password, hash),
  ) {
    this.#config = config
    this.#verify = verify
    this.#accounts = new Throttle(PER_ACCOUNT, now)
    this.#addresses = new Throttle(PER_ADDRESS, now)
  }

  /** By `user:NAME`, as the configuration is now. */
  find(id: string): Person | undefined {
    const name = /^user:(.+)$/s.exec(id)?.[1]
    const users = this.#users
    const user = name !== undefined && Object.hasOwn(users, name) ? users[name] : undefined
    if (name === undefined || !user) return undefined
    return {
      id,
      name,
      isAdmin: user.admin,
      ...(user.servers && { servers: new Set(user.servers) }),
    }
  }

  async login(
    name: string,
    password: string,
    { address, browser }: Origin,
  ): Promise<Person | Refusal> {
    const place = countedAs(address)
    const account = `${browser ?? ''} ${name.slice(0, 100)}`
    const delay = Math.max(
      this.#accounts.delay(account),
      // Who shares an address with others must not suffer from them where they are known.
      browser === undefined ? this.#addresses.delay(place) : 0,
    )
    if (delay > 0) return { refused: 'throttled', retryAfter: Math.ceil(delay / 1000) }
    const work = this.#work.enter()
    if (!work) return { refused: 'busy', retryAfter: 5 }
    // Before it is known: a hundred that come at the same time are a hundred.
    this.#accounts.fail(account)
    this.#addresses.fail(place)
    await work
    let isRight = false
    try {
      isRight = await this.#isRight(name, password)
    } finally {
      this.#work.leave()
    }
    const person = isRight ? this.find(`user:${name}`) : undefined
    if (!person) return { refused: 'wrong' }
    this.#accounts.forget(account)
    this.#addresses.pardon(place)
    return person
  }

  /**
   * Something that stays the same as long as the password of somebody does, and says nothing about it to who does not know
   * the salt. Undefined if there is nobody.
   */
  mark(id: string, salt: string): string | undefined {
    const person = this.find(id)
    const password = person && this.#users[person.name]?.password.reveal()
    if (password === undefined) return undefined
    return new Bun.CryptoHasher('sha256', salt).update(password).digest('base64url')
  }

  get #users(): Users {
    return this.#config().auth.oauth?.users ?? {}
  }

  async #isRight(name: string, password: string): Promise<boolean> {
    const users = this.#users
    const known = Object.hasOwn(users, name) ? users[name]!.password.reveal() : undefined
    // An empty one would be no work.
    const isTaken = password !== '' && password.length <= LONGEST_PASSWORD
    const hash = known !== undefined && isHash(known) ? known : decoy(users)
    const matches = await this.#verify(isTaken ? password : '-', hash).catch(() => false)
    const isSame = isSameText(password, known ?? '')
    if (known === undefined || !isTaken) return false
    return isHash(known) ? matches : isSame
  }
}

/**
 * What is wrong with passwords, or less safe than it could be, a line for each.
 *
 * For where a configuration is loaded.
 */
export function passwordNotes({ auth: { oauth } }: Config): string[] {
  const users = Object.entries(oauth?.users ?? {})
  const notes = (isOf: (password: string) => boolean, what: string) => {
    const names = users.filter(([, { password }]) => isOf(password.reveal()))
    const shown = names.map(([name]) => JSON.stringify(name)).join(', ')
    return names.length === 0 ? [] : [`auth.oauth.users: ${shown}: ${what}`]
  }
  return [
    ...notes(
      (password) => !isHash(password),
      'the configuration holds the password itself; write what "mcp-gateway hash-password" prints',
    ),
    ...notes(
      (password) => isHash(password) && !WHOLE.test(password),
      'the hash is not a whole one, so nobody can log in with it; run "mcp-gateway hash-password" again',
    ),
  ]
}

const WHOLE =
  /^\$(?:argon2(?:id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[\w+/]+\$[\w+/]+|2[abxy]?\$\d\d\$[./A-Za-z\d]{53})$/

/** Whether a configured password is a hash of one, by its beginning. */
export function isHash(password: string): boolean {
  return /^\$(?:argon2(?:id|i|d)|2[abxy]?)\$/.test(password)
}

/** What is worked on for whoever has no hash: as much work as for the others, if theirs are of one kind. */
function decoy(users: Users): string {
  const hashes = Object.values(users).map(({ password }) => password.reveal())
  return hashes.find(isHash) ?? NOBODY
}

/** In a time that says nothing of where they differ. */
function isSameText(one: string, other: string): boolean {
  const [a, b] = [Bun.SHA256.hash(one), Bun.SHA256.hash(other)] as [Uint8Array, Uint8Array]
  return crypto.timingSafeEqual(a, b)
}

/** So many at once, so many behind them, and nobody else. */
class Queue {
  readonly #waiting: (() => void)[] = []
  readonly #most: number
  #free: number

  constructor(free: number, most: number) {
    this.#free = free
    this.#most = most
  }

  /** Resolves when it is one's turn. Undefined if too many wait already. */
  enter(): Promise<void> | undefined {
    if (this.#free > 0) {
      this.#free--
      return Promise.resolve()
    }
    if (this.#waiting.length >= this.#most) return undefined
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}
