/** The step before all others: a person says who they are. */
import type { Observer } from '../../events.ts'
import type { Issuer } from '../issuer.ts'
import type { People, Refusal } from '../people.ts'
import type { Visit } from './browser.ts'
import type { Forms } from './forms.ts'
import type { Pages } from './pages.ts'
import type { Data } from './template.ts'

/** One request of a person, as all pages know it. */
export interface Turn {
  issuer: Issuer
  visit: Visit
  /** Where it comes from; undefined if that is not known. */
  address: string | undefined
  /** What was typed and pressed; empty for who only comes to a page. */
  form: URLSearchParams
}

/** What a form remembers: what it is for, and whose it is, where somebody is logged in. */
export type Step =
  | { step: 'login'; query: string }
  | { step: 'login'; device: string }
  | { step: 'consent'; query: string; session: string }
  | { step: 'code'; session: string }
  | { step: 'device'; device: string; session: string }

/** The hidden field. */
export const FIELD = 'form'

const SAID: Record<Refusal['refused'], { status: number; text: string; hint: string }> = {
  wrong: { status: 403, text: 'Invalid user name or password. Please try again.', hint: '' },
  throttled: { status: 429, text: 'Too many attempts.', hint: ' Please try again in ' },
  busy: { status: 503, text: 'Too many people are signing in.', hint: ' Please try again in ' },
}

export class Login {
  readonly #people: People
  readonly #pages: Pages
  readonly #forms: Forms
  readonly #observe: Observer

  constructor(people: People, pages: Pages, forms: Forms, observe: Observer) {
    this.#people = people
    this.#pages = pages
    this.#forms = forms
    this.#observe = observe
  }

  /** The page, for what comes after it. */
  async show(turn: Turn, next: Step, data: Data, refusal?: Refusal): Promise<Response> {
    const { issuer, visit, form } = turn
    const said = refusal && SAID[refusal.refused]
    const retryAfter = refusal?.retryAfter
    const ErrorMessage = said ? said.text + (retryAfter ? said.hint + spoken(retryAfter) : '') : ''
    return this.#pages.render(
      'authorize',
      { ...data, Username: (form.get('username') ?? '').slice(0, 64), ErrorMessage },
      {
        issuer,
        status: said?.status ?? 200,
        fields: { [FIELD]: await this.#forms.seal(next, visit.browser) },
        cookies: visit.cookies,
        headers: retryAfter ? { 'retry-after': String(retryAfter) } : {},
      },
    )
  }

  /** Logs in with what was typed. Undefined if it was right. */
  async attempt({ form, visit, address }: Turn): Promise<Refusal | undefined> {
    const name = form.get('username') ?? ''
    const isKnown = await visit.knows(`user:${name}`)
    const result = await this.#people.login(name, form.get('password') ?? '', {
      address,
      browser: isKnown ? visit.browser : undefined,
    })
    const from = address ?? 'unknown'
    if ('refused' in result) {
      // People type their password there, too.
      const user = this.#people.find(`user:${name}`) ? name : '(unknown)'
      this.#observe({ type: 'login_refused', user, address: from, reason: result.refused })
      return result
    }
    await visit.start(result)
    this.#observe({ type: 'login', user: result.name, address: from })
    return undefined
  }
}

function spoken(seconds: number): string {
  if (seconds < 90) return `${seconds} seconds.`
  return `${Math.ceil(seconds / 60)} minutes.`
}
