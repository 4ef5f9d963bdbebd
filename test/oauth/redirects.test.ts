/** Where people may be sent back to. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { allowsRedirect, judgeDocumented, judgeRedirect } from '../../src/auth/clients/redirects.ts'

const CALLBACK_ID = 'conn_0A-b'

const FINE = [
  'http://localhost:8080/callback',
  'http://localhost/callback',
  'http://127.0.0.1/',
  'http://127.0.0.1',
  'http://127.0.0.1:33418/',
  'http://127.0.0.1:33418',
  'http://[::1]:9999/oauth/callback',
  'http://localhost:1455/callback?from=here',
  'http://localhost:65535/a@b',
  'https://claude.ai/api/mcp/auth_callback',
  'https://claude.com/api/mcp/auth_callback',
  'https://chatgpt.com/connector_platform_oauth_redirect',
  `https://chatgpt.com/connector/oauth/${CALLBACK_ID}`,
  'https://www.cursor.com/agents/mcp/oauth/callback',
  'cursor://anysphere.cursor-mcp/oauth/callback',
  'https://vscode.dev/redirect',
  'https://insiders.vscode.dev/redirect',
  'vscode://vscode.github-authentication/did-authenticate',
  'vscode-insiders://publisher.extension/cb',
]

/** Each with what somebody might have hoped for. */
const TRICKS: [uri: string, hope: string][] = [
  ['', 'nothing'],
  ['/callback', 'relative to us'],
  ['//localhost/callback', 'relative to our scheme'],
  ['callback', 'relative'],
  ['http://localhost.evil.example/callback', 'the beginning of a name'],
  ['http://127.0.0.1.evil.example/callback', 'the beginning of an address'],
  ['http://evil.example/localhost', 'somewhere in it'],
  ['http://localhost@evil.example/', 'as a user'],
  ['http://localhost:80@evil.example/', 'as user and password'],
  ['http://user@localhost/callback', 'a user'],
  ['http://@localhost/callback', 'an empty user'],
  ['http://localhost\\@evil.example/', 'a backslash'],
  ['http://evil.example\\.localhost/', 'a backslash in the name'],
  ['http:\\\\localhost/callback', 'backslashes'],
  ['http:/localhost/callback', 'one slash'],
  ['http:localhost/callback', 'no slash'],
  ['http:///localhost/callback', 'three slashes'],
  ['http://LOCALHOST/callback', 'the case of the host'],
  ['HTTP://localhost/callback', 'the case of the scheme'],
  ['http://localhost./callback', 'a dot behind the name'],
  ['http://127.0.0.1./callback', 'a dot behind the address'],
  ['http://127.1/callback', 'a short address'],
  ['http://2130706433/callback', 'a decimal address'],
  ['http://0x7f000001/callback', 'a hexadecimal address'],
  ['http://0177.0.0.1/callback', 'an octal address'],
  ['http://127.0.0.2/callback', 'another loopback address'],
  ['http://[::ffff:127.0.0.1]/callback', 'a mapped address'],
  ['http://[0:0:0:0:0:0:0:1]/callback', 'a long address'],
  ['http://0.0.0.0/callback', 'every address'],
  ['http://ⓛocalhost/callback', 'letters that look alike'],
  ['http://lоcalhost/callback', 'a Cyrillic letter'],
  ['http://xn--lcalhost-54g/callback', 'punycode'],
  ['http://localhost%2eevil.example/callback', 'an encoded dot in the name'],
  ['http://localhost:99999/callback', 'a port that there is not'],
  ['http://localhost:0/callback', 'port 0'],
  ['http://localhost:/callback', 'an empty port'],
  ['http://localhost:8o80/callback', 'a port that is none'],
  ['http://localhost/a/../callback', 'dot segments'],
  ['http://localhost/./callback', 'a dot segment'],
  ['http://localhost/%2e%2e/callback', 'encoded dot segments'],
  ['http://localhost/..%2fcallback', 'an encoded slash'],
  ['http://localhost/a%5cb', 'an encoded backslash'],
  ['http://localhost/a%00b', 'an encoded NUL'],
  ['http://localhost/callback#token', 'a fragment'],
  ['http://localhost/callback#', 'an empty fragment'],
  ['http://localhost/*', 'a wildcard'],
  ['http://*/callback', 'a wildcard for hosts'],
  ['http://local\thost/callback', 'a tab'],
  ['http://localhost/call\nback', 'a line break'],
  ['http://localhost/callback\r\nSet-Cookie: a=b', 'another header'],
  [' http://localhost/callback', 'a space in front'],
  ['http://localhost/callback ', 'a space behind'],
  ['http://localhost/"onload="x', 'a quote'],
  ['http://localhost/<script>', 'markup'],
  ['http://localhost/\u202egpj', 'letters from right to left'],
  [`http://localhost/${'a'.repeat(3000)}`, 'a long one'],
  ['https://localhost/callback', 'https on the loopback'],
  ['http://example.com/callback', 'plain http elsewhere'],
  ['https://example.com/callback', 'anybody’s page'],
  ['https://claude.ai/api/mcp/auth_callback/', 'a slash behind'],
  ['https://claude.ai/api/mcp/auth_callback?next=https://evil.example', 'a query'],
  ['https://claude.ai/api/mcp/auth_callbackx', 'more of it'],
  ['https://claude.ai/API/mcp/auth_callback', 'the case of the path'],
  ['https://claude.ai:443/api/mcp/auth_callback', 'the default port'],
  ['https://claude.ai:8443/api/mcp/auth_callback', 'another port'],
  ['https://claude.ai./api/mcp/auth_callback', 'a dot behind Claude'],
  ['https://claude.ai.evil.example/api/mcp/auth_callback', 'Claude as a beginning'],
  ['https://evil.example/claude.ai/api/mcp/auth_callback', 'Claude as a path'],
  ['https://xclaude.ai/api/mcp/auth_callback', 'Claude as an end'],
  ['https://claudexai/api/mcp/auth_callback', 'a dot that is any letter'],
  ['http://claude.ai/api/mcp/auth_callback', 'Claude without TLS'],
  ['https://claude.ai/oauth/../api/mcp/auth_callback', 'Claude with dot segments'],
  ['https://chatgpt.com/connector/oauth/', 'ChatGPT without an id'],
  ['https://chatgpt.com/connector/oauth/a/b', 'ChatGPT with two'],
  ['https://chatgpt.com/connector/oauth/a%2fb', 'ChatGPT with an encoded slash'],
  ['https://chatgpt.com/connector/oauth/..', 'ChatGPT and up'],
  ['https://chatgpt.com/connector/oauth/a?b', 'ChatGPT with a query'],
  [`https://chatgpt.com/connector/oauth/${'a'.repeat(300)}`, 'ChatGPT with a long id'],
  ['https://cursor.com.evil.example/agents/mcp/oauth/callback', 'Cursor as a beginning'],
  ['https://evilvscode.dev/redirect', 'VS Code as an end'],
  ['https://evil.insiders.vscode.dev/redirect', 'a host below'],
  ['cursorx://anysphere.cursor-mcp/oauth/callback', 'more than the scheme'],
  ['CURSOR://anysphere.cursor-mcp/oauth/callback', 'the case of a private scheme'],
  ['cursor://user:pass@anysphere.cursor-mcp/', 'a user in a private scheme'],
  ['com.example.app:/callback', 'a private scheme'],
  ['javascript:alert(1)', 'a script'],
  ['JavaScript:alert(1)', 'a script in other case'],
  ['java\nscript:alert(1)', 'a script on two lines'],
  ['javascript://localhost/%0aalert(1)', 'a script with a host'],
  ['data:text/html,x', 'a page in itself'],
  ['file:///etc/passwd', 'a file'],
  ['blob:http://localhost/1', 'a blob'],
  ['vbscript:x', 'another script'],
  ['about:blank', 'an empty page'],
  ['view-source:http://localhost/', 'a source'],
  ['ws://localhost/', 'a socket'],
  ['ftp://localhost/', 'ftp'],
  ['cursor://x/#y', 'a fragment in a private scheme'],
  ['cursor:\\\\x', 'backslashes in a private scheme'],
]

