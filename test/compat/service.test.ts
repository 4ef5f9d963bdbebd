/** Where the path of a service may lead. */
import { expect, test } from 'bun:test'
import { serviceURL } from '../../src/config/compat/service.ts'
import { adapted } from './adapted.ts'

const BASE = 'https://api.example'

test.each([
  ['/mcp/ecs', BASE, `${BASE}/mcp/ecs`],
  ['/mcp/ecs', `${BASE}/`, `${BASE}/mcp/ecs`],
  ['/mcp/ecs', `${BASE}:8443`, `${BASE}:8443/mcp/ecs`],
  ['/ecs', `${BASE}/mcp`, `${BASE}/mcp/ecs`],
  ['/ecs', `${BASE}/mcp/`, `${BASE}/mcp/ecs`],
  ['/', BASE, `${BASE}/`],
  ['/mcp?zone=a..b&to=%2f', BASE, `${BASE}/mcp?zone=a..b&to=%2f`],
  ['/@evil.example/x', BASE, `${BASE}/@evil.example/x`],
  ['/mcp/https://evil.example', BASE, `${BASE}/mcp/https://evil.example`],
])('%j at %s is %s', (path, base, url) => {
  expect(serviceURL(path, base).href).toBe(url)
  expect(serviceURL(path, new URL(base)).href).toBe(url)
})

const LEADING_AWAY = [
  '',
  'mcp/ecs',
  '@evil.example/x',
  ':secret@evil.example/x',
  '.evil.example/x',
  ':8080/x',
  '//evil.example/x',
  '///evil.example/x',
  '/\\evil.example/x',
  '\\\\evil.example/x',
  '/mcp\\..\\admin',
  'https://evil.example/x',
  'HTTPS:evil.example',
  'javascript:alert(1)',
  'file:///etc/passwd',
  '..',
  '../..',
  '/..',
  '/mcp/../../admin',
  '/mcp/./admin',
  '/mcp/..;/admin',
  '/mcp/%2e%2e/admin',
  '/mcp/%2E./admin',
  '/mcp/.%2e/admin',
  '/mcp/..%2fadmin',
  '/mcp%2f%2e%2e%2fadmin',
  '/mcp/%252e%252e/admin',
  '/mcp/%25252e/admin',
  '/mcp/%5c..%5cadmin',
  '/mcp#fragment',
  '/\t/evil.example/x',
  '\t//evil.example',
  ' /mcp',
  '/mcp /x',
  '/mcp\r\nX-Evil: 1',
  '/\n/evil.example',
  '/mcp\0',
]

test.each(LEADING_AWAY)('%j is refused, here and in a file', (path) => {
  for (const base of [BASE, `${BASE}/mcp`]) {
    expect(() => serviceURL(path, base)).toThrow(/^the path of a service must /)
  }
  const { config, faults } = adapted({
    mcpServer: { baseUrl: BASE, services: { good: '/mcp/good', bad: path } },
  })
  expect(config).toBeUndefined()
  expect(faults).toEqual([
    expect.stringMatching(/^c\.json:6: mcpServer\.services\.bad: the path of a service must /),
  ])
})

test.each([
  'ftp://api.example',
  'file:///srv',
  'https://user@api.example',
  'https://user:secret@api.example',
  'https://api.example/?a=secret',
  'https://api.example/#secret',
  'api.example',
  '',
])('nothing is below %j', (base) => {
  expect(() => serviceURL('/mcp', base)).toThrow(
    /^the URL of the services must begin with http:\/\/ or https:\/\/ and have no user, "\?" or "#"$/,
  )
})

test('what is refused is not repeated', () => {
  for (const path of ['@evil.example/s3cret', '/s3cret/../x', '//s3cret']) {
    expect(() => serviceURL(path, BASE)).not.toThrow(/s3cret/)
  }
})
