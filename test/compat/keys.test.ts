/**
 * Every key that the older gateways know: whether it is kept, changed or refused here, and an input that proves it.
 *
 * That it is every key is seen by what the formats understand.
 */
import { describe, expect, test } from 'bun:test'
import * as pooling from '../../src/config/compat/pooling.ts'
import * as provider from '../../src/config/compat/provider.ts'
import * as proxy from '../../src/config/compat/proxy.ts'
import { type Schema, shapeOf } from '../../src/config/keys.ts'
import { GatewaySchema } from '../../src/config/schema.ts'
import { adapted } from './adapted.ts'
import { POOLING } from './rows/pooling.ts'
import { PROVIDER } from './rows/provider.ts'
import { PROXIED } from './rows/proxied.ts'
import { PROXIED_OPTIONS } from './rows/proxied-options.ts'
import { PROXY } from './rows/proxy.ts'
import { PROXY_OLD } from './rows/proxy-old.ts'
import type { Row } from './rows/row.ts'

const PROXY_ROWS = [...PROXY, ...PROXIED, ...PROXIED_OPTIONS, ...PROXY_OLD]

/** The keys of a format, with `*` for names: `mcpServers.*.command`. Our own of `gateway` have a test elsewhere. */
function keysOf(schema: Schema, path = ''): string[] {
  const { entries, value, item } = shapeOf(schema)
  if (value) return keysOf(value, `${path}.*`)
  if (item) return keysOf(item, path)
  if (!entries) return [path]
  return Object.entries(entries)
    .filter(([key]) => path !== 'gateway' || !Object.hasOwn(GatewaySchema.entries, key))
    .flatMap(([key, option]) => keysOf(option, path ? `${path}.${key}` : key))
}

describe.each([
  ['mcp-proxy', proxy.PROXY, PROXY_ROWS],
  ['the pooling gateway', pooling.POOLING, POOLING],
  ['the provider gateway', provider.PROVIDER, PROVIDER],
] as const)('of %s', (_, format, rows: readonly Row[]) => {
  test('every key has a row', () => {
    const told = new Set(rows.flatMap(({ key }) => key.split(', ')))
    // Tables of free texts end with a star.
    const known = keysOf(format.schema).map((key) => key.replace(/\.\*$/, ''))
    expect(known.length).toBeGreaterThan(5)
    expect(known.filter((key) => !told.has(key))).toEqual([])
  })

  test.each(rows)('$key: $is', (row) => {
    const { native, warnings, faults } = adapted(row.written, row.env)
    if (row.is.startsWith('refused')) {
      expect(native).toBeUndefined()
      expect(faults).toEqual([expect.stringMatching(row.fault!)])
    } else {
      expect(faults).toEqual([])
      expect(native).toMatchObject(row.becomes ?? {})
      if (row.lacks) expect(native).not.toHaveProperty(['mcpServers', 'a', row.lacks])
    }
    for (const told of [...warnings, ...faults]) expect(told).toMatch(/^c\.json:\d+: /)
    if (row.warning) expect(warnings).toContainEqual(expect.stringMatching(row.warning))
    if (row.is.startsWith('kept')) expect(warnings).toEqual([])
    const all = [...warnings, ...faults].join('\n')
    for (const secret of ['hunter2', 'PathToken']) expect(all).not.toContain(secret)
  })
})