describe('a client that registers itself', () => {
  test.each(FINE)('may name %s', (uri) => {
    expect(judgeRedirect(uri, [])).toBeUndefined()
  })

  test.each(TRICKS)('may not name %j: %s', (uri) => {
    expect(judgeRedirect(uri, [])).toBeString()
    expect(allowsRedirect({ redirectURIs: FINE }, uri)).toBe(false)
  })

  test('may name what is configured, to the byte', () => {
    const allowed = ['https://app.example/cb', 'com.example.app:']
    expect(judgeRedirect('https://app.example/cb', allowed)).toBeUndefined()
    expect(judgeRedirect('com.example.app:/anything', allowed)).toBeUndefined()
    for (const uri of [
      'https://app.example/cb/',
      'https://app.example/cb?x',
      'https://APP.example/cb',
      'http://app.example/cb',
      'com.example.app2:/x',
      'com.example:/x',
    ]) {
      expect(judgeRedirect(uri, allowed)).toBeString()
    }
  })

  test('may not name a dangerous scheme, whatever is configured', () => {
    for (const scheme of ['javascript:', 'data:', 'file:', 'blob:', 'vbscript:', 'about:']) {
      expect(judgeRedirect(`${scheme}//x/y`, [scheme])).toBeString()
      expect(judgeDocumented(`${scheme}//x/y`, [scheme])).toBeString()
    }
  })
})

