/** Of the older format of mcp-proxy. */
import { a, COMMAND, REMOTE, type Row } from './row.ts'

const old = (server: object, clients: object = {}) => ({
  server: { addr: ':9090', ...server },
  clients,
})
const client = (written: object) => old({}, { a: { type: 'sse', config: REMOTE, ...written } })
const configured = (config: object, type: string) => old({}, { a: { type, config } })
const both = { mcpProxy: { addr: ':1' } }

export const PROXY_OLD: readonly Row[] = [
  {
    key: 'server.addr, server.baseURL, server.name, server.version, server.globalAuthTokens',
    is: 'kept',
    written: old(
      { baseURL: 'https://b.example', name: 'x', version: '1', globalAuthTokens: ['hunter2'] },
      { a: { type: 'sse', config: REMOTE } },
    ),
    becomes: {
      gateway: { host: '0.0.0.0', port: 9090, baseURL: 'https://b.example' },
      auth: { tokens: [{ token: 'hunter2' }] },
    },
  },
  {
    key: 'server.addr',
    is: 'changed because "mcpProxy" comes first',
    written: { ...both, mcpServers: {}, server: { addr: ':2', globalAuthTokens: ['hunter2'] } },
    becomes: { gateway: { port: 1 } },
    warning: /: server: is not looked at, because there is "mcpProxy"/,
  },
  {
    key: 'clients.*.type',
    is: 'kept, also that it is Streamable HTTP',
    written: client({ type: 'streamable-http' }),
    becomes: a({ ...REMOTE, type: 'streamable-http' }),
  },
  {
    key: 'clients.*.type',
    is: 'changed because it is unknown',
    written: client({ type: 'http' }),
    becomes: { mcpServers: {} },
    warning: /:6: clients\.a: has no "type" of .*, so it is left out, as mcp-proxy does$/,
  },
  {
    key: 'clients.*.type',
    is: 'changed because there is no "config"',
    written: client({ config: null }),
    becomes: { mcpServers: {} },
    warning: /:6: clients\.a: has no "config", so it is left out/,
  },
  {
    key: 'clients.*.type',
    is: 'changed because "mcpServers" come first',
    written: {
      ...both,
      mcpServers: { b: REMOTE },
      clients: { a: { type: 'sse', config: REMOTE } },
    },
    becomes: { mcpServers: { b: REMOTE } },
    warning: /: clients: is not looked at, because there are "mcpServers"/,
  },
  {
    key: 'clients.*.config.command, clients.*.config.args, clients.*.config.env, clients.*.config.inheritEnv',
    is: 'kept',
    written: configured({ ...COMMAND, args: ['x'], env: { A: 'hunter2' } }, 'stdio'),
    becomes: a({ ...COMMAND, args: ['x'], env: { A: 'hunter2' } }),
  },
  {
    key: 'clients.*.config.url, clients.*.config.headers, clients.*.config.timeout',
    is: 'kept',
    written: configured({ ...REMOTE, headers: { X: 'hunter2' }, timeout: 1e9 }, 'streamable-http'),
    becomes: a({ ...REMOTE, headers: { X: 'hunter2' }, timeout: 1000 }),
  },
  {
    key: 'clients.*.panicIfInvalid',
    is: 'kept',
    written: client({ panicIfInvalid: true }),
    becomes: a({ required: true }),
  },
  {
    key: 'clients.*.logEnabled',
    is: 'changed because it is for all or none',
    written: client({ logEnabled: true }),
    warning: /: clients\.a\.logEnabled: requests are logged for all/,
  },
  {
    key: 'clients.*.authTokens',
    is: 'kept, and those of the server are added',
    written: old(
      { globalAuthTokens: ['hunter2'] },
      {
        a: { type: 'sse', config: REMOTE, authTokens: ['hunter3'] },
        b: { type: 'sse', config: REMOTE },
      },
    ),
    becomes: {
      auth: { tokens: [{ token: 'hunter2' }, { token: 'hunter3', servers: ['a'] }] },
    },
  },
]
