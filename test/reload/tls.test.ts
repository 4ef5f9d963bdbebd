/** TLS at the port, and certificates that are replaced while sessions go on. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { type Folder, folder, type Program, run, start } from '../lifecycle/program.ts'
import { CERTIFICATE, OTHER_CERTIFICATE } from '../support/certificate.ts'
import { stdio } from '../support/gateway.ts'
import { ACCEPT, call, INITIALIZE, request } from '../support/http.ts'
import { after } from './told.ts'

// Each waits for events; with others on the same machine they come late.
setDefaultTimeout(60_000)

const gateway = { port: 0, tls: { cert: 'tls/cert.pem', key: 'tls/key.pem' } }
const CONFIG = { gateway, mcpServers: { raw: stdio('raw') } }
const began = (files: Record<string, unknown> = {}) =>
  folder({
    'config.json': CONFIG,
    'tls/cert.pem': CERTIFICATE.cert,
    'tls/key.pem': CERTIFICATE.key,
    ...files,
  })
const write = (place: Folder, name: string, text: string) => Bun.write(join(place.path, name), text)

/** The common name that a new handshake is shown. */
function shown({ url }: Pick<Program, 'url'>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect(
    { host: url.hostname, port: Number(url.port), rejectUnauthorized: false },
    () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    },
  )
  socket.on('error', reject)
  return promise
}

const get = (url: URL, init: BunFetchRequestInit = {}) =>
  fetch(url, { ...init, tls: { rejectUnauthorized: false } })

async function open(program: Program): Promise<(body: string) => Promise<Response>> {
  const url = new URL('raw/mcp', program.url)
  const headers = { 'content-type': 'application/json', accept: ACCEPT }
  const first = await get(url, {
    method: 'POST',
    headers,
    body: request(0, 'initialize', INITIALIZE),
  })
  const id = first.headers.get('mcp-session-id')!
  return (body) => get(url, { method: 'POST', headers: { ...headers, 'mcp-session-id': id }, body })
}

test('it answers over https, and nothing over http', async () => {
  await using place = await began()
  await using program = await start([], { in: place })
  expect(program.url.protocol).toBe('https:')
  const trusting = fetch(new URL('health', program.url).href.replace('127.0.0.1', 'localhost'), {
    tls: { ca: CERTIFICATE.cert },
  } as BunFetchRequestInit)
  expect((await trusting).status).toBe(200)
  expect(fetch(new URL('health', program.url))).rejects.toThrow(/certificate/)
  const plain = new URL('health', program.url.href.replace('https:', 'http:'))
  expect(fetch(plain)).rejects.toThrow()
  const talk = await open(program)
  expect((await talk(call(1, 'echo'))).status).toBe(200)
})

test('another certificate is shown to who comes next, and sessions go on', async () => {
  await using place = await began()
  await using program = await start([], { in: place })
  const talk = await open(program)
  const pid = await (await talk(call(1, 'pid'))).text()
  expect(await shown(program)).toBe('localhost')

  await after(program, 'config_applied', async () => {
    await write(place, 'tls/cert.pem', OTHER_CERTIFICATE.cert)
    await write(place, 'tls/key.pem', OTHER_CERTIFICATE.key)
  })
  expect(await shown(program)).toBe('other.localhost')
  expect(await (await talk(call(1, 'pid'))).text()).toBe(pid)
})

describe('one that is of no use is refused, and the old one stays', () => {
  const bad: [string, [file: string, text: string], string][] = [
    ['no certificate', ['cert.pem', 'nothing'], 'gateway.tls: '],
    ['an empty one', ['cert.pem', ''], 'gateway.tls: '],
    ['no key', ['key.pem', 'planted-nothing'], 'gateway.tls: '],
    [
      'a key that is not its own',
      ['key.pem', OTHER_CERTIFICATE.key],
      'gateway.tls: the key is not that of the certificate',
    ],
    [
      'a certificate that is not for the key',
      ['cert.pem', OTHER_CERTIFICATE.cert],
      'gateway.tls: the key is not that of the certificate',
    ],
  ]
  test.each(bad)('%s', async (_, [file, text], why) => {
    await using place = await began()
    await using program = await start([], { in: place })
    const talk = await open(program)
    const line = await after(program, 'config_refused', () => write(place, `tls/${file}`, text))
    expect(line).toContain(why)
    expect(line).not.toContain('planted')
    expect(await shown(program)).toBe('localhost')
    expect((await talk(call(1, 'echo'))).status).toBe(200)
    const health = () => get(new URL('health', program.url)).then((response) => response.json())
    expect(await health()).toMatchObject({
      status: 'degraded',
      configuration: { error: expect.stringContaining(why) },
    })
    await after(program, 'config_applied', async () => {
      await write(place, 'tls/key.pem', OTHER_CERTIFICATE.key)
      await write(place, 'tls/cert.pem', OTHER_CERTIFICATE.cert)
    })
    expect(await health()).not.toHaveProperty('configuration')
    expect(await shown(program)).toBe('other.localhost')
  })

  test('also where the configuration names other files, which are watched from then on', async () => {
    await using place = await began()
    await using program = await start([], { in: place })
    const tls = { cert: 'new/cert.pem', key: 'new/key.pem' }
    await write(place, 'new/cert.pem', OTHER_CERTIFICATE.cert)
    await write(place, 'new/key.pem', CERTIFICATE.key)
    await after(program, 'config_refused', () =>
      write(place, 'config.json', JSON.stringify({ ...CONFIG, gateway: { port: 0, tls } })),
    )
    expect(await shown(program)).toBe('localhost')
    await after(program, 'config_applied', () => write(place, 'new/key.pem', OTHER_CERTIFICATE.key))
    expect(await shown(program)).toBe('other.localhost')
  })
})

test('with one that is of no use it does not start, and says why', async () => {
  for (const [files, why] of [
    [{ 'tls/key.pem': OTHER_CERTIFICATE.key }, 'the key is not that of the certificate'],
    [{ 'tls/cert.pem': 'x' }, 'gateway.tls: '],
    [{ 'config.json': JSON.stringify(CONFIG).replace('cert.pem', 'no.pem') }, 'gateway.tls.cert: '],
  ] as const) {
    await using place = await began(files)
    const { code, stderr } = await run([], { in: place })
    expect(code).toBe(1)
    expect(stderr).toContain(why)
    expect(stderr).not.toContain('an address of this machine')
  }
})

test('it may come and go at the same port', async () => {
  await using place = await began()
  await using program = await start([], { in: place })
  const plain = { ...CONFIG, gateway: { port: 0 } }
  await after(program, 'config_applied', () => write(place, 'config.json', JSON.stringify(plain)))
  const http = new URL('health', program.url.href.replace('https:', 'http:'))
  expect((await fetch(http)).status).toBe(200)
  expect(shown(program)).rejects.toThrow()
  await after(program, 'config_applied', () => write(place, 'config.json', JSON.stringify(CONFIG)))
  expect(await shown(program)).toBe('localhost')
})
