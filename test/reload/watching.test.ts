/** Files that change while the program runs: however they are replaced, and whatever is in them then. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdir, rename, rm, symlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { FileWatch } from '../../src/config/watch.ts'
import { type Folder, folder, isGone, ROOT, start } from '../lifecycle/program.ts'
import { until } from '../pool/gate.ts'
import { called, withTools } from '../support/asking.ts'
import { stdio } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import { after, health, running } from './told.ts'

// Each waits for events; with others on the same machine they come late.
setDefaultTimeout(60_000)

const NOWHERE = { url: 'http://127.0.0.1:9/mcp' }
const GATEWAY = { port: 0 }
/** Nobody knocks at these servers. */
const having = (...names: string[]) =>
  JSON.stringify({
    gateway: GATEWAY,
    mcpServers: Object.fromEntries(names.map((name) => [name, NOWHERE])),
  })

const write = (place: Folder, name: string, text: string) => Bun.write(join(place.path, name), text)
const began = () => folder({ 'config.json': having('a') })

describe('a configuration is noticed', () => {
  const ways: [string, (place: Folder, text: string) => Promise<unknown>][] = [
    ['when it is written in place', (place, text) => write(place, 'config.json', text)],
    [
      'when another takes its name, as VS Code does it',
      async (place, text) => {
        await write(place, '.config.json.tmp', text)
        await rename(join(place.path, '.config.json.tmp'), join(place.path, 'config.json'))
      },
    ],
    [
      'when it is moved away first, as vim does it',
      async (place, text) => {
        await rename(join(place.path, 'config.json'), join(place.path, 'config.json~'))
        await write(place, 'config.json', text)
        await rm(join(place.path, 'config.json~'))
      },
    ],
    [
      'when the one that takes its name is as large and as old',
      async (place, text) => {
        const time = new Date(0)
        await write(place, 'other', text)
        await utimes(join(place.path, 'other'), time, time)
        await rename(join(place.path, 'other'), join(place.path, 'config.json'))
      },
    ],
  ]
  test.each(ways)('%s', async (_, replace) => {
    await using place = await began()
    await using program = await start([], { in: place })
    const line = await after(program, 'config_applied', () => replace(place, having('b')))
    expect(line).toContain('added=b')
    expect(line).toContain('removed=a')
    expect(await running(program)).toEqual(['b'])
    // And the next one, too.
    await after(program, 'config_applied', () => replace(place, having('c')))
    expect(await running(program)).toEqual(['c'])
  })

  test('when the folder behind a link is another, as Kubernetes does it', async () => {
    await using place = await folder({ 'mnt/..1/config.json': having('a') })
    const at = (...names: string[]) => join(place.path, 'mnt', ...names)
    await symlink('..1', at('..data'))
    await symlink('..data/config.json', at('config.json'))
    await using program = await start(['--config', 'mnt/config.json'], { in: place })
    for (const [i, name] of ['b', 'c'].entries()) {
      const next = `..${i + 2}`
      await after(program, 'config_applied', async () => {
        await write(place, `mnt/${next}/config.json`, having(name))
        await symlink(next, at('..data_tmp'))
        await rename(at('..data_tmp'), at('..data'))
        await rm(at(`..${i + 1}`), { recursive: true })
      })
      expect(await running(program)).toEqual([name])
    }
  })

  test('when it comes again after it was missed', async () => {
    await using place = await began()
    await using program = await start([], { in: place })
    await rm(join(place.path, 'config.json'))
    const line = await after(program, 'config_refused', () => program.signal('SIGHUP'))
    expect(line).toContain('no such file')
    expect(await running(program)).toEqual(['a'])
    await after(program, 'config_applied', () => write(place, 'config.json', having('b')))
    expect(await running(program)).toEqual(['b'])
  })

  test('when it is somewhere else, and only a link to it here', async () => {
    await using place = await folder({ 'elsewhere/real.json': having('a') })
    await symlink('elsewhere/real.json', join(place.path, 'config.json'))
    await using program = await start([], { in: place })
    await after(program, 'config_applied', () => write(place, 'elsewhere/real.json', having('b')))
    expect(await running(program)).toEqual(['b'])
  })

  test('when its folder is made anew', async () => {
    await using place = await folder({ 'etc/config.json': having('a') })
    await using program = await start(['--config', 'etc/config.json'], { in: place })
    await after(program, 'config_applied', async () => {
      await rm(join(place.path, 'etc'), { recursive: true })
      await mkdir(join(place.path, 'etc'))
      await write(place, 'etc/config.json', having('b'))
    })
    expect(await running(program)).toEqual(['b'])
  })

  test('also where others in its folder are written to all the time', async () => {
    await using place = await began()
    await using program = await start([], { in: place })
    const noise = Bun.file(join(place.path, 'some.log')).writer()
    const writing = setInterval(() => {
      noise.write('noise\n')
      noise.flush()
    }, 5)
    try {
      await after(program, 'config_applied', () => write(place, 'config.json', having('b')))
      expect(await running(program)).toEqual(['b'])
    } finally {
      clearInterval(writing)
      await noise.end()
    }
  })
})

