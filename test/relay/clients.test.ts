/** What a user of the official clients sees through the gateway: what they would see without it. */
import { describe, expect, test } from 'bun:test'
import { type Answers, type Dial, dialSdk1, dialSdk2 } from '../support/clients.ts'
import { startGateway, stdio } from '../support/gateway.ts'

describe.each<[string, Dial]>([
  ['SDK 1.x', dialSdk1],
  ['SDK 2.x, legacy', dialSdk2],
])('%s client', (_, dial) => {
  async function connect(answers: Answers = {}) {
    const gateway = startGateway({ everything: stdio('everything') })
    const client = await dial(gateway.at('everything'), answers)
    return {
      gateway,
      client,
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]()
        await gateway.close()
      },
    }
  }

  test('initializes, and sees the server itself', async () => {
    await using to = await connect()
    expect(to.client.server).toMatchObject({ name: 'everything' })
    expect(to.client.sessionId).toMatch(/^[0-9a-f]{32}$/)
  })

  test('lists tools and calls one', async () => {
    await using to = await connect()
    expect(await to.client.toolNames()).toContain('test_simple_text')
    expect(await to.client.call('test_simple_text')).toContain('simple text response')
  })

  test('hears progress under its own token, every one and in order', async () => {
    await using to = await connect()
    const heard: number[] = []
    const text = await to.client.call(
      'test_tool_with_progress',
      {},
      {
        onprogress: ({ progress }) => heard.push(progress),
      },
    )
    expect(text).toBe('Reported progress three times.')
    expect(heard).toEqual([0, 50, 100])
  })

  test('a cancelled call is cancelled on the server too', async () => {
    await using to = await connect()
    const stop = new AbortController()
    const call = to.client.call(
      'wait',
      {},
      {
        signal: stop.signal,
        onprogress: () => stop.abort('enough'),
      },
    )
    expect(await call.catch((error) => String(error))).toContain('enough')
    await to.gateway.event('request', ({ outcome }) => outcome === 'cancelled')
    expect(await to.client.call('last_cancelled')).toBe('wait')
  })

  test('answers an elicitation in the course of its call', async () => {
    await using to = await connect({
      elicit: () => ({ username: 'ada', email: 'ada@example.com' }),
    })
    const text = await to.client.call('test_elicitation', { message: 'Who are you?' })
    expect(text).toContain('ada@example.com')
  })

  test('answers a sampling request in the course of its call', async () => {
    await using to = await connect({ sample: (prompt) => `you said: ${prompt}` })
    const text = await to.client.call('test_sampling', { prompt: 'hello' })
    expect(text).toBe('LLM response: you said: hello')
  })

  test('answers for its roots, also after they changed', async () => {
    let uris = ['file:///first']
    await using to = await connect({ roots: () => uris })
    expect(await to.client.call('roots')).toContain('file:///first')
    uris = ['file:///second']
    await to.client.rootsChanged()
    expect(await to.client.call('roots')).toContain('file:///second')
  })

  test('gets the log messages that the server writes during its call', async () => {
    const logged: unknown[] = []
    await using to = await connect({ onLog: (data) => logged.push(data) })
    await to.client.setLevel('debug')
    await to.client.call('test_tool_with_logging')
    expect(logged).toHaveLength(3)
  })

  test('is told of a change of a resource it subscribed to', async () => {
    const { promise, resolve } = Promise.withResolvers<string>()
    await using to = await connect({ onUpdated: resolve })
    const uri = 'test://watched-resource'
    await to.client.subscribe(uri)
    await to.client.call('touch', { uri })
    expect(await promise).toBe(uri)
  })

  test('two clients have servers of their own, and each is asked its own questions', async () => {
    await using gateway = startGateway({ everything: stdio('everything') })
    await using ada = await dial(gateway.at('everything'), { sample: () => 'ada' })
    await using bob = await dial(gateway.at('everything'), { sample: () => 'bob' })
    expect(await ada.call('pid')).not.toBe(await bob.call('pid'))
    const asked = (client: typeof ada) => client.call('test_sampling', { prompt: 'who?' })
    expect(await Promise.all([asked(ada), asked(bob)])).toEqual([
      'LLM response: ada',
      'LLM response: bob',
    ])
  })

  test('its server ends when it terminates the session', async () => {
    await using to = await connect()
    expect((await to.gateway.health()).upstreams.everything!.processes).toBe(1)
    await to.client.terminate()
    await to.gateway.event('upstream_closed')
    expect((await to.gateway.health()).sessions).toBe(0)
  })
})
