/** Nobody can catch SIGKILL; all the same nothing stays behind when a gateway gets it. */
import { expect, test } from 'bun:test'
import { folder, start } from '../lifecycle/program.ts'
import { stdio } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import { Family, hasProc } from './family.ts'
import { until } from './gate.ts'

/** After this nothing of it may be alive. */
const BOUND = 5_000

test.skipIf(!hasProc).each(['user', 'session', 'shared'] as const)(
  'no child and no grandchild outlives it, whatever they ignore, under `%s`',
  async (isolation) => {
    const family = new Family()
    const server = stdio('raw', { isolation, env: family.env })
    const mcpServers = { plain: server, stubborn: server, parent: server }
    await using place = await folder({ 'config.json': { gateway: { port: 0 }, mcpServers } })
    await using gateway = await start([], { in: place })
    const open = (name: string) => RawSession.open(new URL(`${name}/mcp`, gateway.url))
    await (await open('plain')).call(1, 'slow', { ms: 1 })
    const stubborn = await open('stubborn')
    expect(await stubborn.call(1, 'ignore_term')).toContain('staying')
    const parent = await open('parent')
    const grandchild = JSON.parse(await parent.call(1, 'grandchild')).result.content[0].text
    // What has just been started has no environment for a moment.
    await until('all are there', () => family.pids.includes(Number(grandchild)))
    expect(family.pids.length).toBeGreaterThanOrEqual(4)

    gateway.signal('SIGKILL')
    try {
      await until('all are gone', () => family.pids.length === 0, BOUND)
    } finally {
      family.kill()
    }
  },
  30_000,
)
