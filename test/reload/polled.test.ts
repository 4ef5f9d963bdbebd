/** A configuration at a URL, which is asked again and again whether it is still the same. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { folder, start } from '../lifecycle/program.ts'
import { until } from '../pool/gate.ts'
import { called } from '../support/asking.ts'
import { stdio } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import { Written } from '../support/servers/remote.ts'
import { after, health, running } from './told.ts'

// Each waits for events; with others on the same machine they come late.
setDefaultTimeout(60_000)

const NOWHERE = { url: 'http://127.0.0.1:9/mcp' }
const having = (...names: string[]) =>
  JSON.stringify({
    gateway: { port: 0, pollInterval: 1000 },
    mcpServers: Object.fromEntries(names.map((name) => [name, NOWHERE])),
  })

interface Asked {
  headers: Headers
  status: number
}

/** Where a configuration is to be had. */
class Site implements Disposable {
  text: string
  /** Instead of the text. */
  answer: (() => Response | Promise<Response>) | undefined
  readonly asked: Asked[] = []
  readonly #server: Bun.Server<undefined>

  constructor(text: string) {
    this.text = text
    this.#server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      idleTimeout: 0,
      fetch: async ({ headers }) => {
        const response = (await this.answer?.()) ?? this.#answer(headers)
        this.asked.push({ headers, status: response.status })
        return response
      },
    })
  }

  get url(): string {
    return new URL('config', this.#server.url).href
  }

  /** Waits until it has been asked so many times more. */
  async more(times: number): Promise<Asked[]> {
    const before = this.asked.length
    await until(`it is asked ${times} times`, () => this.asked.length >= before + times)
    return this.asked.slice(before)
  }

  #answer(headers: Headers): Response {
    const etag = `"${Bun.hash(this.text)}"`
    const isKnown = headers.get('if-none-match') === etag
    return new Response(isKnown ? null : this.text, {
      status: isKnown ? 304 : 200,
      headers: { etag },
    })
  }

  [Symbol.dispose](): void {
    void this.#server.stop(true)
  }
}

test.concurrent('a change is applied, and while there is none, nothing happens', async () => {
  const config = { gateway: { port: 0, pollInterval: 1000 }, mcpServers: { kept: stdio('raw') } }
  using site = new Site(JSON.stringify(config))
  await using place = await folder()
  await using program = await start(['--config', site.url], { in: place })
  const session = await RawSession.open(new URL('kept/mcp', program.url))
  const pid = await called(session, 'pid')

  expect((await site.more(2)).map(({ status }) => status)).toEqual([304, 304])
  expect(program.stderr.text).not.toContain('config_')

  const mcpServers = { ...config.mcpServers, more: NOWHERE }
  const line = await after(program, 'config_applied', () => {
    site.text = JSON.stringify({ ...config, mcpServers })
  })
  expect(line).toMatch(/ added=more .*kept=kept$/)
  expect(await running(program)).toEqual(['kept', 'more'])
  expect(await called(session, 'pid')).toBe(pid)
  expect((await site.more(1)).map(({ status }) => status)).toEqual([304])
})

test.concurrent('without ETag the same text is no change', async () => {
  using site = new Site('')
  site.answer = () => new Response(having('a'))
  await using place = await folder()
  await using program = await start(['--config', site.url], { in: place })
  await site.more(2)
  expect(program.stderr.text).not.toContain('config_')
  await after(program, 'config_applied', () => {
    site.answer = () => new Response(having('b'))
  })
  expect(await running(program)).toEqual(['b'])
})

test.concurrent('SIGHUP does not wait for the next time, and takes the whole text', async () => {
  using site = new Site(having('a').replace('1000', '60000'))
  await using place = await folder()
  await using program = await start(['--config', site.url], { in: place })
  const before = site.asked.length
  await after(program, 'config_applied', () => program.signal('SIGHUP'))
  expect(site.asked.slice(before).map(({ status }) => status)).toEqual([200])
})

test.concurrent('it is asked with the same headers each time, and they are told to nobody', async () => {
  using site = new Site(having('a'))
  await using place = await folder()
  await using program = await start(
    [
      '--config',
      site.url.replace('//', '//user:planted-word@'),
      '--http-headers',
      'Authorization: Bearer planted-token; X-Other: planted-other',
      '--log-level=debug',
    ],
    { in: place },
  )
  await site.more(1)
  await after(program, 'config_refused', () => {
    site.answer = () => new Response('planted-text', { status: 403 })
  })
  const { configuration } = await health(program)
  site.answer = undefined
  await after(program, 'config_applied', () => {
    site.text = having('b')
  })
  for (const { headers } of site.asked) {
    expect(headers.get('authorization')).toBe('Bearer planted-token')
    expect(headers.get('x-other')).toBe('planted-other')
  }
  const told = program.stdout.text + program.stderr.text + configuration!.error
  expect(told).not.toContain('planted')
})

describe('what cannot be used is refused, and what runs goes on', () => {
  const bad: [string, () => Response | Promise<Response>, RegExp][] = [
    ['an error', () => new Response('planted', { status: 500 }), /status 500/],
    ['garbage', () => new Response('<html>planted</html>'), /config:1: /],
    ['nothing', () => new Response(''), /config/],
    ['one with a fault', () => new Response(having('a').replace('http:', 'ftp:')), /\.url: /],
    ['no answer in time', () => new Promise<Response>(() => {}), /more than 1 s/],
    ['a connection that breaks off', brokenOff, /cannot be downloaded/],
    ['a redirect to nowhere', () => Response.redirect('ftp://x/', 302), /redirects/],
  ]
  test.concurrent.each(bad)('%s', async (_, answer, why) => {
    using site = new Site(having('a'))
    await using place = await folder()
    await using program = await start(['--config', site.url, '--http-timeout', '1'], { in: place })
    const line = await after(program, 'config_refused', () => {
      site.answer = answer
    })
    expect(line).toMatch(why)
    expect(line).not.toContain('planted')
    const { status, configuration, upstreams } = await health(program)
    expect([status, Object.keys(upstreams)]).toEqual(['degraded', ['a']])
    expect(configuration!.error).toMatch(why)

    // The same as before is good again, too.
    await after(program, 'config_applied', () => {
      site.answer = undefined
    })
    expect((await health(program)).configuration).toBeUndefined()
    await after(program, 'config_applied', () => {
      site.text = having('b')
    })
    expect(await running(program)).toEqual(['b'])
  })

  test.concurrent('and is told once, however often it is asked', async () => {
    using site = new Site(having('a'))
    await using place = await folder()
    await using program = await start(['--config', site.url], { in: place })
    await after(program, 'config_refused', () => {
      site.answer = () => new Response('', { status: 500 })
    })
    await site.more(2)
    await after(program, 'config_refused', () => {
      site.answer = () => new Response('', { status: 404 })
    })
    expect(program.stderr.text.match(/config_refused/g)).toHaveLength(2)
  })
})

test.concurrent('a file that it names is watched as well', async () => {
  await using place = await folder({ token: 'one' })
  const path = join(place.path, 'token')
  const server = { ...NOWHERE, headers: { authorization: { file: path } } }
  const gateway = { port: 0, pollInterval: 60_000 }
  using site = new Site(JSON.stringify({ gateway, mcpServers: { a: server } }))
  await using program = await start(['--config', site.url], { in: place })
  const line = await after(program, 'config_applied', () => Bun.write(path, 'two'))
  expect(line).toContain('changed=a')
})

/** Less than all of it. */
function brokenOff(): Response {
  const written = new Written('{"mcpServers":')
  setImmediate(() => written.breakOff())
  return written.response
}
