/** The variables of the provider gateway: they win over its file, and the file over what is built in. */
import { describe, expect, test } from 'bun:test'
import { adapted } from './adapted.ts'

const FILE = {
  port: 3001,
  gatewayBaseUrl: 'https://file.example',
  oauth: { clientId: 'file' },
  mcpServer: { baseUrl: 'https://api.example', services: { ecs: '/mcp/ecs' } },
}
const BARE = { mcpServer: { services: { ecs: '/mcp/ecs' } } }

describe('of file and environment', () => {
  test('the environment wins', () => {
    const { config, faults } = adapted(FILE, {
      MCP_GATEWAY_PORT: '3002',
      GATEWAY_BASE_URL: 'https://env.example',
      MCP_SERVER_BASE_URL: 'http://localhost:8080/below',
      LOG_LEVEL: 'DEBUG',
    })
    expect(faults).toEqual([])
    expect(config?.gateway).toMatchObject({
      port: 3002,
      baseURL: 'https://env.example',
      servicesURL: 'http://localhost:8080/below',
      logLevel: 'debug',
    })
    expect(config?.mcpServers).toMatchObject({
      ecs: { url: 'http://localhost:8080/below/mcp/ecs', transport: 'streamable-http' },
    })
  })

  test('a variable that is set to nothing is not set', () => {
    const none = { MCP_GATEWAY_PORT: '', GATEWAY_BASE_URL: '', MCP_SERVER_BASE_URL: '' }
    const { config } = adapted(FILE, { ...none, LOG_LEVEL: '', OAUTH_CLIENT_ID: '' })
    expect(config?.gateway).toMatchObject({
      port: 3001,
      baseURL: 'https://file.example',
      servicesURL: 'https://api.example',
    })
    expect(config?.gateway.logLevel).toBeUndefined()
  })

  test('without both there are defaults', () => {
    const { config } = adapted(BARE)
    expect(config?.gateway).toMatchObject({
      host: '0.0.0.0',
      port: 3000,
      servicesURL: 'https://openapi-mcp-intl.vpc-proxy.aliyuncs.com',
    })
    expect(config?.gateway.baseURL).toBeUndefined()
  })

  test('they say nothing to a configuration of ours', () => {
    const env = { MCP_GATEWAY_PORT: '3002', GATEWAY_BASE_URL: 'no URL', LOG_LEVEL: 'loud' }
    const { config, warnings } = adapted({ mcpServers: {} }, env)
    expect(config?.gateway.port).toBe(4298)
    expect(warnings).toEqual([])
  })
})

test.each(['debug', 'info', 'warn', 'error', 'Error'])('LOG_LEVEL may be %s', (level) => {
  const { config, warnings } = adapted(FILE, { LOG_LEVEL: level })
  expect(config?.gateway.logLevel).toBe(level.toLowerCase() as 'info')
  expect(warnings.join()).not.toContain('LOG_LEVEL')
})

test.each(['verbose', 'silent', '1'])('LOG_LEVEL that is %s is told of, and is info', (level) => {
  const { config, warnings } = adapted(FILE, { LOG_LEVEL: level })
  expect(config?.gateway.logLevel).toBeUndefined()
  expect(warnings).toContain(
    'c.json:1: the file: the variable LOG_LEVEL is none of debug, info, warn, error; it is taken as info',
  )
})

test('OAUTH_CLIENT_ID stands for the one in the file', () => {
  const missing = 'has no "clientId"'
  expect(adapted(BARE).warnings.join()).toContain(missing)
  expect(adapted(BARE, { OAUTH_CLIENT_ID: 'me' }).warnings.join()).not.toContain(missing)
})

test('what a wrong variable holds is not shown', () => {
  for (const name of ['MCP_GATEWAY_PORT', 'GATEWAY_BASE_URL', 'MCP_SERVER_BASE_URL']) {
    const { faults } = adapted(FILE, { [name]: 'hunter2' })
    expect(faults).toEqual([
      expect.stringMatching(new RegExp(`^c\\.json:\\d+: .*the variable ${name} must be`)),
    ])
    expect(faults.join()).not.toContain('hunter2')
  }
})
