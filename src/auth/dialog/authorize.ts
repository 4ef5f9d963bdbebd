/**
 * The authorization endpoint: a client sends a person here, who logs in, agrees, and is sent back with a code.
 *
 * Nothing is kept until they agree: what was asked travels in the forms, sealed, and is judged again every time.
 */
import type { Config } from '../../config/schema.ts'
import type { Observer } from '../../events.ts'
import { isLoopbackRedirect } from '../clients/redirects.ts'
import type { Approval, Binding } from '../grants.ts'
import type { Person } from '../people/person.ts'
import { endpointOf } from '../resource.ts'
import {
  type AnswerCode,
  type Asked,
  AuthorizationFault,
  grantable,
  type Judges,
  judge,
} from './authorization.ts'
import type { Session } from './browser.ts'
import type { Consents, Wish } from './consents.ts'
import { Target } from './escaping.ts'
import type { Forms } from './forms.ts'
import { FIELD, type Login, type Turn } from './login.ts'
import type { Pages } from './pages.ts'
import { reachable } from './reach.ts'
import type { Data } from './template.ts'

export interface AuthorizeParts {
  config: () => Config
  clients: Judges['clients']
  grants: { approve(approval: Approval & Binding): Promise<string> }
  login: Login
  consents: Consents
  pages: Pages
  forms: Forms
  observe: Observer
  now?: () => number
}

/** How an answer leaves: forms of the page for logging in may lead nowhere else, so from there a page leads on. */
type Leave = 'redirect' | 'page'

export class Authorize {
  readonly #parts: AuthorizeParts

  constructor(parts: AuthorizeParts) {
    this.#parts = parts
  }

  /** Somebody comes with what a client asks. */
  begin(query: string, turn: Turn): Promise<Response> {
    return this.#judged(query, turn, 'redirect', async (asked) => {
      const { session } = turn.visit
      const { prompts } = asked
      const isFresh = session && this.#isFresh(asked, session)
      if (session && isFresh && !prompts.has('login') && !prompts.has('select_account')) {
        return this.#consent(query, turn, asked, session, 'redirect')
      }
      if (prompts.has('none')) return this.#fail(asked, 'login_required', 'nobody is logged in')
      return this.#login(query, turn, asked)
    })
  }

  /** They have typed who they are. */
  loggedIn(query: string, turn: Turn): Promise<Response> {
    return this.#judged(query, turn, 'page', async (asked) => {
      const refusal = await this.#parts.login.attempt(turn)
      if (refusal) {
        const data = loginData(query, asked)
        return this.#parts.login.show(turn, { step: 'login', query }, data, refusal)
      }
      const { session } = turn.visit
      if (!session) return this.#login(query, turn, asked)
      return this.#consent(query, turn, asked, session, 'page')
    })
  }

  /** They have decided. */
  decided(query: string, sessionId: string, turn: Turn): Promise<Response> {
    return this.#judged(query, turn, 'redirect', async (asked) => {
      const { visit, form } = turn
      const { session } = visit
      const decision = form.get('decision')
      if (decision === 'logout') await visit.end()
      // Somebody else than whom it was shown to must not agree in their place.
      if (!session || session.id !== sessionId || decision === 'logout') {
        return this.#login(query, turn, asked)
      }
      const wish = wishOf(asked, session.person)
      if (decision === 'allow') {
        await this.#parts.consents.remember(wish)
        return this.#approve(turn, asked, wish, 'redirect')
      }
      if (decision === 'deny') return this.#fail(asked, 'access_denied', 'the person denied it')
      return this.#consent(query, turn, asked, session, 'redirect')
    })
  }

  async #judged(
    query: string,
    turn: Turn,
    leave: Leave,
    then: (asked: Asked) => Promise<Response>,
  ): Promise<Response> {
    const { clients, config } = this.#parts
    const { mcpServers, groups } = config()
    const names = [...Object.keys(mcpServers), ...Object.keys(groups)]
    const params = new URLSearchParams(query)
    try {
      const asked = await judge(params, {
        clients,
        endpointOf: (resources) => endpointOf(resources, turn.issuer, names),
      })
      return await then(asked)
    } catch (error) {
      if (!(error instanceof AuthorizationFault)) throw error
      return this.#refuse(turn, error, leave, params.get('client_id') ?? '')
    }
  }

  /** @see [RFC 9207](https://datatracker.ietf.org/doc/html/rfc9207) */
  #refuse(turn: Turn, fault: AuthorizationFault, leave: Leave, clientId: string): Response {
    const { code, message, back } = fault
    const client = clientId.slice(0, 200)
    this.#parts.observe({ type: 'authorization_refused', client, reason: message })
    const { issuer, visit } = turn
    const url =
      back &&
      answerURL(back.redirectURI, {
        ...{ error: code, error_description: message },
        ...{ state: back.state, iss: issuer.id },
      })
    // Anybody can publish a document with any place in it: nobody is sent there who has not decided about that client.
    const isDocument = /^https?:/i.test(clientId)
    const maySend = leave === 'redirect' && (!isDocument || code === 'access_denied')
    if (url !== undefined && maySend && /^https?:/.test(url)) {
      return redirect(url, visit.cookies)
    }
    return this.#parts.pages.render(
      'error',
      {
        Title: code === 'access_denied' ? 'Not allowed' : 'This cannot go on',
        Message: SAID[code] ?? 'What the program asked for is not possible.',
        Hint:
          url === undefined
            ? `Start again from the program that sent you here. (${message})`
            : message,
        ...(url === undefined ? {} : { RedirectURL: new Target(url) }),
      },
      { issuer, status: 400, cookies: visit.cookies },
    )
  }

  #fail({ redirectURI, state }: Asked, code: AnswerCode, why: string): never {
    throw new AuthorizationFault(code, why, { redirectURI, state })
  }

  #isFresh({ maxAge }: Asked, { since }: Session): boolean {
    const now = (this.#parts.now ?? Date.now)()
    return maxAge === undefined || now - since <= maxAge * 1000
  }

  #login(query: string, turn: Turn, asked: Asked): Promise<Response> {
    return this.#parts.login.show(turn, { step: 'login', query }, loginData(query, asked))
  }

  /** Asks, unless that was answered before. */
  async #consent(
    query: string,
    turn: Turn,
    asked: Asked,
    { id: session, person }: Session,
    leave: Leave,
  ): Promise<Response> {
    const { consents, forms, pages, config } = this.#parts
    const { issuer, visit } = turn
    const wish = wishOf(asked, person)
    const servers = reachable(asked.endpoint, person, config())
    if (servers.length === 0) this.#fail(asked, 'access_denied', 'there is nothing here for you')
    const { prompts, redirectURI, client, endpoint } = asked
    if (!prompts.has('consent') && (await consents.has(wish))) {
      return this.#approve(turn, asked, wish, leave)
    }
    if (prompts.has('none')) this.#fail(asked, 'consent_required', 'the person must agree')
    const isWeb = /^https?:/.test(redirectURI)
    return pages.render(
      'consent',
      {
        ...clientData(asked),
        RedirectHost: isWeb ? new URL(redirectURI).host : '',
        RedirectScheme: isWeb ? '' : new URL(redirectURI).protocol,
        IsLocal: isLoopbackRedirect(redirectURI),
        IsUnverified: client.kind === 'unverified',
        Endpoint: endpoint === '*' ? '' : endpoint,
        Servers: servers,
        IsAdmin: wish.scopes.includes('admin'),
        Username: person.name,
        Action: `${issuer.path}/oauth/authorize`,
      },
      {
        issuer,
        fields: { [FIELD]: await forms.seal({ step: 'consent', query, session }, visit.browser) },
        formTargets: targetsOf(redirectURI),
        cookies: visit.cookies,
      },
    )
  }

  async #approve(turn: Turn, asked: Asked, wish: Wish, leave: Leave): Promise<Response> {
    const { grants, pages, observe } = this.#parts
    const { issuer, visit } = turn
    const { redirectURI, challenge, state } = asked
    const { person, client, scopes, endpoint } = wish
    const code = await grants.approve({
      client: { id: client.id, name: client.name },
      person: { id: person.id, name: person.name },
      ...{ scopes, endpoint, redirectURI, challenge },
    })
    const said = { user: person.name, client: client.id, endpoint, scopes: scopes.join(' ') }
    observe({ type: 'authorized', ...said })
    const url = answerURL(redirectURI, { code, state, iss: issuer.id })
    if (leave === 'redirect' && /^https?:/.test(url) && !pages.isOwn('success')) {
      return redirect(url, visit.cookies)
    }
    return pages.render(
      'success',
      { Username: person.name, RedirectURL: new Target(url), ClientName: shownName(client.name) },
      { issuer, cookies: visit.cookies },
    )
  }
}

