/** Who meets which process of a server, and who is asked what it asks. */
import { describe, expect, test } from 'bun:test'
import { isAlive } from '../lifecycle/program.ts'
import { ask, heard } from '../support/asking.ts'
import { dialSdk1, type TestClient } from '../support/clients.ts'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { eventsOf, RawSession } from '../support/http.ts'
import { Gate, until } from './gate.ts'
import { Person } from './people.ts'

const ISOLATIONS = ['user', 'session', 'shared'] as const
type Isolation = (typeof ISOLATIONS)[number]

/** A gateway with a server of each isolation, under its name. */
function gatewayOf(server: string, pool: object = {}): TestGateway {
  const of = (isolation: Isolation) => stdio(server, { isolation, pool })
  return startGateway({ user: of('user'), session: of('session'), shared: of('shared') })
}

const one = (isolation: Isolation = 'user', pool: object = {}, options: object = {}) =>
  startGateway({ everything: stdio('everything', { isolation, pool, ...options }) })

const URI = 'test://watched-resource'

describe('a server that counts', () => {
  test('has a count for each session under `session`', async () => {
    await using gateway = one('session')
    await using first = await dialSdk1(gateway.at('everything'))
    await using second = await dialSdk1(gateway.at('everything'))
    const counts = []
    for (const client of [first, first, second, first, second])
      counts.push(await client.call('count'))
    expect(counts).toEqual(['1', '2', '1', '3', '2'])
  })

  test('has a count for each session under `session`, also when calls overlap', async () => {
    await using gateway = one('session')
    await using first = await dialSdk1(gateway.at('everything'))
    await using second = await dialSdk1(gateway.at('everything'))
    const counts = (client: TestClient) => Promise.all([1, 2, 3].map(() => client.call('count')))
    const sorted = (await Promise.all([counts(first), counts(second)])).map((all) => all.sort())
    expect(sorted).toEqual([
      ['1', '2', '3'],
      ['1', '2', '3'],
    ])
  })

  test('has one count for each person under `user`, when calls do not overlap', async () => {
    await using gateway = gatewayOf('everything')
    using ada = await Person.at(gateway, 'user', 'ada')
    using also = await Person.at(gateway, 'user', 'ada')
    using bob = await Person.at(gateway, 'user', 'bob')
    const counts = []
    for (const person of [ada, also, bob, ada, bob, also]) counts.push(await person.call('count'))
    expect(counts).toEqual(['1', '2', '1', '3', '2', '4'])
  })

  test('has one count for the clients of a gateway without logins', async () => {
    await using gateway = one()
    await using first = await dialSdk1(gateway.at('everything'))
    await using second = await dialSdk1(gateway.at('everything'))
    const counts = []
    for (const client of [first, second, first, second]) counts.push(await client.call('count'))
    expect(counts).toEqual(['1', '2', '3', '4'])
  })

  test('has one count for all under `shared`', async () => {
    await using gateway = one('shared')
    using ada = await Person.at(gateway, 'everything', 'ada')
    using bob = await Person.at(gateway, 'everything', 'bob')
    const counts = []
    for (const person of [ada, bob, ada]) counts.push(await person.call('count'))
    expect(counts).toEqual(['1', '2', '3'])
  })

  test('goes on counting for a person whose session has ended, unless it was the session’s own', async () => {
    await using gateway = gatewayOf('everything')
    const counts = []
    for (const isolation of ISOLATIONS) {
      for (let i = 0; i < 2; i++) {
        using ada = await Person.at(gateway, isolation, 'ada')
        counts.push(await ada.call('count'))
      }
    }
    expect(counts).toEqual(['1', '2', '1', '1', '1', '2'])
  })
})

