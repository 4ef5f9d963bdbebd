/**
 * The browsers that people log in with, and who is logged in there.
 *
 * Two cookies. The one of the *browser* stays for months: forms are bound to it, and who has logged in there before. The one of
 * the *session* is given at a login, always a new one, and ends with it, after twelve hours, or when the password is changed.
 * Both are random, and nothing but their digests is kept.
 */
import { randomBytes } from 'node:crypto'
import type { Store } from '../../store/store.ts'
import type { Issuer } from '../issuer.ts'
import type { Person } from '../people/person.ts'
import type { People } from '../people.ts'

const HOUR = 3_600_000
const SESSION = 12 * HOUR
const FAMILIAR = 180 * 24 * HOUR
/** So many people one browser is familiar to. */
const MOST_FAMILIAR = 8

/** As they are kept, in `browser-sessions` and `browsers`. */
interface KeptSession {
  person: string
  mark: string
  since: number
}
type KeptFamiliar = string[]

export interface Session {
  /** Digest of the cookie. */
  readonly id: string
  readonly person: Person
  /** When they said their password, in ms since 1970. */
  readonly since: number
}

export class Browsers {
  readonly #store: Store
  readonly #people: People
  readonly #now: () => number

  constructor(store: Store, people: People, now: () => number = Date.now) {
    this.#store = store
    this.#people = people
    this.#now = now
  }

  /** The browser that a request comes from. */
  async visit(request: Request, issuer: Issuer): Promise<Visit> {
    const names = cookieNames(issuer)
    const cookies = cookiesOf(request.headers.get('cookie') ?? '')
    const known = cookies.get(names.browser)
    const browser = known !== undefined && isOurs(known) ? known : random()
    const session = await this.#session(cookies.get(names.session))
    const parts = { store: this.#store, people: this.#people, now: this.#now }
    return new Visit({ ...parts, issuer, browser, isNew: browser !== known, session })
  }

  async #session(cookie: string | undefined): Promise<Session | undefined> {
    if (cookie === undefined || !isOurs(cookie)) return undefined
    const id = digest(cookie)
    const kept = await this.#store.get<KeptSession>('browser-sessions', id)
    if (!kept || this.#now() - kept.since >= SESSION) return undefined
    const person = this.#people.find(kept.person)
    if (!person || this.#people.mark(kept.person, cookie) !== kept.mark) return undefined
    return { id, person, since: kept.since }
  }
}

interface Parts {
  store: Store
  people: People
  now: () => number
  issuer: Issuer
  browser: string
  isNew: boolean
  session: Session | undefined
}

/** One request of a browser, and what is to be changed there by the response. */
export class Visit {
  /** Digest of the cookie that stays. */
  readonly browser: string
  readonly #parts: Parts
  readonly #cookies: string[] = []
  #session: Session | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.browser = digest(parts.browser)
    this.#session = parts.session
    if (parts.isNew) this.#set('browser', parts.browser, FAMILIAR)
  }

  get session(): Session | undefined {
    return this.#session
  }

  /** The `Set-Cookie` headers of the response. */
  get cookies(): readonly string[] {
    return this.#cookies
  }

  /** Whether this person has logged in here before. */
  async knows(person: string): Promise<boolean> {
    const people = await this.#parts.store.get<KeptFamiliar>('browsers', this.browser)
    return people?.includes(person) ?? false
  }

  /** A session of somebody who has just proved who they are. The former one ends. */
  async start(person: Person): Promise<void> {
    const { store, people, now } = this.#parts
    await this.#forget()
    const cookie = random()
    const mark = people.mark(person.id, cookie)
    if (mark === undefined) return
    const [id, since] = [digest(cookie), now()]
    const value: KeptSession = { person: person.id, mark, since }
    await store.update('browser-sessions', id, () => ({ value, expiresAt: since + SESSION }))
    await store.update<KeptFamiliar>('browsers', this.browser, (old = []) => {
      const others = old.filter((one) => one !== person.id)
      return {
        value: [person.id, ...others].slice(0, MOST_FAMILIAR),
        expiresAt: since + FAMILIAR,
      }
    })
    this.#session = { id, person, since }
    this.#set('session', cookie, SESSION)
    // It is good for as long again.
    this.#set('browser', this.#parts.browser, FAMILIAR)
  }

  /** Logs out. */
  async end(): Promise<void> {
    await this.#forget()
    this.#set('session', '', 0)
  }

  async #forget(): Promise<void> {
    const former = this.#session
    this.#session = undefined
    if (former) await this.#parts.store.update('browser-sessions', former.id, () => undefined)
  }

  #set(which: 'session' | 'browser', value: string, lifetime: number): void {
    const { issuer } = this.#parts
    const name = cookieNames(issuer)[which]
    const secure = isSecure(issuer) ? '; Secure' : ''
    const cookie = `${name}=${value}; Path=/; Max-Age=${lifetime / 1000}; HttpOnly; SameSite=Lax${secure}`
    const others = this.#cookies.filter((one) => !one.startsWith(`${name}=`))
    this.#cookies.splice(0, this.#cookies.length, ...others, cookie)
  }
}

/**
 * Whether a form was sent by one of our own pages, as far as the browser says: it says so in one of three ways, and what
 * says nothing at all is not a browser of these years. Forms are bound to the cookie besides.
 */
export function isFromOurPages({ headers, url }: Request, issuer: Issuer): boolean {
  const site = headers.get('sec-fetch-site')
  if (site !== null && site !== 'same-origin' && site !== 'none') return false
  const origin = headers.get('origin')
  const referer = headers.get('referer')
  const said = origin ?? (referer === null ? undefined : (URL.parse(referer)?.origin ?? 'null'))
  if (said === undefined) return true
  return said === new URL(issuer.id).origin || said === new URL(url).origin
}

/** Browsers take `__Host-` over https only; there it keeps neighbouring domains from setting the cookie. */
function cookieNames(issuer: Issuer): Record<'session' | 'browser', string> {
  const prefix = isSecure(issuer) ? '__Host-' : ''
  return { session: `${prefix}mcp-gateway`, browser: `${prefix}mcp-gateway-browser` }
}

function isSecure(issuer: Issuer): boolean {
  return issuer.id.startsWith('https:')
}

/** Of several with one name none counts: somebody has put one there. */
function cookiesOf(header: string): Map<string, string> {
  const pairs = header.split(';').map((pair): [string, string] => {
    const at = pair.indexOf('=')
    return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()]
  })
  const names = pairs.map(([name]) => name)
  return new Map(pairs.filter(([name]) => names.indexOf(name) === names.lastIndexOf(name)))
}

function random(): string {
  return randomBytes(32).toString('base64url')
}

function isOurs(cookie: string): boolean {
  return /^[\w-]{43}$/.test(cookie)
}

function digest(cookie: string): string {
  return new Bun.CryptoHasher('sha256').update(cookie).digest('base64url')
}