describe('a document', () => {
  test('may name any page, this machine, and private schemes that are known', () => {
    for (const uri of ['https://any.example/cb', 'http://localhost/cb', 'cursor://x/y'])
      expect(judgeDocumented(uri, [])).toBeUndefined()
    for (const uri of [
      'http://any.example/cb',
      'other://x',
      'https://u@any.example/',
      'https://a/#',
      'https://any.example./cb',
    ])
      expect(judgeDocumented(uri, [])).toBeString()
  })
})

describe('people are sent', () => {
  test('nowhere dangerous, whatever is known of a client', () => {
    for (const uri of ['javascript:alert(1)', 'https://u@app.example/', 'https://app.example/#x'])
      expect(allowsRedirect({ redirectURIs: [uri] }, uri)).toBe(false)
  })

  test.each<[string, string, boolean]>([
    ['http://localhost/callback', 'http://localhost:4711/callback', true],
    ['http://localhost:1/callback', 'http://localhost:2/callback', true],
    ['http://localhost:1/callback', 'http://localhost/callback', true],
    ['http://127.0.0.1/', 'http://127.0.0.1:33418/', true],
    ['http://127.0.0.1', 'http://127.0.0.1:33418/', true],
    ['http://[::1]/cb', 'http://[::1]:1/cb', true],
    ['http://localhost/cb?a=1', 'http://localhost:9/cb?a=1', true],
    ['http://localhost/callback', 'http://127.0.0.1:1/callback', false],
    ['http://localhost/callback', 'http://localhost:1/callback/', false],
    ['http://localhost/callback', 'http://localhost:1/Callback', false],
    ['http://localhost/callback', 'http://localhost:1/callback/x', false],
    ['http://localhost/callback', 'http://localhost:1/callback?x=1', false],
    ['http://localhost/callback', 'https://localhost:1/callback', false],
    ['http://localhost/callback', 'http://localhost:99999/callback', false],
    ['http://localhost/callback', 'http://localhost:1@evil.example/callback', false],
    ['https://app.example/cb', 'https://app.example/cb', true],
    ['https://app.example/cb', 'https://app.example:8443/cb', false],
    ['https://app.example/cb', 'https://app.example/cb?x=1', false],
    ['https://app.example/cb', 'https://app.example/', false],
    ['cursor://x/y', 'cursor://x/y', true],
    ['cursor://x/y', 'cursor://x/z', false],
    ['cursor://x:1/y', 'cursor://x:2/y', false],
  ])('where %s is known, to %s: %p', (own, asked, expected) => {
    expect(allowsRedirect({ redirectURIs: [own] }, asked)).toBe(expected)
  })

  test('to nowhere that browsers take for another place than the one that is known', () => {
    const own = { redirectURIs: FINE }
    const hosts = new Set(FINE.map((uri) => URL.parse(uri)!.hostname))
    fc.assert(
      fc.property(
        fc.constantFrom(...FINE),
        fc.nat(60),
        fc.constantFrom(
          '',
          '@',
          '\\',
          '/',
          '.',
          '..',
          ':',
          '#',
          '?',
          '%2f',
          '\t',
          'evil.example',
          '://',
        ),
        (uri, at, inserted) => {
          const asked = uri.slice(0, at) + inserted + uri.slice(at)
          if (!allowsRedirect(own, asked)) return
          expect(hosts).toContain(new URL(asked).hostname)
          expect(FINE.map((one) => new URL(one).pathname)).toContain(new URL(asked).pathname)
        },
      ),
      { numRuns: 1000 },
    )
  })
})