describe('two users', () => {
  test.each<[Isolation, number]>([
    ['user', 2],
    ['session', 3],
    ['shared', 1],
  ])('under `%s`, one of them with two sessions, meet %i processes', async (isolation, count) => {
    await using gateway = gatewayOf('everything')
    using ada = await Person.at(gateway, isolation, 'ada')
    using also = await Person.at(gateway, isolation, 'ada')
    using bob = await Person.at(gateway, isolation, 'bob')
    const pids = []
    for (const person of [ada, also, bob]) pids.push(await person.call('pid'))
    expect(new Set(pids).size).toBe(count)
    expect(pids[0] === pids[1]).toBe(isolation !== 'session')
    expect(pids[0] === pids[2]).toBe(isolation === 'shared')
  })

  test.each(ISOLATIONS)(
    'under `%s`, with all their calls at once and room for three processes',
    async (isolation) => {
      await using gateway = gatewayOf('everything', { maxConnections: 3 })
      const people = await Promise.all(
        ['ada', 'bob', 'ada', 'bob'].map((name) => Person.at(gateway, isolation, name)),
      )
      const seen: Record<string, Set<string>> = { ada: new Set(), bob: new Set() }
      for (let round = 0; round < 3; round++) {
        await Promise.all(
          people.flatMap((person) =>
            [1, 2, 3].map(async () => seen[person.principal.id]!.add(await person.call('pid'))),
          ),
        )
      }
      const both = seen.ada!.intersection(seen.bob!)
      if (isolation === 'shared') expect(both.size).toBeGreaterThan(0)
      else expect([...both]).toEqual([])
      for (const person of people) person[Symbol.dispose]()
    },
    // Where two users take turns, processes do, too.
    20_000,
  )

  test('share no process even where there is room for only one', async () => {
    await using gateway = gatewayOf('everything', { maxConnections: 1 })
    using ada = await Person.at(gateway, 'user', 'ada')
    using bob = await Person.at(gateway, 'user', 'bob')
    const pids: string[] = []
    for (const person of [ada, bob, ada, bob]) pids.push(await person.call('pid'))
    expect(new Set(pids).size).toBe(4)
  })
})

describe('clients that are not alike share no connection', () => {
  test.each(['user', 'shared'] as const)(
    'with other capabilities, under `%s`',
    async (isolation) => {
      await using gateway = one(isolation)
      await using plain = await dialSdk1(gateway.at('everything'))
      await using sampling = await dialSdk1(gateway.at('everything'), { sample: () => 'sampled' })
      expect(await plain.call('pid')).not.toBe(await sampling.call('pid'))
      expect(await sampling.call('test_sampling', { prompt: '?' })).toBe('LLM response: sampled')
      expect(await plain.call('test_sampling', { prompt: '?' })).toContain(
        'does not support sampling',
      )
    },
  )

  test('with another protocol version', async () => {
    await using gateway = one()
    const pids = new Set<string>()
    for (const protocolVersion of ['2025-06-18', '2025-11-25', '2025-06-18']) {
      const session = await RawSession.open(gateway.at('everything'), { protocolVersion })
      pids.add(JSON.parse(await session.call(1, 'pid')).result.content[0].text)
    }
    expect(pids.size).toBe(2)
  })

  test('under whatever names they come, they do', async () => {
    await using gateway = one()
    const pids = new Set<string>()
    for (const name of ['one', 'two']) {
      const clientInfo = { name, version: name }
      const session = await RawSession.open(gateway.at('everything'), { clientInfo })
      pids.add(JSON.parse(await session.call(1, 'pid')).result.content[0].text)
    }
    expect(pids.size).toBe(1)
  })
})

