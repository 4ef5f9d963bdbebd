/**
 * Where people connect a device that has no browser: they log in, type the code that it shows, and decide.
 *
 * The code is asked for only after the login, so that guesses are counted by person. Nothing is ever remembered: anybody can
 * send somebody a link with a code, and hope.
 *
 * @see [RFC 8628 §5.4](https://datatracker.ietf.org/doc/html/rfc8628#section-5.4)
 */
import type { Config } from '../../config/schema.ts'
import type { Observer } from '../../events.ts'
import type { DeviceRequest, Devices } from '../grants/device.ts'
import { OAuthError } from '../oauth-error.ts'
import { shownName } from './authorize.ts'
import type { Session } from './browser.ts'
import type { Forms } from './forms.ts'
import { FIELD, type Login, type Step, type Turn } from './login.ts'
import type { Pages } from './pages.ts'
import { reachable } from './reach.ts'
import type { Data } from './template.ts'

export interface DeviceParts {
  config: () => Config
  devices: Pick<Devices, 'pending' | 'approve' | 'deny'>
  login: Login
  pages: Pages
  forms: Forms
  observe: Observer
}

const LOGIN: Data = { ClientName: 'a device', ResourceName: 'MCP Gateway' }
const LONGEST_CODE = 20

export class DevicePages {
  readonly #parts: DeviceParts

  constructor(parts: DeviceParts) {
    this.#parts = parts
  }

  /** Somebody comes, perhaps by a link with the code in it. */
  begin(userCode: string, turn: Turn): Promise<Response> {
    const { session } = turn.visit
    const code = userCode.slice(0, LONGEST_CODE)
    return session ? this.#ask(turn, session, code) : this.#login(code, turn)
  }

  /** They have typed who they are. */
  async loggedIn(userCode: string, turn: Turn): Promise<Response> {
    const { login } = this.#parts
    const refusal = await login.attempt(turn)
    if (refusal) return login.show(turn, { step: 'login', device: userCode }, LOGIN, refusal)
    return this.begin(userCode, turn)
  }

  /** They have typed the code. */
  async typed(sessionId: string, turn: Turn): Promise<Response> {
    const { visit, form, issuer } = turn
    const { pages, forms, config } = this.#parts
    const { session } = visit
    const code = (form.get('user_code') ?? '').slice(0, LONGEST_CODE)
    if (!session || session.id !== sessionId) return this.#login(code, turn)
    const { person, id } = session
    let asked: DeviceRequest | undefined
    try {
      asked = await this.#parts.devices.pending(code, person.id)
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      const message = `${error.message[0]!.toUpperCase()}${error.message.slice(1)}.`
      return this.#ask(turn, session, code, message, error.status)
    }
    const unknown = 'No device waits with this code. Please look at it again.'
    if (!asked) return this.#ask(turn, session, code, unknown, 404)
    const servers = reachable(asked.endpoint, person, config())
    if (servers.length === 0) {
      return this.#ask(turn, session, code, 'You may not use what this device asks for.', 403)
    }
    const step: Step = { step: 'device', device: code, session: id }
    return pages.render(
      'consent',
      {
        ...{
          ClientName: shownName(asked.client.name),
          ClientID: asked.client.id,
          UserCode: shownCode(code),
        },
        Endpoint: asked.endpoint === '*' ? '' : asked.endpoint,
        Servers: servers,
        IsAdmin: person.isAdmin && asked.scopes.includes('admin'),
        Username: person.name,
        Action: `${issuer.path}/oauth/device`,
      },
      {
        issuer,
        fields: { [FIELD]: await forms.seal(step, visit.browser) },
        cookies: visit.cookies,
      },
    )
  }

  /** They have decided. */
  async decided(userCode: string, sessionId: string, turn: Turn): Promise<Response> {
    const { visit, form, issuer } = turn
    const { devices, pages, observe } = this.#parts
    const { session } = visit
    const decision = form.get('decision')
    if (decision === 'logout') await visit.end()
    if (!session || session.id !== sessionId || decision === 'logout') {
      return this.#login(userCode, turn)
    }
    if (decision !== 'allow' && decision !== 'deny') return this.#ask(turn, session, userCode)
    const { id, name, isAdmin } = session.person
    const isDone =
      decision === 'allow'
        ? await devices.approve(userCode, { id, name, isAdmin })
        : await devices.deny(userCode)
    if (!isDone) return this.#ask(turn, session, '', 'That took too long. Please start again.', 410)
    if (decision === 'allow') {
      observe({ type: 'authorized', user: name, client: 'device', endpoint: '', scopes: '' })
    }
    const Outcome = decision === 'allow' ? 'approved' : 'denied'
    return pages.render('device', { Outcome }, { issuer, cookies: visit.cookies })
  }

  #login(userCode: string, turn: Turn): Promise<Response> {
    return this.#parts.login.show(turn, { step: 'login', device: userCode }, LOGIN)
  }

  async #ask(
    { visit, issuer }: Turn,
    { id: session }: Session,
    userCode: string,
    ErrorMessage = '',
    status = 200,
  ): Promise<Response> {
    const { pages, forms } = this.#parts
    const step: Step = { step: 'code', session }
    return pages.render(
      'device',
      { UserCode: userCode, ErrorMessage },
      {
        ...{ issuer, status, cookies: visit.cookies },
        fields: { [FIELD]: await forms.seal(step, visit.browser) },
      },
    )
  }
}

/** As the device shows it. */
function shownCode(code: string): string {
  const letters = code.toUpperCase().replace(/[^A-Z]/g, '')
  return `${letters.slice(0, 4)}-${letters.slice(4)}`
}
