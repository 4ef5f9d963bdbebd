/** A gateway to log in to, programs that send people there, and the browser in which people come. */
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { type Folder, folder, type Program, start } from '../lifecycle/program.ts'
import { startBrowser } from '../support/browser.ts'
import { CERTIFICATE } from '../support/certificate.ts'
import { CHALLENGE } from './approvals.ts'

export const PASSWORD = 'wonderland'
export const EVIL = '</title><script>window.pwned = 1</script><img src=x onerror="window.pwned=2">'

export interface World extends AsyncDisposable {
  home: Folder
  program: Program
  browser: Browser
  /** Where a program on this machine waits for people to come back. Any other page of it is what its path says in base64url. */
  app: string
  /** Where `client` sends people, with more parameters. */
  authorize(client: string, more?: Record<string, string>): string
  at(path: string): string
}

/** Someone in a browser of their own. */
export interface Visitor extends AsyncDisposable {
  context: BrowserContext
  page: Page
  /** What pages wanted to do and might not, or did wrong. */
  complaints: string[]
  /** In another tab. */
  tab(): Promise<Page>
}

/** @param options.tls the certificate by which it is reached. */
export async function world(options: { tls?: typeof CERTIFICATE } = {}): Promise<World> {
  const app = startApp()
  const web = startApp(CERTIFICATE)
  const callback = `${app.url.origin}/callback`
  const redirects: Record<string, string> = {
    desktop: 'cursor://anysphere.cursor/callback',
    web: `${web.url.origin}/callback`,
  }
  const users = ['alice', 'bob', 'carol', 'dave', 'erin']
  const client = (name: string, redirect = callback) => ({ name, redirectURIs: [redirect] })
  const { tls } = options
  const home = await folder({
    'config.json': {
      gateway: { port: 0, ...(tls && { tls: { cert: 'cert.pem', key: 'key.pem' } }) },
      auth: {
        oauth: {
          users: {
            ...Object.fromEntries(users.map((user) => [user, PASSWORD])),
            root: { password: PASSWORD, admin: true },
          },
          clients: {
            editor: client('Editor'),
            other: client('Other editor'),
            desktop: client('Cursor', redirects.desktop),
            web: client('Web', redirects.web),
            evil: client(EVIL),
            long: client('W'.repeat(100)),
          },
          templateDir: 'pages',
        },
      },
      mcpServers: {
        files: { url: 'https://mcp.example/' },
        search: { url: 'https://mcp.example/' },
        [`a-very-long-name-of-a-server-${'x'.repeat(30)}`]: { url: 'https://mcp.example/' },
      },
    },
    ...(tls && { 'cert.pem': tls.cert, 'key.pem': tls.key }),
  })
  const program = await start(['--config', 'config.json'], { in: home })
  const browser = await startBrowser()
  const at = (path: string) => new URL(path, program.url).href
  return {
    ...{ home, program, browser, at },
    app: app.url.origin,
    authorize(client, more = {}) {
      const params = new URLSearchParams({
        ...{ response_type: 'code', client_id: client, state: 'a-state' },
        redirect_uri: redirects[client] ?? callback,
        ...{ code_challenge: CHALLENGE, code_challenge_method: 'S256' },
        ...more,
      })
      return at(`/oauth/authorize?${params}`)
    },
    async [Symbol.asyncDispose]() {
      await browser.close()
      await program[Symbol.asyncDispose]()
      await Promise.all([app.stop(true), web.stop(true)])
      await home[Symbol.asyncDispose]()
    },
  }
}

/** Any other page than the one for people who come back is what its path says. */
function startApp(tls?: typeof CERTIFICATE) {
  const back = '<!doctype html><title>Back</title><h1>Back in the app</h1>'
  return Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    ...(tls && { tls }),
    fetch({ url }) {
      const { pathname } = new URL(url)
      const said = Buffer.from(pathname.slice(1), 'base64url').toString()
      const headers = { 'content-type': 'text/html' }
      return new Response(pathname === '/callback' ? back : said, { headers })
    },
  })
}

export async function visitor(
  { browser }: World,
  options: BrowserContextOptions = {},
): Promise<Visitor> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(20_000)
  const complaints: string[] = []
  const tab = async () => {
    const page = await context.newPage()
    page.on('pageerror', ({ message }) => complaints.push(message))
    page.on('dialog', (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`)
      dialog.dismiss().catch(() => {})
    })
    page.on('console', (message) => {
      if (/Content.Security.Policy|Refused|Blocked/i.test(message.text()))
        complaints.push(message.text())
    })
    return page
  }
  const page = await tab()
  const close = () => context.close()
  return { context, page, complaints, tab, [Symbol.asyncDispose]: close }
}

export async function logIn(page: Page, name: string, password = PASSWORD): Promise<void> {
  await page.getByLabel('User name').fill(name)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

export async function decide(page: Page, decision: 'Allow' | 'Deny'): Promise<void> {
  await page.getByRole('button', { name: decision, exact: true }).click()
}

/** What the program is told, when its person is back. */
export async function told(page: Page): Promise<Record<string, string>> {
  await page.getByRole('heading', { name: 'Back in the app' }).waitFor()
  return Object.fromEntries(new URL(page.url()).searchParams)
}

/** A program that registers itself, under any name. Its id. */
export async function registered(w: World, name: string): Promise<string> {
  const response = await fetch(w.at('/oauth/register'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: name,
      redirect_uris: [`${w.app}/callback`],
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
      token_endpoint_auth_method: 'none',
    }),
  })
  if (response.status !== 201) throw new Error(await response.text())
  return ((await response.json()) as { client_id: string }).client_id
}

/** Waits for a page with this heading: clicks return before the next page is there. */
export async function shows(page: Page, title: string): Promise<void> {
  await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor()
}

export function styleOf(page: Page, selector: string, name: string): Promise<string> {
  return page.evaluate<string>(`getComputedStyle(document.querySelector('${selector}')).${name}`)
}