describe('what a server asks reaches exactly the client whose call it is', () => {
  const answering = (name: string) => ({
    sample: () => name,
    elicit: () => ({ username: name, email: `${name}@example.com` }),
    roots: () => [`file:///${name}`],
  })
  const asked = async (client: TestClient) => {
    const sampled = await client.call('test_sampling', { prompt: 'who?' })
    const elicited = await client.call('test_elicitation', { message: 'who?' })
    return [sampled, elicited, await client.call('roots')].join()
  }
  const answersOf = (name: string) =>
    [
      `LLM response: ${name}`,
      `User response: action=accept, content=${JSON.stringify(answering(name).elicit())}`,
      JSON.stringify([{ uri: `file:///${name}` }]),
    ].join()
  const right: [string, string] = [answersOf('ada'), answersOf('bob')]

  test.each(ISOLATIONS)(
    'two sessions at once, with two connections, under `%s`',
    async (isolation) => {
      await using gateway = one(isolation, { maxConnections: 2 })
      await using ada = await dialSdk1(gateway.at('everything'), answering('ada'))
      await using bob = await dialSdk1(gateway.at('everything'), answering('bob'))
      for (let round = 0; round < 5; round++) {
        expect(await Promise.all([asked(ada), asked(bob)])).toEqual(right)
      }
    },
  )

  test.each(['user', 'shared'] as const)(
    'two sessions in turn, with one connection, under `%s`',
    async (isolation) => {
      await using gateway = one(isolation, { maxConnections: 1 })
      await using ada = await dialSdk1(gateway.at('everything'), answering('ada'))
      await using bob = await dialSdk1(gateway.at('everything'), answering('bob'))
      expect(await ada.call('pid')).toBe(await bob.call('pid'))
      for (let round = 0; round < 3; round++) {
        expect([await asked(ada), await asked(bob)]).toEqual(right)
      }
    },
  )

  test('four sessions at once, with one connection', async () => {
    await using gateway = one('user', { maxConnections: 1 })
    const clients = await Promise.all(
      ['ada', 'bob', 'ada', 'bob'].map((name) =>
        dialSdk1(gateway.at('everything'), answering(name)),
      ),
    )
    expect(await Promise.all(clients.map(asked))).toEqual([...right, ...right])
    await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()))
  })

  test('of two users who share a server, too', async () => {
    await using gateway = one('shared', { maxConnections: 1 })
    const sampling = (name: string) => () => ({
      role: 'assistant',
      model: 'test',
      content: { type: 'text', text: name },
    })
    using ada = await Person.at(gateway, 'everything', 'ada', { sampling: {} }, sampling('ada'))
    using bob = await Person.at(gateway, 'everything', 'bob', { sampling: {} }, sampling('bob'))
    const asked = (person: Person) => person.call('test_sampling', { prompt: 'who?' })
    expect(await Promise.all([asked(ada), asked(bob), asked(ada)])).toEqual([
      'LLM response: ada',
      'LLM response: bob',
      'LLM response: ada',
    ])
  })

  test('what a server remembers of roots is forgotten when another session calls', async () => {
    await using gateway = one('user', { maxConnections: 1 })
    await using ada = await dialSdk1(gateway.at('everything'), answering('ada'))
    await using bob = await dialSdk1(gateway.at('everything'), answering('bob'))
    for (let round = 0; round < 2; round++) {
      expect(await ada.call('known_roots')).toContain('file:///ada')
      expect(await ada.call('known_roots')).toContain('file:///ada')
      expect(await bob.call('known_roots')).toContain('file:///bob')
    }
    expect(await ada.call('pid')).toBe(await bob.call('pid'))
  })

  test('and of roots that change, also while somebody else had the connection', async () => {
    await using gateway = one('user', { maxConnections: 1 })
    let uris = ['file:///first']
    await using ada = await dialSdk1(gateway.at('everything'), { roots: () => uris })
    await using bob = await dialSdk1(gateway.at('everything'), { roots: () => ['file:///bob'] })
    expect(await ada.call('known_roots')).toContain('file:///first')
    uris = ['file:///second']
    await ada.rootsChanged()
    expect(await ada.call('known_roots')).toContain('file:///second')
    await bob.call('known_roots')
    uris = ['file:///third']
    await ada.rootsChanged()
    expect(await bob.call('known_roots')).toContain('file:///bob')
    expect(await ada.call('known_roots')).toContain('file:///third')
  })

  test('what it asks when nobody calls, nobody is asked', async () => {
    await using gateway = startGateway({ raw: stdio('raw', { isolation: 'user' }) })
    const questions: string[] = []
    const answer = (method: string) => {
      questions.push(method)
      return { roots: [] }
    }
    using ada = await Person.at(gateway, 'raw', 'ada', { roots: {} }, answer)
    expect(await ada.call('ask_late')).toBe('waiting')
    const { pid } = await gateway.event('upstream_spawned')
    process.kill(pid, 'SIGUSR2')
    const { text } = await gateway.event('upstream_stderr')
    expect(JSON.parse(text)).toMatchObject({ id: -1, error: { code: -32601 } })
    expect(questions).toEqual([])
  })
})

