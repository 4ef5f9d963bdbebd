/** Templates of one's own: from the moment they are there, while they are good, and no longer. */
import { describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Target } from '../../src/auth/dialog/escaping.ts'
import { type PageName, Pages, SHIPPED } from '../../src/auth/dialog/pages.ts'
import type { Data } from '../../src/auth/dialog/template.ts'
import { Issuer } from '../../src/auth/issuer.ts'
import { eject } from '../../src/commands/eject.ts'
import { configOf } from './dialog.ts'

const issuer = Issuer.of(
  new Request('http://127.0.0.1/'),
  configOf({ gateway: { baseURL: 'https://mcp.example/gw' } }),
)

/** In the style of an older proxy: its names, its form, and a script that leads on. */
const OLDER = {
  'authorize.html': `<!DOCTYPE html>
<html><head><title>Authorize {{.ClientName}} - {{.ResourceName}}</title><style>.e { color: red }</style></head>
<body style="margin: 0">
<h1>{{.ClientName}} wants to access {{.ResourceName}}</h1>
{{if .ErrorMessage}}<div class="e">{{.ErrorMessage}}</div>{{end}}
<form method="POST" action="/oauth/authorize">
  <input type="hidden" name="client_id" value="{{.ClientID}}">
  <input type="hidden" name="redirect_uri" value="{{.RedirectURI}}">
  <input type="hidden" name="response_type" value="{{.ResponseType}}">
  <input type="hidden" name="scope" value="{{.Scope}}">
  <input type="hidden" name="state" value="{{.State}}">
  <input type="hidden" name="code_challenge" value="{{.CodeChallenge}}">
  <input type="hidden" name="resource" value="{{.Resource}}">
  <input type="text" name="username" required> <input type="password" name="password" required>
  <button type="submit">Sign In</button>
</form>
<script>
  document.querySelector('form').addEventListener('submit', function () {
    document.querySelector('button').textContent = 'Authenticating...';
  });
</script>
</body></html>`,
  'success.html': `<html><body><p>Welcome, {{.Username}}!</p>
<a href="{{.RedirectURL}}">click here</a>
<script>var left = 3; setTimeout(function () { window.location.href = "{{.RedirectURL}}" }, left * 1000)</script>
</body></html>`,
}

function world() {
  const directory = mkdtempSync(join(tmpdir(), 'pages-'))
  const folder = join(directory, 'oauth')
  const notes: string[] = []
  const pages = new Pages(
    () => directory,
    (text) => void notes.push(text),
  )
  const show = async (page: PageName, data: Data = {}) => {
    const response = pages.render(page, data, { issuer, fields: { form: 'sealed' } })
    return { text: await response.text(), policy: response.headers.get('content-security-policy')! }
  }
  const write = (name: string, text: string) => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return { directory, folder, notes, pages, show, write }
}

test('a file is used from the moment it is there, as it is then, and until it is gone', async () => {
  const { show, write, folder, notes, pages } = world()
  expect((await show('error', { Title: 'Ours' })).text).toContain('<main>')
  write('error.html', '<p>one {{.Title}}')
  expect(pages.isOwn('error')).toBe(true)
  expect(await show('error', { Title: '<x>' })).toMatchObject({ text: '<p>one &lt;x&gt;' })
  write('error.html', '<p>two')
  expect((await show('error')).text).toBe('<p>two')
  rmSync(join(folder, 'error.html'))
  expect((await show('error')).text).toContain('<main>')
  expect(pages.isOwn('error')).toBe(false)
  expect(notes).toEqual([])
})

test('one that is broken is told of once, and what was good last stays', async () => {
  const { show, write, notes } = world()
  write('error.html', '<p>{{.Title')
  expect((await show('error', { Title: 'T' })).text).toContain('<h1>T</h1>')
  write('error.html', '<p>good')
  expect((await show('error')).text).toBe('<p>good')
  write('error.html', '<p>\n{{.Titel}}')
  for (let i = 0; i < 3; i++) expect((await show('error')).text).toBe('<p>good')
  expect(notes.length).toBe(2)
  expect(notes[1]).toMatch(/error\.html: line 2: \{\{\.Titel\}\}: there is no Titel here/)
  write('error.html', '<p>good again')
  expect((await show('error')).text).toBe('<p>good again')
})

