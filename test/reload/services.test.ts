/** Servers that are added over the API: what becomes of them, over restarts and changes of the file. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Seal } from '../../src/store/seal.ts'
import { SqliteStore } from '../../src/store/sqlite.ts'
import { type Folder, folder, type Program, start } from '../lifecycle/program.ts'
import { called, heard, toolNames, withTools } from '../support/asking.ts'
import { INITIALIZE, post, RawSession, request } from '../support/http.ts'
import { startRemote } from '../support/servers/remote.ts'
import { after, health, running } from './told.ts'

// Each waits for events; with others on the same machine they come late.
setDefaultTimeout(60_000)

const NOWHERE = { url: 'http://127.0.0.1:9/mcp' }
const configured = (mcpServers: object, rest: object = {}) => ({
  gateway: { port: 0 },
  mcpServers,
  ...rest,
})
const began = (mcpServers: object = { a: NOWHERE }, rest: object = {}) =>
  folder({ 'config.json': configured(mcpServers, rest) })
const rewrite = (place: Folder, mcpServers: object, rest: object = {}) =>
  Bun.write(join(place.path, 'config.json'), JSON.stringify(configured(mcpServers, rest)))
const debugging = (place: Folder, env: Record<string, string> = {}) =>
  start(['--log-level', 'debug'], { in: place, env })

async function ended(program: Program): Promise<string> {
  program.signal('SIGTERM')
  expect(await program.exited).toBe(0)
  return program.stdout.text + program.stderr.text
}

interface Answer {
  status: number
  headers: Headers
  text: string
  body: { error?: string; services: object; servers: Record<string, object> }
}

async function api(
  { url }: Program,
  method: string,
  path = '',
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(new URL(`config/services${path}`, url), {
    method,
    headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) }
}
const add = (program: Program, alias: string, server: object) =>
  api(program, 'POST', '', { alias, server })
const remove = (program: Program, alias: string) => api(program, 'DELETE', `/${alias}`)
const sources = async (program: Program) => (await api(program, 'GET')).body.servers

const opening = (program: Program, name: string) =>
  post(new URL(`${name}/mcp`, program.url), request(1, 'initialize', INITIALIZE))
const session = (program: Program, path: string) => RawSession.open(new URL(path, program.url))

describe('a service', () => {
  test('is there at once for who is there, and after restarts, until it is removed', async () => {
    await using one = withTools(['t'])
    await using other = withTools(['u'])
    await using place = await began({ a: { url: one.url }, b: { url: one.url } })
    const headers = { authorization: 'Bearer planted-token', 'x-key': 'planted-key' }
    const url = `${other.url}?key=planted-query`
    let told = ''
    {
      await using program = await debugging(place)
      const merged = await session(program, 'mcp')
      expect(await toolNames(merged)).toEqual(['a_t', 'b_t'])
      const announced = heard(merged, 'notifications/tools/list_changed')
      const { status, text } = await add(program, 'added', { url, headers })
      expect(status).toBe(201)
      expect(text).not.toContain('planted')
      await announced
      expect(await toolNames(merged)).toEqual(['a_t', 'b_t', 'added_u'])
      expect(await called(merged, 'added_u')).toBe('u')
      expect(await called(await session(program, 'added/mcp'), 'u')).toBe('u')
      expect(other.seen.at(-1)!.headers.get('authorization')).toBe('Bearer planted-token')
      expect(other.seen.at(-1)!.path).toContain('planted-query')
      expect((await api(program, 'GET')).text).not.toContain('planted')
      told += await ended(program)
    }
    expect(await kept(place)).not.toContain('planted')
    {
      await using program = await debugging(place)
      const merged = await session(program, 'mcp')
      expect(await toolNames(merged)).toEqual(['a_t', 'b_t', 'added_u'])
      expect(await called(merged, 'added_u')).toBe('u')
      expect(other.seen.at(-1)!.headers.get('x-key')).toBe('planted-key')
      expect(await sources(program)).toMatchObject({
        a: { source: 'file' },
        added: { source: 'api' },
      })
      expect((await add(program, 'added', { url: one.url })).status).toBe(200)
      expect(await toolNames(merged)).toEqual(['a_t', 'b_t', 'added_t'])

      const gone = await session(program, 'added/mcp')
      expect((await remove(program, 'added')).status).toBe(200)
      expect((await remove(program, 'added')).status).toBe(404)
      expect(await toolNames(merged)).toEqual(['a_t', 'b_t'])
      expect((await gone.post(request(2, 'tools/list'))).status).toBe(404)
      expect((await opening(program, 'added')).status).toBe(404)
      told += await ended(program)
    }
    {
      await using program = await debugging(place)
      expect(await running(program)).toEqual(['a', 'b'])
      told += await ended(program)
    }
    expect(told).not.toContain('planted')
    expect(await readFile(join(place.path, 'config.json'), 'utf8')).not.toContain('added')
  })

  test('survives an end without a word', async () => {
    await using place = await began()
    {
      await using program = await debugging(place)
      await add(program, 'x', NOWHERE)
      program.signal('SIGKILL')
      await program.exited
      expect(await kept(place)).not.toContain('127.0.0.1:9')
    }
    await using program = await debugging(place)
    expect(await running(program)).toEqual(['a', 'x'])
  })

  test('stays when the file changes, and inherits from what is in it then', async () => {
    await using place = await began()
    await using program = await debugging(place)
    await add(program, 'x', NOWHERE)
    const line = await after(program, 'config_applied', () => rewrite(place, { b: NOWHERE }))
    expect(line).toMatch(/ added=b changed="" removed=a kept=x$/)
    const changed = await after(program, 'config_applied', () =>
      rewrite(place, { b: NOWHERE }, { defaults: { timeout: 5000 } }),
    )
    expect(changed).toContain('changed="b x"')
  })

  test('is kept where the configuration says so', async () => {
    const gateway = { port: 0, dataDir: 'data' }
    await using place = await began({ a: NOWHERE }, { gateway })
    await using program = await debugging(place)
    await add(program, 'x', NOWHERE)
    expect(await readdir(place.path)).not.toContain('.mcp-gateway')
    expect(await readdir(join(place.path, 'data'))).toContain('key')
  })

  test('makes no file where none is added', async () => {
    await using place = await began()
    await using program = await debugging(place)
    await sources(program)
    await remove(program, 'x')
    expect(await readdir(place.path)).not.toContain('.mcp-gateway')
  })
})

describe('a name that is in the file', () => {
  test('is the file’s: also if it comes there later, and as long as it is there', async () => {
    await using one = withTools(['t'])
    await using other = withTools(['u'])
    await using place = await began()
    await using program = await debugging(place)
    await add(program, 'x', { url: other.url })

    const note = await after(program, 'config_note', () => rewrite(place, { x: { url: one.url } }))
    expect(note).toContain('service \\"x\\"')
    expect(note).toContain('comes first')
    expect(await toolNames(await session(program, 'x/mcp'))).toEqual(['t'])
    expect(await sources(program)).toMatchObject({ x: { source: 'file' } })
    for (const refused of [await add(program, 'x', NOWHERE), await remove(program, 'x')]) {
      expect(refused.status).toBe(409)
      expect(refused.body.error).toContain('configuration file')
    }

    await after(program, 'config_applied', () => rewrite(place, { a: NOWHERE }))
    expect(await toolNames(await session(program, 'x/mcp'))).toEqual(['u'])
    expect(await sources(program)).toMatchObject({ x: { source: 'api' } })
  })

  test('is told of once, and at the next start', async () => {
    await using place = await began()
    const clash = { x: NOWHERE }
    {
      await using program = await debugging(place)
      await add(program, 'x', NOWHERE)
      await after(program, 'config_note', () => rewrite(place, clash))
      await add(program, 'y', NOWHERE)
      await after(program, 'config_applied', () => program.signal('SIGHUP'))
      expect(program.stderr.text.match(/config_note/g)).toHaveLength(1)
      await ended(program)
    }
    await using program = await debugging(place)
    await program.stderr.until(/config_note .*comes first/)
    expect(await running(program)).toEqual(['x', 'y'])
  })

  test('is not to be had, nor is that of a group, or of what is disabled there', async () => {
    const off = { ...NOWHERE, disabled: true }
    await using place = await began({ a: NOWHERE, off }, { groups: { g: ['a'] } })
    await using program = await debugging(place)
    for (const name of ['a', 'off', 'g']) {
      expect((await add(program, name, NOWHERE)).status).toBe(409)
    }
    expect(await running(program)).toEqual(['a'])
    await add(program, 'late', NOWHERE)
    await after(program, 'config_note', () =>
      rewrite(place, { a: NOWHERE }, { groups: { late: ['a'] } }),
    )
    expect(await running(program)).toEqual(['a'])
  })
})

describe('what cannot be read any more is left out, and does not keep the rest from running', () => {
  test('a service whose key is lost; it can be removed, or added anew', async () => {
    await using place = await began()
    {
      await using program = await debugging(place)
      await add(program, 'x', NOWHERE)
      await add(program, 'y', NOWHERE)
      await ended(program)
    }
    await rm(join(place.path, '.mcp-gateway/key'))
    {
      await using program = await debugging(place)
      await program.stderr.until(/config_note text="service \\"x\\".*left out.*key.*\n/)
      await program.stderr.until(/config_note text="service \\"y\\".*left out.*key.*\n/)
      expect(await running(program)).toEqual(['a'])
      expect((await remove(program, 'x')).status).toBe(200)
      expect((await remove(program, 'x')).status).toBe(404)
      expect((await add(program, 'y', NOWHERE)).status).toBe(201)
      await ended(program)
    }
    await using program = await debugging(place)
    expect(await running(program)).toEqual(['a', 'y'])
    expect(program.stderr.text).not.toContain('config_note')
  })

  test('one of several, and it is back with its key', async () => {
    const keys = [1, 2].map((byte) => Buffer.alloc(32, byte).toString('base64'))
    const [first, second] = keys as [string, string]
    await using place = await began()
    for (const [key, name] of [
      [first, 'x'],
      [second, 'y'],
    ] as const) {
      await using program = await debugging(place, { MCP_GATEWAY_KEY: key })
      await add(program, name, NOWHERE)
      await ended(program)
    }
    for (const [key, names] of [
      [second, ['a', 'y']],
      [`${second},${first}`, ['a', 'x', 'y']],
      ['too-short', ['a']],
    ] as const) {
      await using program = await debugging(place, { MCP_GATEWAY_KEY: key })
      expect(await running(program)).toEqual([...names])
      expect(await ended(program)).not.toContain(first)
    }
  })

  test('a store that is damaged; then nothing can be added, and what was not kept does not run', async () => {
    await using place = await folder({
      'config.json': configured({ a: NOWHERE }),
      '.mcp-gateway/mcp-gateway.sqlite': 'no database'.repeat(1000),
    })
    await using program = await debugging(place)
    await program.stderr.until(/config_note text="the services.*left out.*damaged.*\n/)
    expect(await running(program)).toEqual(['a'])
    expect((await health(program)).configuration).toBeUndefined()
    const { status, text } = await add(program, 'x', NOWHERE)
    expect(status).toBe(500)
    expect(text).not.toContain('sqlite')
    expect(await running(program)).toEqual(['a'])
    expect(await sources(program)).not.toHaveProperty('x')
  })

  test('what in the store is not what the API would take', async () => {
    await using remote = withTools(['t'])
    const headers = { authorization: { env: 'PLANTED' } }
    const entries = {
      variable: { url: NOWHERE.url, headers },
      file: { url: NOWHERE.url, headers: { authorization: { file: '/etc/hostname' } } },
      command: { command: 'touch', args: ['made'] },
      foreign: { serverUrl: NOWHERE.url, disabledTools: ['t'] },
      nothing: null,
      literal: { url: `${remote.origin}/\${PLANTED}`, headers: { 'x-literal': '${PLANTED}' } },
    }
    await using place = await began()
    const directory = join(place.path, '.mcp-gateway')
    const [store, seal] = [new SqliteStore(directory), new Seal(directory, {})]
    for (const [name, entry] of Object.entries(entries)) {
      const value = await seal.seal(JSON.stringify(entry), `services/${name}`)
      await store.update<string>('services', name, () => ({ value }))
    }
    await store.close()

    await using program = await debugging(place, { PLANTED: 'planted-value' })
    expect(await running(program)).toEqual(['a', 'literal'])
    for (const name of ['variable', 'file', 'command', 'foreign', 'nothing']) {
      expect(program.stderr.text).toContain(`service \\"${name}\\"`)
    }
    expect(await toolNames(await session(program, 'literal/mcp'))).toEqual(['t'])
    expect(remote.seen[0]!.headers.get('x-literal')).toBe('${PLANTED}')
    expect(JSON.stringify(remote.seen)).not.toContain('planted-value')
    expect(await readdir(place.path)).not.toContain('made')
    expect(await ended(program)).not.toContain('planted-value')
  })
})

describe('is refused, and changes nothing', () => {
  test('what starts programs, is written for others, or would read from this machine', async () => {
    await using place = await began()
    await using program = await debugging(place, { PLANTED: 'planted-value' })
    const { url } = NOWHERE
    for (const server of [
      { command: 'touch', args: ['made'] },
      { url, command: 'touch' },
      { type: 'stdio', url },
      { url, env: { A: 'b' } },
      { url, inheritEnv: true },
      { serverUrl: url },
      { httpUrl: url },
      { url, disabledTools: ['t'] },
      { url, trust: true, envFile: '/etc/environment' },
      { url, autoApprove: [] },
      { url, bearer_token_env_var: 'PLANTED' },
      { url, disabled: true },
      { url: `${url}\${PLANTED}` },
      { url: `${url}\${env:PLANTED}` },
      { url, headers: { a: '${PLANTED:-x}' } },
      { url, headers: { a: { env: 'PLANTED' } } },
      { url, headers: { a: { file: '/etc/hostname' } } },
      { url: 'file:///etc/hostname' },
      { url: 'ftp://127.0.0.1/' },
      { url, insecure: 'yes' },
      { url, mcpProxy: {} },
    ]) {
      const { status, body, text } = await add(program, 'x', server)
      expect({ server, status }).toEqual({ server, status: 400 })
      expect(body.error).toBeString()
      expect(text).not.toContain('planted-value')
    }
    for (const body of [
      { alias: 'x', command: 'touch', args: ['made'] },
      { mcpServers: { x: NOWHERE } },
      { servers: [{ name: 'x', command: ['touch'] }] },
    ]) {
      expect((await api(program, 'POST', '', body)).status).toBe(400)
    }
    expect(await running(program)).toEqual(['a'])
    for (const name of ['made', '.mcp-gateway']) {
      expect(await readdir(place.path)).not.toContain(name)
    }
  })

  test('a path that leads elsewhere, before anything is sent', async () => {
    await using base = startRemote()
    await using evil = startRemote()
    const host = new URL(evil.origin).host
    const gateway = { port: 0, servicesURL: `${base.origin}/root` }
    await using place = await began({ a: NOWHERE }, { gateway })
    await using program = await debugging(place)
    for (const path of [
      `@${host}/x`,
      '@evil.example/x',
      '.evil.example',
      ':80@evil.example',
      `//${host}`,
      '//evil',
      `///${host}`,
      `/\\${host}`,
      `\\\\${host}`,
      `/\t/${host}/x`,
      `/\n/${host}/x`,
      '../..',
      '/../..',
      '/..',
      '/x/../../y',
      '/%2e%2e/x',
      '/%2E./x',
      '/.%252e/x',
      '/%252e%252e/x',
      `/%2f${host}`,
      `/..%2f..%2f${host}`,
      `/%5c${host}`,
      '/x#y',
      `http://${host}/x`,
      `https://${host}/x`,
      `HTTP:${host}`,
      'file:///etc/hostname',
      'javascript:alert(1)',
      `user:word@${host}/x`,
      `/ @${host}`,
      'x',
      '?x',
      ' /x',
    ]) {
      const { status, body } = await api(program, 'POST', '', { alias: 'x', path })
      expect({ path, status }).toEqual({ path, status: 400 })
      expect(body.error).toContain('path')
    }
    expect(await running(program)).toEqual(['a'])
    await (await fetch(new URL('tools', program.url))).text()
    expect([base.seen, evil.seen]).toEqual([[], []])

    // And a good one is where it should be.
    const good = await api(program, 'POST', '', { alias: 'x', path: '/x@y?z=//1' })
    expect(good.status).toBe(201)
    await session(program, 'x/mcp')
    expect(base.seen[0]!.path).toBe('/root/x@y?z=//1')
    expect(evil.seen).toEqual([])
  })
})

describe('who may', () => {
  const TOKENS = {
    tokens: [
      { token: 'planted-root', admin: true },
      { token: 'planted-user' },
      { token: 'planted-some', servers: ['a'] },
    ],
  }
  const doings: [string, string, object | undefined][] = [
    ['GET', '', undefined],
    ['POST', '', { alias: 'x', server: NOWHERE }],
    ['DELETE', '/x', undefined],
  ]

  test('with tokens: those that are for admins', async () => {
    await using place = await began({ a: NOWHERE }, { auth: TOKENS })
    await using program = await debugging(place)
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
    for (const [method, path, body] of doings) {
      const status = async (headers: Record<string, string>) => {
        const answer = await api(program, method, path, body, headers)
        return [answer.status, answer.headers.has('www-authenticate')]
      }
      expect(await status({})).toEqual([401, true])
      expect(await status(bearer('wrong'))).toEqual([401, true])
      expect(await status(bearer('planted-user'))).toEqual([403, false])
      expect(await status(bearer('planted-some'))).toEqual([403, false])
    }
    const upstreams = async () => (await health(program, bearer('planted-root'))).upstreams
    expect(Object.keys(await upstreams())).toEqual(['a'])
    for (const [method, path, body] of doings) {
      const { status } = await api(program, method, path, body, bearer('planted-root'))
      expect(status).toBe(method === 'POST' ? 201 : 200)
      if (method === 'POST') expect(Object.keys(await upstreams())).toEqual(['a', 'x'])
    }
    expect(await ended(program)).not.toContain('planted')
  })

  test('without: who sits at this machine, and is no page or proxy', async () => {
    await using place = await began()
    await using program = await debugging(place)
    const [, , body] = doings[1]!
    for (const headers of [
      { 'x-forwarded-for': '127.0.0.1' },
      { via: '1.1 proxy' },
      { origin: 'http://localhost:1' },
    ] as Record<string, string>[]) {
      expect((await api(program, 'POST', '', body, headers)).status).toBe(403)
    }
    const plain = await fetch(new URL('config/services', program.url), {
      method: 'POST',
      body: JSON.stringify(body),
    })
    expect(plain.status).toBe(415)
    expect(await running(program)).toEqual(['a'])
  })
})

/** All that is kept beside the configuration, as one text. */
async function kept(place: Folder): Promise<string> {
  const directory = join(place.path, '.mcp-gateway')
  const names = await readdir(directory)
  expect(names).toContain('mcp-gateway.sqlite')
  const texts = names.map((name) => readFile(join(directory, name), 'latin1'))
  return (await Promise.all(texts)).join('\n')
}