describe('a connection that outlives the session it was opened for', () => {
  test('tells the next one what has changed', async () => {
    await using gateway = one()
    const gone = await RawSession.open(gateway.at('everything'))
    const pid = async (session: RawSession) => JSON.parse(await session.call('p', 'pid')).result
    const before = await pid(gone)
    await gone.delete()
    const ada = await RawSession.open(gateway.at('everything'))
    expect(await pid(ada)).toEqual(before)
    const told = heard(ada, 'notifications/tools/list_changed')
    await ada.call(1, 'grow_tools')
    await told
  })

  test('is told when the roots of the next one change', async () => {
    await using gateway = one('user', { maxConnections: 1 })
    const gone = await dialSdk1(gateway.at('everything'), { roots: () => ['file:///gone'] })
    expect(await gone.call('known_roots')).toContain('file:///gone')
    await gone.terminate()
    let uris = ['file:///first']
    await using ada = await dialSdk1(gateway.at('everything'), { roots: () => uris })
    expect(await ada.call('known_roots')).toContain('file:///first')
    uris = ['file:///second']
    await ada.rootsChanged()
    expect(await ada.call('known_roots')).toContain('file:///second')
    expect(gateway.gateway.status.everything!.spawned).toBe(1)
  })

  test('has the merged lists of the next one read again after a change', async () => {
    const everything = stdio('everything', { isolation: 'user' })
    await using gateway = startGateway({ everything, other: stdio('raw') })
    const gone = await dialSdk1(new URL('mcp', gateway.url))
    await gone.toolNames()
    await gone.terminate()
    await using ada = await dialSdk1(new URL('mcp', gateway.url))
    expect(await ada.toolNames()).not.toContain('everything_grown_1')
    await ada.call('everything_grow_tools')
    await until(
      'it is listed',
      async () => (await ada.toolNames()).includes('everything_grown_1'),
      4_000,
    )
  })
})

