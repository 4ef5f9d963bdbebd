/** Which endpoint a `resource` means. */
import { describe, expect, test } from 'bun:test'
import type { Issuer } from '../../src/auth/issuer.ts'
import { endpointOf, isFor, narrowed, resourceOf } from '../../src/auth/resource.ts'
import { issuerAt } from './approvals.ts'

const NAMES = ['files', 'web', 'a b']
const plain = issuerAt('https://mcp.example.com')
const below = issuerAt('https://mcp.example.com/gw')
const slashed = issuerAt('https://mcp.example.com/gw/')
const local = issuerAt('http://127.0.0.1:4298')

describe('a resource is understood', () => {
  test.each<[string | string[] | undefined, Issuer, string]>([
    [undefined, plain, '*'],
    [[], plain, '*'],
    ['https://mcp.example.com', plain, '*'],
    ['https://mcp.example.com/', plain, '*'],
    ['https://MCP.Example.COM/', plain, '*'],
    ['https://mcp.example.com:443/', plain, '*'],
    ['HTTPS://mcp.example.com/mcp', plain, ''],
    ['https://mcp.example.com/mcp', plain, ''],
    ['https://mcp.example.com/mcp/', plain, ''],
    ['https://mcp.example.com/sse', plain, ''],
    ['https://mcp.example.com/files', plain, 'files'],
    ['https://mcp.example.com/files/', plain, 'files'],
    ['https://mcp.example.com/files/mcp', plain, 'files'],
    ['https://mcp.example.com/files/mcp/', plain, 'files'],
    ['https://mcp.example.com/files/sse', plain, 'files'],
    ['https://mcp.example.com/files/mcp?tools=read', plain, 'files'],
    ['https://mcp.example.com/a%20b/mcp', plain, 'a b'],
    ['https://mcp.example.com/web/../files/mcp', plain, 'files'],
    [['https://mcp.example.com/files/mcp', 'https://mcp.example.com/files'], plain, 'files'],
    [['https://mcp.example.com/files/mcp', 'https://mcp.example.com'], plain, '*'],
    ['https://mcp.example.com/gw', below, '*'],
    ['https://mcp.example.com/gw/', below, '*'],
    ['https://mcp.example.com', below, '*'],
    ['https://mcp.example.com/gw/mcp', below, ''],
    ['https://mcp.example.com/gw/files/mcp', below, 'files'],
    ['https://mcp.example.com/gw/files/mcp', slashed, 'files'],
    ['http://127.0.0.1:4298/web/sse', local, 'web'],
  ])('%j', (resource, issuer, endpoint) => {
    expect(endpointOf(resource, issuer, NAMES)).toBe(endpoint)
  })
})

describe('a resource is not ours', () => {
  test.each<[string | string[], Issuer]>([
    ['https://evil.example/files/mcp', plain],
    ['https://mcp.example.com.evil.example/files', plain],
    ['https://mcp.example.com@evil.example/files', plain],
    ['https://evil.example/https://mcp.example.com', plain],
    ['https://user@mcp.example.com/files', plain],
    ['https://user:pass@mcp.example.com/files', plain],
    ['http://mcp.example.com/files/mcp', plain],
    ['https://mcp.example.com:8443/files/mcp', plain],
    ['https://mcp.example.com./files/mcp', plain],
    ['https://mcp.example.com/files/mcp#part', plain],
    ['https://mcp.example.com/other/mcp', plain],
    ['https://mcp.example.com/*/mcp', plain],
    ['https://mcp.example.com/files%2Fmcp', plain],
    ['https://mcp.example.com/%zz/mcp', plain],
    ['https://mcp.example.com//files/mcp', plain],
    ['https://mcp.example.com/files//mcp', plain],
    ['https://mcp.example.com/files/token/mcp', plain],
    ['https://mcp.example.com/FILES/mcp', plain],
    ['https://mcp.example.com/constructor/mcp', plain],
    ['https://mcp.example.com/oauth/token', plain],
    ['https://mcp.example.com/files/mcp', below],
    ['https://mcp.example.com/gwx/files/mcp', below],
    ['https://mcp.example.com/gw/other/mcp', below],
    ['http://localhost:4298/web/mcp', local],
    ['files', plain],
    ['', plain],
    ['/files/mcp', plain],
    ['urn:mcp:files', plain],
    ['javascript:alert(1)', plain],
    [`https://mcp.example.com/files/mcp?${'a'.repeat(3000)}`, plain],
    [['https://mcp.example.com/files/mcp', 'https://mcp.example.com/web/mcp'], plain],
    [['https://mcp.example.com/files/mcp', 'https://mcp.example.com/mcp'], plain],
    [['https://mcp.example.com/files/mcp', 'https://evil.example'], plain],
    [['https://mcp.example.com', 'https://evil.example'], plain],
  ])('%j', (resource, issuer) => {
    expect(() => endpointOf(resource, issuer, NAMES)).toThrow(
      expect.objectContaining({ code: 'invalid_target' }),
    )
  })
})

test('what is written as a resource is understood as what it was written for', () => {
  for (const issuer of [plain, below, slashed, local]) {
    for (const endpoint of ['', 'files', 'a b']) {
      for (const kind of ['mcp', 'sse'] as const) {
        expect(endpointOf(resourceOf(endpoint, kind, issuer), issuer, NAMES)).toBe(endpoint)
      }
    }
    expect(endpointOf(resourceOf('*', 'mcp', issuer), issuer, NAMES)).toBe('*')
  }
})

test.each<[string, string | null | undefined, string | undefined]>([
  ['*', undefined, '*'],
  ['*', '*', '*'],
  ['*', 'files', 'files'],
  ['*', '', ''],
  ['files', undefined, 'files'],
  ['files', 'files', 'files'],
  ['files', '*', 'files'],
  ['files', 'web', undefined],
  ['files', '', undefined],
  ['', '*', ''],
  ['', 'files', undefined],
  ['*', null, undefined],
  ['files', null, undefined],
])('of %j, who asks for %j is given %j', (granted, asked, given) => {
  expect(narrowed(granted, asked)).toBe(given)
})

test.each([
  ['*', '', true],
  ['*', 'files', true],
  ['', '', true],
  ['', 'files', false],
  ['files', 'files', true],
  ['files', '', false],
  ['files', 'web', false],
  ['files', 'Files', false],
])('a token for %j is good at %j: %p', (audience, endpoint, expected) => {
  expect(isFor(audience, endpoint)).toBe(expected)
})
