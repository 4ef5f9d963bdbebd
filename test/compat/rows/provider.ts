/** Of the provider gateway. That there are no logins yet is told of each. */
import type { Row } from './row.ts'

const OAUTH = { clientId: 'me' }
const provider = (written: object) => ({ oauth: OAUTH, mcpServer: { services: {} }, ...written })
const NO_LOGINS = /: oauth: logging in at the provider is not available yet/
const CHANGED = 'changed because there are no logins yet; otherwise kept'

export const PROVIDER: readonly Row[] = [
  {
    key: 'port',
    is: CHANGED,
    written: provider({ port: 3001 }),
    becomes: { gateway: { host: '0.0.0.0', port: 3001 } },
    warning: NO_LOGINS,
  },
  {
    key: 'port',
    is: `${CHANGED}, 3000 by default`,
    written: provider({}),
    becomes: { gateway: { host: '0.0.0.0', port: 3000 } },
    warning: NO_LOGINS,
  },
  ...['http', '0', '65536', '30.5', '3000 ', '-1'].map((given) => ({
    key: 'port',
    is: `refused because MCP_GATEWAY_PORT is ${JSON.stringify(given)}`,
    written: provider({ port: 3001 }),
    env: { MCP_GATEWAY_PORT: given },
    fault: /: port: the variable MCP_GATEWAY_PORT must be a number from 1 to 65535$/,
  })),
  {
    key: 'gatewayBaseUrl',
    is: CHANGED,
    written: provider({ gatewayBaseUrl: 'https://gateway.example' }),
    becomes: { gateway: { baseURL: 'https://gateway.example' } },
    warning: NO_LOGINS,
  },
  {
    key: 'gatewayBaseUrl',
    is: 'refused because GATEWAY_BASE_URL is no URL',
    written: provider({}),
    env: { GATEWAY_BASE_URL: 'gateway.example?hunter2' },
    fault: /: gatewayBaseUrl: the variable GATEWAY_BASE_URL must be a URL that begins with/,
  },
  {
    key: ['clientId', 'authorizationEndpoint', 'tokenEndpoint', 'scope', 'callbackPort']
      .map((key) => `oauth.${key}`)
      .join(', '),
    is: 'changed because there are no logins yet',
    written: provider({
      oauth: {
        ...{ clientId: 'me', authorizationEndpoint: 'https://x', tokenEndpoint: 'https://y' },
        ...{ scope: '/z', callbackPort: 3000 },
      },
    }),
    warning: NO_LOGINS,
  },
  {
    key: 'oauth.clientId',
    is: 'changed because without it there will be no logins either',
    written: provider({ oauth: {} }),
    warning: /:2: oauth: has no "clientId".*OAUTH_CLIENT_ID$/,
  },
  {
    key: 'mcpServer.services',
    is: CHANGED,
    written: provider({ mcpServer: { services: { ecs: '/mcp/ecs' } } }),
    becomes: {
      gateway: { servicesURL: 'https://openapi-mcp-intl.vpc-proxy.aliyuncs.com' },
      mcpServers: {
        ecs: {
          url: 'https://openapi-mcp-intl.vpc-proxy.aliyuncs.com/mcp/ecs',
          type: 'streamable-http',
        },
      },
    },
    warning: NO_LOGINS,
  },
  {
    key: 'mcpServer.services',
    is: 'refused because no server has this name',
    written: provider({ mcpServer: { services: { 'e c s': '/mcp/ecs' } } }),
    fault: /:7: mcpServer\.services\["e c s"\]: a server name has 1 to 64/,
  },
  {
    key: 'mcpServer.services',
    is: 'refused because it leads elsewhere',
    written: provider({ mcpServer: { services: { ecs: '@evil.example/hunter2' } } }),
    fault: /:7: mcpServer\.services\.ecs: the path of a service must begin with a single "\/"/,
  },
  {
    key: 'mcpServer.baseUrl',
    is: CHANGED,
    written: provider({ mcpServer: { baseUrl: 'https://b.example', services: { ecs: '/ecs' } } }),
    becomes: {
      gateway: { servicesURL: 'https://b.example' },
      mcpServers: { ecs: { url: 'https://b.example/ecs' } },
    },
    warning: NO_LOGINS,
  },
  ...['b.example', 'ftp://b.example', 'https://alice:hunter2@b.example'].map((baseUrl) => ({
    key: 'mcpServer.baseUrl',
    is: `refused because ${baseUrl} is none`,
    written: provider({ mcpServer: { baseUrl, services: { ecs: '/ecs' } } }),
    fault: /:6: mcpServer\.baseUrl: must be a URL/,
  })),
  {
    key: 'mcpServer.baseUrl',
    is: 'refused because MCP_SERVER_BASE_URL is none',
    written: provider({ mcpServer: { services: { ecs: '/ecs' } } }),
    env: { MCP_SERVER_BASE_URL: 'hunter2' },
    fault:
      /: mcpServer(\.baseUrl)?: the variable MCP_SERVER_BASE_URL must be a URL that begins with/,
  },
]