describe('a session gets a connection of its own', () => {
  /** Two others, which share one. */
  const withOthers = async (gateway: TestGateway) => {
    const first = await dialSdk1(gateway.at('everything'))
    const second = await dialSdk1(gateway.at('everything'))
    return {
      async pid() {
        const pid = await first.call('pid')
        expect(await second.call('pid')).toBe(pid)
        return pid
      },
      first,
      async [Symbol.asyncDispose]() {
        await first[Symbol.asyncDispose]()
        await second[Symbol.asyncDispose]()
      },
    }
  }

  test('when it subscribes; the others stay where they are', async () => {
    await using gateway = one()
    const updated: string[] = []
    const told = Promise.withResolvers<void>()
    await using ada = await dialSdk1(gateway.at('everything'), {
      onUpdated: (uri) => {
        updated.push(uri)
        told.resolve()
      },
    })
    await using others = await withOthers(gateway)
    const shared = await others.pid()
    expect(await ada.call('pid')).toBe(shared)
    await ada.subscribe(URI)
    const own = await ada.call('pid')
    expect(own).not.toBe(shared)
    expect(await others.pid()).toBe(shared)
    // Nobody subscribed there.
    await others.first.call('touch', { uri: URI })
    await ada.call('touch', { uri: URI })
    await told.promise
    expect(updated).toEqual([URI])
    await ada.unsubscribe(URI)
    expect(await ada.call('pid')).toBe(own)
  })

  test('when it sets a log level, which is that of nobody else', async () => {
    await using gateway = one()
    const ada: unknown[] = []
    const bob: unknown[] = []
    await using quiet = await dialSdk1(gateway.at('everything'), {
      onLog: (data) => ada.push(data),
    })
    await using loud = await dialSdk1(gateway.at('everything'), { onLog: (data) => bob.push(data) })
    const shared = await loud.call('pid')
    await quiet.setLevel('error')
    await quiet.call('test_tool_with_logging')
    expect(ada).toEqual([])
    await loud.call('test_tool_with_logging')
    expect(bob).toHaveLength(3)
    expect(await loud.call('pid')).toBe(shared)
    expect(await quiet.call('pid')).not.toBe(shared)
    await quiet.setLevel('debug')
    await quiet.call('test_tool_with_logging')
    expect(ada).toHaveLength(3)
    expect(bob).toHaveLength(3)
  })

  test('when it starts a task, and finds it there', async () => {
    await using gateway = one()
    const ada = await RawSession.open(gateway.at('everything'))
    await using others = await withOthers(gateway)
    const shared = await others.pid()
    const call = { name: 'slow_task', arguments: { ms: 10 }, task: { ttl: 60_000 } }
    const { taskId } = (await ask(ada, 'tools/call', call)).result.task
    expect((await ask(ada, 'tasks/get', { taskId })).result).toMatchObject({ taskId })
    const { result } = await ask(ada, 'tasks/result', { taskId })
    expect(result.content[0].text).toBe('done at last')
    expect(JSON.parse(await ada.call('p', 'pid')).result.content[0].text).not.toBe(shared)
    expect(await others.pid()).toBe(shared)
  })

  test('when it tells something that we know nothing of', async () => {
    await using gateway = one()
    const ada = await RawSession.open(gateway.at('everything'))
    await using others = await withOthers(gateway)
    const shared = await others.pid()
    const stop = new AbortController()
    const stream = await ada.listen({}, stop.signal)
    await ada.post('{"jsonrpc":"2.0","method":"notifications/x/ping","params":{"n":1}}')
    for await (const { data } of eventsOf(stream)) {
      if (!data.includes('notifications/x/pong')) continue
      expect(JSON.parse(data).params).toEqual({ n: 1 })
      break
    }
    stop.abort()
    expect(JSON.parse(await ada.call('p', 'pid')).result.content[0].text).not.toBe(shared)
    expect(await others.pid()).toBe(shared)
  })

  test('with its subscription, when the one it had has died', async () => {
    await using gateway = one()
    const updated = Promise.withResolvers<string>()
    await using ada = await dialSdk1(gateway.at('everything'), { onUpdated: updated.resolve })
    await ada.subscribe(URI)
    const pid = Number(await ada.call('pid'))
    process.kill(pid, 'SIGKILL')
    await gateway.event('upstream_closed')
    await ada.call('touch', { uri: URI })
    expect(await updated.promise).toBe(URI)
  })

  test('which ends with the session', async () => {
    await using gateway = one('user', { minConnections: 0 })
    const ada = await dialSdk1(gateway.at('everything'))
    await ada.subscribe(URI)
    const pid = Number(await ada.call('pid'))
    await ada.terminate()
    await until('its process is gone', () => !isAlive(pid))
  })

  test('within bounds, and is told which', async () => {
    await using gateway = one('user', {}, { maxSessionConnections: 1 })
    const ada = await RawSession.open(gateway.at('everything'))
    const bob = await RawSession.open(gateway.at('everything'))
    const subscribed = (session: RawSession) => ask(session, 'resources/subscribe', { uri: URI })
    expect(await subscribed(ada)).toEqual({ result: {}, error: undefined })
    const { error } = await subscribed(bob)
    expect(error.data).toMatchObject({ code: 'upstream_busy', server: 'everything' })
    expect(error.message).toContain('server "everything"')
    expect(error.data.hint).toContain('mcpServers.everything.maxSessionConnections')
    // It is no worse off than before.
    const third = await RawSession.open(gateway.at('everything'))
    const pid = async (session: RawSession) => JSON.parse(await session.call('p', 'pid')).result
    expect(await pid(bob)).toEqual(await pid(third))
    await ada.delete()
    await until('there is room again', async () => (await subscribed(bob)).result)
  })

  test('under `session`, within the same bounds', async () => {
    await using gateway = one('session', {}, { maxSessionConnections: 1 })
    using ada = await Person.at(gateway, 'everything', 'ada')
    await ada.call('pid')
    const bob = Person.at(gateway, 'everything', 'bob')
    expect(await bob.catch((error) => error)).toMatchObject({
      code: 'upstream_busy',
      server: 'everything',
      hint: expect.stringContaining('mcpServers.everything.maxSessionConnections'),
    })
  })
})

test('what one session cancels, goes on for another', async () => {
  using gate = new Gate()
  await using gateway = one('user', { maxConnections: 2 })
  await using ada = await dialSdk1(gateway.at('everything'))
  await using bob = await dialSdk1(gateway.at('everything'))
  const stop = new AbortController()
  const given = ada.call('fetch', gate.args, { signal: stop.signal }).catch(String)
  const kept = bob.call('fetch', gate.args)
  await gate.held(2)
  stop.abort('enough')
  expect(await given).toContain('enough')
  await gateway.event('request', ({ outcome }) => outcome === 'cancelled')
  gate.open()
  expect(await kept).toBe('through')
})

test('a change that a stdio server tells of is told to every session', async () => {
  await using gateway = one()
  const ada = await RawSession.open(gateway.at('everything'))
  const bob = await RawSession.open(gateway.at('everything'))
  const CHANGED = 'notifications/tools/list_changed'
  await ask(bob, 'tools/list')
  await ask(ada, 'tools/list')
  const told = Promise.all([heard(ada, CHANGED), heard(bob, CHANGED)])
  await ada.call(1, 'grow_tools')
  await told
})
