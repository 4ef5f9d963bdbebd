/** What is asked goes to the server that it belongs to, and what is hidden to none. */
import { describe, expect, test } from 'bun:test'
import { answering, ask, introducing, refusing } from '../support/asking.ts'
import { startGateway, stdio } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import { startRemote } from '../support/servers/remote.ts'

const withTemplate = (uriTemplate: string, said: string) =>
  startRemote({
    initialize: introducing({ resources: { subscribe: true }, completions: {} }),
    'resources/list': answering({ resources: [] }),
    'resources/templates/list': answering({ resourceTemplates: [{ uriTemplate, name: said }] }),
    'resources/read': answering({ contents: [{ uri: 'x://', text: said }] }),
    'completion/complete': answering({ completion: { values: [said] } }),
  })

test('a template is completed by its own server, not by one whose template would fit it', async () => {
  await using greedy = withTemplate('test://{path}', 'greedy')
  await using own = withTemplate('test://template/{id}', 'own')
  await using gateway = startGateway({ greedy: { url: greedy.url }, own: { url: own.url } })
  const session = await RawSession.open(new URL('mcp', gateway.url))
  const ref = { type: 'ref/resource', uri: 'test://template/{id}' }
  const params = { ref, argument: { name: 'id', value: '' } }
  const { result } = await ask(session, 'completion/complete', params)
  expect(result.completion.values).toEqual(['own'])
})

test('what a server says of a URI that fits its template is not covered by what others say', async () => {
  await using one = withTemplate('db://{table}', 'one')
  await using two = withTemplate('y://{id}', 'two')
  one.on['resources/read'] = refusing(-32603, 'the table is locked')
  two.on['resources/read'] = refusing(-32002, 'not mine')
  await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
  const session = await RawSession.open(new URL('mcp', gateway.url))
  const { error } = await ask(session, 'resources/read', { uri: 'db://users' })
  expect(error).toEqual({ code: -32603, message: 'the table is locked' })
})

test('a method is one of the server, be it called like a property that every object has', async () => {
  const tools = { block: ['big'] }
  await using gateway = startGateway({ raw: { ...stdio('raw'), tools } })
  const session = await RawSession.open(gateway.at('raw'))
  for (const method of ['constructor', 'toString', '__proto__']) {
    expect((await ask(session, method, {})).error).toEqual({
      code: -32601,
      message: 'Method not found',
    })
  }
})

describe('resources that are hidden', () => {
  const block = ['secret://*', 'file:///private/*', 'db://{table}/rows']
  const reads = (seen: { kind: string }[]) => seen.filter(({ kind }) => kind === 'resources/read')

  test('are unknown in every spelling, and so is what a hidden template gives', async () => {
    await using one = withTemplate('db://{table}/rows', 'one')
    await using two = withTemplate('y://{id}', 'two')
    two.on['resources/read'] = refusing(-32002, 'not mine')
    const servers = {
      one: { url: one.url, resources: { block } },
      two: { url: two.url },
    }
    await using gateway = startGateway(servers)
    for (const path of ['mcp', 'one/mcp']) {
      const session = await RawSession.open(new URL(path, gateway.url))
      const { result } = await ask(session, 'resources/templates/list')
      expect(result.resourceTemplates).toHaveLength(path === 'mcp' ? 1 : 0)
      for (const uri of [
        'secret://1',
        'SECRET://1',
        'secret://%31',
        'file:///private/a',
        'file:///public/../private/a',
        'file:///%70rivate/a',
        'file://localhost/private/a',
        'db://users/rows',
      ]) {
        expect((await ask(session, 'resources/read', { uri })).error).toEqual({
          code: -32002,
          message: `Unknown resource: ${uri}`,
          data: { code: 'resource_unknown' },
        })
      }
    }
    expect(reads(one.seen)).toEqual([])
  })

  test('are answered like those that nobody knows', async () => {
    await using one = withTemplate('z://{id}', 'one')
    await using two = withTemplate('y://{id}', 'two')
    for (const { on } of [one, two]) on['resources/read'] = refusing(-32602, 'not here')
    await using gateway = startGateway({
      one: { url: one.url, resources: { block } },
      two: { url: two.url },
    })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    for (const uri of ['secret://1', 'nobody://knows']) {
      expect((await ask(session, 'resources/read', { uri })).error).toEqual({
        code: -32002,
        message: `Unknown resource: ${uri}`,
        data: { code: 'resource_unknown' },
      })
    }
  })

  test('what an allowed template gives can be read', async () => {
    await using one = withTemplate('docs://{page}', 'one')
    const resources = { allow: ['docs://{page}'] }
    await using two = withTemplate('y://{id}', 'two')
    await using gateway = startGateway({ one: { url: one.url, resources }, two: { url: two.url } })
    for (const path of ['mcp', 'one/mcp']) {
      const session = await RawSession.open(new URL(path, gateway.url))
      const { result } = await ask(session, 'resources/read', { uri: 'docs://intro' })
      expect(result.contents[0].text).toBe('one')
    }
  })
})

test('a secret that begins like another is not told by its rest, nor one of several lines', async () => {
  await using gateway = startGateway({
    silent: {
      command: 'sh',
      args: ['-c', 'echo "$LONG" >&2; echo "$LINES" >&2; exit 7'],
      env: { SHORT: 'hunter2', LONG: 'hunter2-and-more', LINES: 'first-line\nsecond-line' },
    },
  })
  const refused = await RawSession.open(gateway.at('silent')).catch((error) => String(error))
  expect(refused).toContain('[secret]')
  for (const text of [refused, JSON.stringify([await gateway.health(), gateway.events])]) {
    for (const part of ['and-more', 'first-line', 'second-line']) expect(text).not.toContain(part)
  }
})