test('of many changes in quick succession the last one is what runs', async () => {
  await using place = await began()
  await using program = await start([], { in: place })
  for (let i = 0; i < 30; i++) await write(place, 'config.json', having(`n${i}`))
  await until('the last one runs', async () => (await running(program)).join() === 'n29')
  expect((await health(program)).configuration).toBeUndefined()
})

test('a file with a secret is noticed, and what it is for changes', async () => {
  await using remote = withTools(['t'])
  const server = { url: remote.url, headers: { authorization: { file: 'keys/token' } } }
  const config = { gateway: GATEWAY, mcpServers: { a: server, b: NOWHERE } }
  await using place = await folder({ 'config.json': config, 'keys/token': 'planted-one\n' })
  await using program = await start(['--log-level', 'debug'], { in: place })
  const session = await RawSession.open(new URL('a/mcp', program.url))
  await called(session, 't')
  expect(remote.seen.at(-1)!.headers.get('authorization')).toBe('planted-one')

  const line = await after(program, 'config_applied', () =>
    write(place, 'keys/token', 'planted-two\n'),
  )
  expect(line).toMatch(/ changed=a .*kept=b/)
  await called(session, 't')
  expect(remote.seen.at(-1)!.headers.get('authorization')).toBe('planted-two')

  const refused = await after(program, 'config_refused', () =>
    write(place, 'keys/token', 'planted\nthree\n'),
  )
  expect(refused).toMatch(/config\.json:\d+: mcpServers\.a\.headers\.authorization/)
  await called(session, 't')
  expect(remote.seen.at(-1)!.headers.get('authorization')).toBe('planted-two')
  expect(program.stderr.text).not.toContain('planted')
})