const SAID: Partial<Record<AnswerCode, string>> = {
  access_denied: 'You may not use what this program asked for.',
  invalid_client: 'The program that sent you here is not known.',
  invalid_redirect_uri: 'The program wants you to be sent to where it may not send you.',
}

function wishOf({ client, redirectURI, scopes, endpoint }: Asked, person: Person): Wish {
  return { person, client, redirectURI, scopes: grantable(scopes, person), endpoint }
}

/** What pages say of a client. */
function clientData({ client: { id, name, kind } }: Asked) {
  return {
    ClientName: shownName(name || id),
    ClientID: id,
    ClientHost: kind === 'document' ? new URL(id).host : '',
    IsConfigured: kind === 'configured',
  }
}

/** Without what is not seen but changes what is, and no longer than a page can bear. */
export function shownName(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').slice(0, 100)
}

/** Also under the names that an older proxy has. */
function loginData(query: string, asked: Asked): Data {
  const { redirectURI, endpoint, challenge, state } = asked
  const { ClientName, ClientID } = clientData(asked)
  return {
    ...{ ClientName, ClientID, RedirectURI: redirectURI, ResponseType: 'code' },
    ...{ Scope: asked.scopes.join(' '), State: state ?? '', CodeChallenge: challenge },
    Resource: new URLSearchParams(query).get('resource') ?? '',
    ResourceName: endpoint === '*' || endpoint === '' ? 'MCP Gateway' : endpoint,
    Endpoint: endpoint === '*' ? '' : endpoint,
  }
}

/** The bytes of the redirect URI stay as they are. */
function answerURL(redirectURI: string, params: Record<string, string | undefined>): string {
  const said = Object.entries(params).filter((pair): pair is [string, string] => {
    return pair[1] !== undefined
  })
  const separator = redirectURI.includes('?') ? (/[?&]$/.test(redirectURI) ? '' : '&') : '?'
  return redirectURI + separator + new URLSearchParams(said)
}

function redirect(url: string, cookies: readonly string[]): Response {
  const headers = new Headers({
    location: url,
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
  })
  for (const cookie of cookies) headers.append('set-cookie', cookie)
  return new Response(null, { status: 303, headers })
}

/**
 * Where a form may lead that is answered with a redirect, as sources of a Content-Security-Policy: to the client, and to where
 * that sends people on, of which only browsers can know.
 */
function targetsOf(redirectURI: string): string[] {
  const { protocol, host } = new URL(redirectURI)
  if (!/^https?:$/.test(protocol)) return []
  // There is no way to write an IPv6 address there.
  const origin = host.startsWith('[') ? protocol : `${protocol}//${host}`
  return [...new Set([origin, 'https:'])]
}