test('one that is too large, or a directory, breaks nothing', async () => {
  const { show, write, folder, notes } = world()
  write('error.html', 'x'.repeat(2 ** 20 + 1))
  expect((await show('error')).text).toContain('<main>')
  rmSync(join(folder, 'error.html'))
  mkdirSync(join(folder, 'error.html'))
  expect((await show('error')).text).toContain('<main>')
  expect(notes.length).toBe(2)
})

test('each file stands for itself, and the style for all of them', async () => {
  const { show, write } = world()
  write('style.css', 'p { color: teal }')
  write('error.html', '<style>{{template "style.css"}}</style>')
  expect((await show('error')).text).toContain('color: teal')
  expect((await show('device')).text).toContain('color: teal')
  expect((await show('device')).text).toContain('<h1>Connect a device</h1>')
})

describe('templates of the older proxy', () => {
  test('still ask for a password, with what a form of ours needs', async () => {
    const { show, write, notes } = world()
    for (const [name, text] of Object.entries(OLDER)) write(name, text)
    const { text, policy } = await show('authorize', {
      ...{ ClientName: 'Claude', ResourceName: 'github', ClientID: 'id"1', State: '<&>' },
      ...{ RedirectURI: 'https://app.example/cb?a=1&b=2', ResponseType: 'code', Scope: 'mcp' },
      ...{ CodeChallenge: 'abc', Resource: 'https://mcp.example/github', ErrorMessage: 'No.' },
    })
    expect(text).toContain('<title>Authorize Claude - github</title>')
    expect(text).toContain('<div class="e">No.</div>')
    expect(text).toContain('name="client_id" value="id&#34;1"')
    expect(text).toContain('name="state" value="&lt;&amp;&gt;"')
    expect(text).toContain('value="https://app.example/cb?a=1&amp;b=2"')
    expect(text).toContain('<input type="hidden" name="form" value="sealed">')
    expect(text).toContain('action="/gw/oauth/authorize"')
    const [, nonce] = /script-src 'nonce-([\w-]+)'/.exec(policy)!
    expect(text).toContain(`<script nonce="${nonce}">`)
    expect(text).toContain(`<style nonce="${nonce}">`)
    expect(notes).toEqual([])
  })

  test('still lead on by their script, to where they should and nowhere else', async () => {
    const { show, write } = world()
    write('success.html', OLDER['success.html'])
    const lead = async (url: string) => {
      const { text } = await show('success', { Username: '</p>', RedirectURL: new Target(url) })
      const [, code = ''] = /location\.href = (".*?")/.exec(text)!
      return { to: JSON.parse(code) as string, text }
    }
    const url = 'https://app.example/cb?code=1&state=a"b'
    const { to, text } = await lead(url)
    expect(to).toBe(url)
    expect(text).toContain('Welcome, &lt;/p&gt;!')
    expect((await lead('javascript:alert(1)')).text).toContain('href="#blocked"')
    expect((await lead('javascript:alert(1)')).to).toBe('#blocked')
  })
})

describe('ejecting', () => {
  test('writes every file, and they are what was built in', async () => {
    const { directory, folder, show, notes, pages } = world()
    const said = eject(directory)
    for (const [name, text] of Object.entries(SHIPPED)) {
      expect(readFileSync(join(folder, name), 'utf8')).toBe(text)
      expect(said).toContain(join(folder, name))
    }
    for (const page of ['authorize', 'consent', 'success', 'error', 'device'] as const) {
      expect((await show(page)).text).toContain('<main>')
      expect(pages.isOwn(page)).toBe(true)
    }
    expect(notes).toEqual([])
    expect(eject(directory)).toBe(said)
  })

  test('never writes over what was changed, unless it is forced', () => {
    const { directory, folder, write } = world()
    write('style.css', 'mine')
    expect(() => eject(directory)).toThrow(join(folder, 'style.css'))
    expect(existsSync(join(folder, 'error.html'))).toBe(false)
    expect(readFileSync(join(folder, 'style.css'), 'utf8')).toBe('mine')
    eject(directory, { force: true })
    expect(readFileSync(join(folder, 'style.css'), 'utf8')).toBe(SHIPPED['style.css']!)
  })

  test('says where it cannot write', () => {
    const { directory } = world()
    writeFileSync(join(directory, 'oauth'), 'a file')
    expect(() => eject(directory)).toThrow('templates cannot be written')
  })
})

test('built-in pages run no scripts and load nothing from elsewhere', () => {
  for (const [name, text] of Object.entries(SHIPPED)) {
    expect(text, name).not.toMatch(/<script|https?:|url\((?!')|@import|\son\w+=|\sstyle=/)
  }
})
