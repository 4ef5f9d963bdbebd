/**
 * The pages that people see, as responses that nobody may keep, frame, or put anything into.
 *
 * Each is a template, shipped inside the executable. A file of the same name in the `oauth` folder of `auth.oauth.templateDir`
 * comes before it, from the moment it is there. When it is broken, the last good one stays, and that is told once; when it is
 * deleted, ours is back.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import authorize from '../../../templates/oauth/authorize.html' with { type: 'text' }
import consent from '../../../templates/oauth/consent.html' with { type: 'text' }
import device from '../../../templates/oauth/device.html' with { type: 'text' }
import error from '../../../templates/oauth/error.html' with { type: 'text' }
import style from '../../../templates/oauth/style.css' with { type: 'text' }
import success from '../../../templates/oauth/success.html' with { type: 'text' }
import { toError } from '../../errors.ts'
import type { Issuer } from '../issuer.ts'
import { compile, type Data, type Template } from './template.ts'

/** The templates by the names of their files, as they are shipped. */
export const SHIPPED: Readonly<Record<string, string>> = {
  'authorize.html': String(authorize),
  'consent.html': String(consent),
  'success.html': String(success),
  'error.html': String(error),
  'device.html': String(device),
  'style.css': String(style),
}

/** Where the files of one's own are, below `auth.oauth.templateDir`. */
export const FOLDER = 'oauth'

const NAMES = {
  authorize:
    'ClientName ClientID RedirectURI ResponseType Scope State CodeChallenge Resource ResourceName Endpoint Username ErrorMessage',
  consent:
    'ClientName ClientID ClientHost IsConfigured IsUnverified RedirectHost RedirectScheme IsLocal UserCode Endpoint Servers IsAdmin Username Action',
  success: 'Username RedirectURL ClientName',
  error: 'Title Message Hint RedirectURL',
  device: 'UserCode ErrorMessage Outcome',
}

export type PageName = keyof typeof NAMES

export interface Shown {
  issuer: Issuer
  status?: number
  /** Hidden fields of its forms. */
  fields?: Readonly<Record<string, string>>
  /** Where else the answer to its forms may lead, as sources of a Content-Security-Policy. */
  formTargets?: readonly string[]
  cookies?: readonly string[]
  headers?: Readonly<Record<string, string>>
}

interface Loaded {
  /** Of the files that it was made of. */
  stamp: string
  template: Template
  isOwn: boolean
}

const LARGEST = 2 ** 20

export class Pages {
  readonly #directory: () => string
  readonly #note: (text: string) => void
  readonly #loaded = new Map<PageName, Loaded>()

  /**
   * @param directory as in `auth.oauth.templateDir`.
   * @param onNote is told why a file of one's own is not used.
   */
  constructor(directory: () => string, onNote: (text: string) => void) {
    this.#directory = directory
    this.#note = onNote
  }

  /** Whether a page is not the one that was shipped. */
  isOwn(page: PageName): boolean {
    return this.#current(page).isOwn
  }

  render(page: PageName, data: Data, shown: Shown): Response {
    const { template, isOwn } = this.#current(page)
    const { issuer, fields = {}, status = 200, cookies = [], formTargets = [] } = shown
    const nonce = randomBytes(16).toString('base64url')
    const headers = new Headers({
      ...shown.headers,
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': policy(nonce, formTargets, isOwn),
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      // Not "no-referrer": with that, browsers send forms with "Origin: null".
      'referrer-policy': 'same-origin',
      'cross-origin-opener-policy': 'same-origin',
      'cache-control': 'no-store',
    })
    for (const cookie of cookies) headers.append('set-cookie', cookie)
    const text = template(data, { nonce, fields, base: issuer.path })
    return new Response(text, { status, headers })
  }

  #current(page: PageName): Loaded {
    const file = `${page}.html`
    const folder = join(resolve(this.#directory()), FOLDER)
    const stamp = [folder, stampOf(join(folder, file)), stampOf(join(folder, STYLE))].join('\n')
    const former = this.#loaded.get(page)
    if (former?.stamp === stamp) return former
    const loaded = { ...(this.#own(page, folder) ?? former ?? shipped(page)), stamp }
    this.#loaded.set(page, loaded)
    return loaded
  }

  /** Undefined if it is broken. */
  #own(page: PageName, folder: string): Omit<Loaded, 'stamp'> | undefined {
    const file = `${page}.html`
    try {
      const [text, css] = [read(join(folder, file)), read(join(folder, STYLE))]
      if (text === undefined && css === undefined) return shipped(page)
      return {
        template: compiled(page, text ?? SHIPPED[file]!, css ?? SHIPPED[STYLE]!),
        isOwn: text !== undefined,
      }
    } catch (error) {
      const why = toError(error).message
      this.#note(`${join(folder, file)}: ${why}; what was good last is used instead`)
      return undefined
    }
  }
}

const STYLE = 'style.css'

function shipped(page: PageName): Omit<Loaded, 'stamp'> {
  return { template: compiled(page, SHIPPED[`${page}.html`]!, SHIPPED[STYLE]!), isOwn: false }
}

function compiled(page: PageName, text: string, css: string): Template {
  return compile(text, {
    names: NAMES[page].split(' '),
    include: (file) => (file === STYLE ? css : undefined),
  })
}

/** What no two versions of a file have in common. */
function stampOf(path: string): string {
  try {
    const { mtimeMs, ctimeMs, size, ino } = statSync(path)
    return `${ino} ${size} ${mtimeMs} ${ctimeMs}`
  } catch {
    return ''
  }
}

/** Undefined if there is none. */
function read(path: string): string | undefined {
  try {
    if (statSync(path).size > LARGEST) throw new Error('the file is larger than 1 MB')
    return readFileSync(path, 'utf8').replace(/^\ufeff/, '')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

/** Pages of one's own may also have scripts, and show pictures from elsewhere. */
function policy(nonce: string, formTargets: readonly string[], isOwn: boolean): string {
  const own = [
    `script-src 'nonce-${nonce}'`,
    "style-src-attr 'unsafe-inline'",
    'img-src https: data:',
    'font-src https: data:',
  ]
  return [
    "default-src 'none'",
    `style-src 'nonce-${nonce}'`,
    ...(isOwn ? own : []),
    // Chrome asks it about every step of what follows a form, not only about the first.
    `form-action ${["'self'", ...formTargets].join(' ')}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ')
}