describe('a configuration that cannot be used', () => {
  const bad: [string, string, RegExp][] = [
    ['is no JSON', '{"mcpServers": {\n', /config\.json:\d+: /],
    [
      'has a fault',
      '{"mcpServers": {"a": {\n"url": "ftp://x"}}}',
      /config\.json:2: mcpServers\.a\.url: /,
    ],
    ['is empty', '', /config\.json/],
    ['names a variable that is not set', having('a').replace('/mcp', '/${NOPE}'), /NOPE/],
  ]
  test.each(bad)(
    'because it %s, changes nothing until there is a good one',
    async (_, text, why) => {
      await using place = await began()
      await using program = await start([], { in: place })
      expect((await health(program)).configuration).toBeUndefined()
      const line = await after(program, 'config_refused', () => write(place, 'config.json', text))
      expect(line).toMatch(why)

      const now = await health(program)
      expect(Object.keys(now.upstreams)).toEqual(['a'])
      expect(now.status).toBe('degraded')
      expect(now.configuration!.error).toMatch(why)

      await after(program, 'config_applied', () => write(place, 'config.json', having('a', 'b')))
      expect((await health(program)).configuration).toBeUndefined()
      expect(await running(program)).toEqual(['a', 'b'])
    },
  )

  test('is told once, and its faults again when it is asked for again', async () => {
    await using place = await began()
    await using program = await start([], { in: place })
    const line = await after(program, 'config_refused', () => write(place, 'config.json', '{'))
    expect(await after(program, 'config_refused', () => program.signal('SIGHUP'))).toBe(line)
    await after(program, 'config_applied', () => write(place, 'config.json', having('a')))
    expect(program.stderr.text.match(/config_refused/g)).toHaveLength(2)
  })

  test('because a file that it names is missing, can be used when that comes', async () => {
    await using place = await began()
    await using program = await start([], { in: place })
    const needing = having('b').replace(
      '/mcp"',
      '/mcp","headers":{"authorization":{"file":"late/secret"}}',
    )
    await mkdir(join(place.path, 'late'))
    await after(program, 'config_refused', () => write(place, 'config.json', needing))
    expect(await running(program)).toEqual(['a'])
    await after(program, 'config_applied', () => write(place, 'late/secret', 'here'))
    expect(await running(program)).toEqual(['b'])
    expect((await health(program)).configuration).toBeUndefined()
  })

  test('because its port is taken, leaves the old one where it is', async () => {
    using taken = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('mine') })
    await using place = await began()
    await using program = await start([], { in: place })
    const { port } = taken
    const text = having('b').replace('"port":0', `"port":${port}`)
    const line = await after(program, 'config_refused', () => write(place, 'config.json', text))
    expect(line).toContain(`${port}`)
    expect(await running(program)).toEqual(['a'])
    await taken.stop(true)
    await after(program, 'config_applied', () => program.signal('SIGHUP'))
    const moved = new URL(`http://127.0.0.1:${port}/`)
    expect(Object.keys((await health({ url: moved })).upstreams)).toEqual(['b'])
  })
})

describe('a server that stays as it is', () => {
  test('keeps its process when only comments and white space change', async () => {
    const config = { gateway: GATEWAY, mcpServers: { kept: stdio('raw') } }
    await using place = await folder({ 'config.json': config })
    await using program = await start([], { in: place })
    const session = await RawSession.open(new URL('kept/mcp', program.url))
    const pid = await called(session, 'pid')
    for (const text of [
      `// with words before it\n${JSON.stringify(config)}`,
      JSON.stringify(config, undefined, 8),
      `${JSON.stringify(config)}\n\n/* and behind */`,
    ]) {
      const line = await after(program, 'config_applied', () => write(place, 'config.json', text))
      expect(line).toMatch(/ added="" changed="" removed="" kept=kept$/)
      expect(await called(session, 'pid')).toBe(pid)
    }
  })

  test('keeps it when the same is loaded again on SIGHUP', async () => {
    const config = { gateway: GATEWAY, mcpServers: { kept: stdio('raw') } }
    await using place = await folder({ 'config.json': config })
    await using program = await start([], { in: place })
    const session = await RawSession.open(new URL('kept/mcp', program.url))
    const pid = await called(session, 'pid')
    for (let i = 0; i < 3; i++) {
      await after(program, 'config_applied', () => program.signal('SIGHUP'))
      expect(await called(session, 'pid')).toBe(pid)
    }
  })
})

