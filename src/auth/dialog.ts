/**
 * The pages on which people log in and decide, as requests and responses.
 *
 * Every form comes to one place, and says itself what it is for: it is sealed, and none is taken that was not shown in this
 * browser, by us, within ten minutes.
 */
import { Authorize, type AuthorizeParts } from './dialog/authorize.ts'
import { type Browsers, isFromOurPages } from './dialog/browser.ts'
import { DevicePages, type DeviceParts } from './dialog/device-pages.ts'
import { FIELD, type Step, type Turn } from './dialog/login.ts'
import type { Issuer } from './issuer.ts'
import { OAuthError } from './oauth-error.ts'
import { readText } from './wire.ts'

export type DialogParts = AuthorizeParts & DeviceParts & { browsers: Browsers }

/** Where a request comes from. */
export interface From {
  issuer: Issuer
  address: string | undefined
}

const LONGEST_FORM = 64 * 1024
const LONGEST_QUERY = 24 * 1024

export class Dialog {
  readonly #parts: DialogParts
  readonly #authorize: Authorize
  readonly #device: DevicePages

  constructor(parts: DialogParts) {
    this.#parts = parts
    this.#authorize = new Authorize(parts)
    this.#device = new DevicePages(parts)
  }

  /** `GET /oauth/authorize` */
  async authorize(request: Request, from: From): Promise<Response> {
    const query = /\?([^#]*)/.exec(request.url)?.[1] ?? ''
    const turn = await this.#turn(request, from)
    if (query.length > LONGEST_QUERY) return this.#stale(turn, 'It asks for too much at once.')
    return this.#authorize.begin(query, turn)
  }

  /** `GET /oauth/device` */
  async device(request: Request, from: From): Promise<Response> {
    const userCode = new URL(request.url).searchParams.get('user_code') ?? ''
    return this.#device.begin(userCode, await this.#turn(request, from))
  }

  /** `POST` of either. */
  async submit(request: Request, from: From): Promise<Response> {
    const turn = await this.#turn(request, from)
    if (!isFromOurPages(request, from.issuer)) {
      return this.#stale(turn, 'This form was sent by another page.', 403)
    }
    const form = await formOf(request)
    const { forms } = this.#parts
    const { browser } = turn.visit
    const step = form && (await forms.open<Step>(form.get(FIELD) ?? '', browser))
    if (!step) return this.#stale(turn, 'This page is too old, or your browser keeps no cookies.')
    return this.#take(step, { ...turn, form })
  }

  #take(step: Step, turn: Turn): Promise<Response> {
    switch (step.step) {
      case 'login':
        return 'device' in step
          ? this.#device.loggedIn(step.device, turn)
          : this.#authorize.loggedIn(step.query, turn)
      case 'consent':
        return this.#authorize.decided(step.query, step.session, turn)
      case 'code':
        return this.#device.typed(step.session, turn)
      case 'device':
        return this.#device.decided(step.device, step.session, turn)
    }
  }

  async #turn(request: Request, { issuer, address }: From): Promise<Turn> {
    const visit = await this.#parts.browsers.visit(request, issuer)
    return { issuer, address, visit, form: new URLSearchParams() }
  }

  #stale({ issuer, visit }: Turn, Message: string, status = 400): Response {
    const Hint = 'Start again from the program that sent you here.'
    const data = { Title: 'This cannot go on', Message, Hint }
    return this.#parts.pages.render('error', data, { issuer, status, cookies: visit.cookies })
  }
}

/** Undefined if it is none, or too long. */
async function formOf(request: Request): Promise<URLSearchParams | undefined> {
  const type = request.headers.get('content-type') ?? ''
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) return undefined
  try {
    return new URLSearchParams(await readText(request, LONGEST_FORM))
  } catch (error) {
    if (error instanceof OAuthError) return undefined
    throw error
  }
}
