/** A server that takes more memory than it may is replaced, and what it works on is answered first. */
import { expect, test } from 'bun:test'
import { dialSdk1 } from '../support/clients.ts'
import { startGateway, stdio } from '../support/gateway.ts'
import { hasProc } from './family.ts'
import { Gate } from './gate.ts'

/** Less than any process takes. */
const LITTLE = 1024 * 1024

test.skipIf(!hasProc).each(['user', 'session'] as const)(
  'under `%s`',
  async (isolation) => {
    using gate = new Gate()
    const options = { isolation, maxMemory: LITTLE }
    await using gateway = startGateway({ everything: stdio('everything', options) })
    await using client = await dialSdk1(gateway.at('everything'))
    const first = await client.call('pid')
    const working = client.call('fetch', gate.args)
    await gate.held(1)
    const recycled = gateway.event('upstream_recycled')
    if (isolation === 'user') await recycled
    gate.open()
    expect(await working).toBeString()
    const { reason } = await recycled
    expect(reason).toMatch(/^its \d+ bytes of memory are over 1048576$/)
    await gateway.event('upstream_closed')
    expect(await client.call('pid')).not.toBe(first)
    expect(gateway.gateway.status.everything).toMatchObject({ state: 'ready', crashed: 0 })
  },
  30_000,
)