describe('of where it listens', () => {
  test('the address may become another at the same port, and back', async () => {
    await using place = await began()
    await using program = await start([], { in: place })
    const listening = (host: string) =>
      having('a').replace('"port":0', `"port":0,"allowUnauthenticated":true,"host":"${host}"`)
    const session = new URL('health', program.url)
    const beyond = new URL(session)
    beyond.hostname = '127.0.0.2'
    const status = (url: URL) => fetch(url, { keepalive: false }).then(({ status }) => status)
    expect(status(beyond)).rejects.toThrow()
    await after(program, 'config_applied', () => write(place, 'config.json', listening('0.0.0.0')))
    expect([await status(session), await status(beyond)]).toEqual([200, 200])
    await after(program, 'config_applied', () => write(place, 'config.json', having('a')))
    expect(await status(session)).toBe(200)
    expect(status(beyond)).rejects.toThrow()
  })

  test('an address that is not of this machine is refused, and the old one stays', async () => {
    await using place = await began()
    await using program = await start([], { in: place })
    // For documentation only. (RFC 5737)
    const text = having('b').replace(
      '"port":0',
      '"port":0,"allowUnauthenticated":true,"host":"192.0.2.1"',
    )
    await after(program, 'config_refused', () => write(place, 'config.json', text))
    expect(await running(program)).toEqual(['a'])
  })
})

test('what can only hold from the next start is told', async () => {
  await using place = await began()
  await using program = await start([], { in: place })
  const line = await after(program, 'config_note', () =>
    write(place, 'config.json', having('a').replace('"port":0', '"port":0,"dataDir":"other"')),
  )
  expect(line).toContain('gateway.dataDir')
})

describe('when its terminal is closed', () => {
  const inTerminal = (place: Folder) => {
    let text = ''
    const child = Bun.spawn([process.execPath, join(ROOT, 'src/main.ts')], {
      cwd: place.path,
      env: { PATH: process.env.PATH, HOME: place.path },
      terminal: {
        data(_, chunk) {
          text += Buffer.from(chunk)
        },
      },
    })
    return { child, said: () => text }
  }

  test('it ends, and so do its servers', async () => {
    const config = { gateway: GATEWAY, mcpServers: { one: stdio('raw', { isolation: 'user' }) } }
    await using place = await folder({ 'config.json': config })
    const { child, said } = inTerminal(place)
    await until('it listens', () => / on http\S+/.test(said()))
    const url = new URL(/ on (http\S+)/.exec(said())![1]!)
    const pid = Number(await called(await RawSession.open(new URL('one/mcp', url)), 'pid'))
    child.terminal!.close()
    expect(await child.exited).toBe(0)
    await isGone(pid)
    expect(fetch(url)).rejects.toThrow()
  })

  test('and not while that is open: then it loads again', async () => {
    await using place = await began()
    const { child, said } = inTerminal(place)
    await until('it listens', () => / on http\S+/.test(said()))
    child.kill('SIGHUP')
    await until('it has loaded again', () => said().includes('config_applied'))
    child.kill('SIGTERM')
    expect(await child.exited).toBe(0)
  })
})

test('without a terminal no SIGHUP ends it', async () => {
  await using place = await began()
  await using program = await start([], { in: place })
  for (let i = 0; i < 5; i++) await after(program, 'config_applied', () => program.signal('SIGHUP'))
  expect(await running(program)).toEqual(['a'])
})

describe('what is written while it is being read', () => {
  test('counts as a change, also when it keeps the time of its writing', async () => {
    await using place = await folder({ new: 'x', moved: 'x', old: 'x' })
    const at = (name: string) => join(place.path, name)
    const long = new Date(0)
    await utimes(at('moved'), long, long)
    for (const name of ['new', 'moved']) {
      const { promise, resolve } = Promise.withResolvers<string>()
      const watch = new FileWatch([at(name)], Date.now() - 60_000, () => resolve('changed'))
      expect(await promise).toBe('changed')
      watch.close()
    }
  })

  test('and what was there before does not', async () => {
    await using place = await folder({ old: 'x', other: 'x' })
    const at = (name: string) => join(place.path, name)
    let changes = 0
    const { promise, resolve } = Promise.withResolvers<void>()
    const none = new FileWatch([at('old')], Date.now() + 60_000, () => changes++)
    const some = new FileWatch([at('other')], Date.now() + 60_000, resolve)
    await write(place, 'other', 'y')
    await promise
    expect(changes).toBe(0)
    none.close()
    some.close()
  })
})
