/** A person with a browser that is no more than cookies, redirects and forms. */

/** A form as a browser would see it, with what it would send if nothing were typed. */
export interface PageForm {
  method: string
  /** Absolute. */
  action: string
  fields: Record<string, string>
  buttons: { name: string; value: string }[]
}

/** What parsing found in a page. Texts are decoded as a browser decodes them. */
export interface Page {
  url: string
  status: number
  headers: Headers
  html: string
  text: string
  forms: PageForm[]
  /** The names of all elements, in order. */
  elements: string[]
  /** Of all elements: name, attribute, value. */
  attributes: [element: string, name: string, value: string][]
  /** Where it leads by itself. */
  refresh: string | undefined
}

/** Where a person ends: at one of our pages, or on the way to a URL that is not ours. */
export type End = { page: Page; sentTo?: undefined } | { sentTo: URL; page?: undefined }

export class Person {
  readonly cookies = new Map<string, string>()
  /** Every `Set-Cookie` that came. */
  readonly received: string[] = []
  readonly #fetch: typeof fetch
  readonly #name: string
  readonly #password: string

  constructor(name: string, password: string, fetcher: typeof fetch = fetch) {
    this.#name = name
    this.#password = password
    this.#fetch = fetcher
  }

  /** One request. Cookies go with it and are kept; redirects are not followed. */
  async send(url: string | URL, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    const cookie = [...this.cookies].map((pair) => pair.join('=')).join('; ')
    if (cookie !== '' && !headers.has('cookie')) headers.set('cookie', cookie)
    const response = await this.#fetch(url, { ...init, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      this.received.push(line)
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '' || /; *max-age=0\b/i.test(line)) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return response
  }

  visit(url: string | URL): Promise<End> {
    return this.#follow(String(url), {})
  }

  /** @param button the value of the one that is pressed. */
  submit(page: Page, typed: Record<string, string> = {}, button?: string): Promise<End> {
    const [form] = page.forms
    if (!form) throw new Error(`no form: ${page.status} ${page.text}`)
    const pressed = form.buttons.find(({ value }) => value === button)
    if (button !== undefined && !pressed) throw new Error(`no button ${button}: ${page.text}`)
    const body = new URLSearchParams({ ...form.fields, ...typed })
    if (pressed) body.set(pressed.name, pressed.value)
    const { origin } = new URL(page.url)
    const headers = { origin, referer: page.url, 'sec-fetch-site': 'same-origin' }
    return this.#follow(form.action, { method: form.method.toUpperCase(), body, headers })
  }

  /**
   * Goes wherever a client sends people, logs in if asked to, and decides.
   *
   * @returns where they are sent back to.
   * @throws {Error} with the text of the page where it does not go on.
   */
  async authorize(url: string | URL, decision: 'allow' | 'deny' = 'allow'): Promise<URL> {
    let end = await this.visit(url)
    for (let steps = 0; steps < 5; steps++) {
      if (end.sentTo) return end.sentTo
      const { page } = end
      if (page.refresh !== undefined) return new URL(page.refresh)
      if (page.status !== 200) break
      end = page.forms[0]?.buttons.some(({ value }) => value === decision)
        ? await this.submit(page, {}, decision)
        : await this.logIn(page)
    }
    throw new Error(`${end.page?.status} ${end.page?.text}`)
  }

  logIn(page: Page, password = this.#password, name = this.#name): Promise<End> {
    return this.submit(page, { username: name, password })
  }

  async #follow(url: string, init: RequestInit): Promise<End> {
    const response = await this.send(url, init)
    const location = response.headers.get('location')
    if (location === null) return { page: await pageOf(url, response) }
    await response.body?.cancel()
    const next = new URL(location, url)
    const isOurs =
      next.origin === new URL(url).origin && /\/oauth\/(authorize|device)$/.test(next.pathname)
    return isOurs ? this.#follow(next.href, {}) : { sentTo: next }
  }
}

export async function pageOf(url: string, response: Response): Promise<Page> {
  const html = await response.text()
  const page: Page = {
    ...{ url, status: response.status, headers: response.headers, html },
    ...{ text: '', forms: [], elements: [], attributes: [], refresh: undefined },
  }
  let skipping = false
  const words: string[] = []
  new HTMLRewriter()
    .on('*', {
      element(element) {
        const { tagName } = element
        const attributes = new Map(
          [...element.attributes].map(([name, value]) => [name!, decoded(value!)]),
        )
        page.elements.push(tagName)
        for (const [name, value] of attributes) page.attributes.push([tagName, name, value])
        const attribute = (name: string) => attributes.get(name) ?? ''
        const form = page.forms.at(-1)
        if (tagName === 'form') {
          const action = new URL(attribute('action') || url, url).href
          page.forms.push({ method: attribute('method') || 'get', action, fields: {}, buttons: [] })
        } else if (tagName === 'input' && form && attribute('name') !== '') {
          form.fields[attribute('name')] = attribute('value')
        } else if (tagName === 'button' && form && attribute('name') !== '') {
          form.buttons.push({ name: attribute('name'), value: attribute('value') })
        } else if (tagName === 'meta' && attribute('http-equiv') === 'refresh') {
          page.refresh = /^\d+; *url=(.*)$/i.exec(attribute('content'))?.[1]
        }
        if (!/^(style|script)$/.test(tagName)) return
        skipping = true
        element.onEndTag(() => {
          skipping = false
        })
      },
      text({ text }) {
        if (!skipping) words.push(text)
      },
    })
    .transform(html)
  page.text = decoded(words.join('')).replace(/\s+/g, ' ').trim()
  return page
}

const NAMED: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

function decoded(text: string): string {
  return text.replace(/&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16))
    if (decimal) return String.fromCodePoint(Number(decimal))
    return NAMED[name] ?? whole
  })
}
