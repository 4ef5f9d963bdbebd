/** Of mcp-proxy: what is written of the proxy itself. */
import { REMOTE, type Row } from './row.ts'

const proxy = (mcpProxy: object, mcpServers: object = {}) => ({
  mcpProxy: { addr: ':9090', ...mcpProxy },
  mcpServers,
})
const options = (written: object, servers: object = {}) => proxy({ options: written }, servers)

export const PROXY: readonly Row[] = [
  {
    key: 'mcpProxy.addr',
    is: 'kept',
    written: proxy({ addr: '127.0.0.1:80' }),
    becomes: { gateway: { host: '127.0.0.1', port: 80 } },
  },
  {
    key: 'mcpProxy.addr',
    is: 'kept, also in brackets',
    written: proxy({ addr: '[::1]:9090' }),
    becomes: { gateway: { host: '::1', port: 9090 } },
  },
  {
    key: 'mcpProxy.addr',
    is: 'changed because without it nobody knows where to go',
    written: proxy({ addr: '' }),
    becomes: { gateway: { host: '0.0.0.0', port: 9090 } },
    warning: /:2: mcpProxy: has no "addr"; port 9090 is taken/,
  },
  ...['9090', 'localhost', ':http', ':99999', '1:2:3', '::1:80', 'http://a:80'].map((addr) => ({
    key: 'mcpProxy.addr',
    is: `refused because ${addr} is none`,
    written: proxy({ addr }),
    fault: /:3: mcpProxy\.addr: expected "HOST:PORT", "\[IPv6\]:PORT" or ":PORT"$/,
  })),
  {
    key: 'mcpProxy.baseURL',
    is: 'kept',
    written: proxy({ baseURL: 'https://mcp.example.com/foo/' }),
    becomes: { gateway: { baseURL: 'https://mcp.example.com/foo/' } },
  },
  { key: 'mcpProxy.baseURL', is: 'kept when empty', written: proxy({ baseURL: '' }) },
  {
    key: 'mcpProxy.baseURL',
    is: 'refused because without a scheme all of it would be a path',
    written: proxy({ baseURL: 'mcp.example.com/foo' }),
    fault: /:4: mcpProxy\.baseURL: has no scheme; write it in front: "https:\/\/HOST\/PATH"$/,
  },
  {
    key: 'mcpProxy.baseURL',
    is: 'refused because nothing can be written behind a query',
    written: proxy({ baseURL: 'https://a.example/?token=hunter2' }),
    fault: /:4: mcpProxy\.baseURL: must be a URL without "\?"/,
  },
  {
    key: 'mcpProxy.name, mcpProxy.version',
    is: 'kept, for they have no effect that anybody would miss',
    written: proxy({ name: 'MCP Proxy', version: '1.0.0' }),
  },
  { key: 'mcpProxy.type', is: 'kept: both are served', written: proxy({ type: 'sse' }) },
  {
    key: 'mcpProxy.type',
    is: 'refused because there is no third',
    written: proxy({ type: 'http' }),
    fault: /:4: mcpProxy\.type: expected "sse" or "streamable-http"/,
  },
  {
    key: 'mcpProxy.options.pingInterval, mcpProxy.options.reconnectInterval, mcpProxy.options.autoReconnect, mcpProxy.startupGracePeriod',
    is: 'kept, for what breaks is opened again anyway',
    written: proxy({
      startupGracePeriod: '30s',
      options: { pingInterval: '30s', autoReconnect: true, reconnectInterval: 15e9 },
    }),
  },
  {
    key: 'mcpProxy.options.panicIfInvalid',
    is: 'kept, at every server that does not say otherwise',
    written: options(
      { panicIfInvalid: true },
      { a: REMOTE, b: { ...REMOTE, options: { panicIfInvalid: false } } },
    ),
    becomes: { mcpServers: { a: { ...REMOTE, required: true }, b: REMOTE } },
  },
  {
    key: 'mcpProxy.options.logEnabled',
    is: 'changed because it is an option of the command line',
    written: options({ logEnabled: true }),
    warning: /:5: mcpProxy\.options\.logEnabled: requests are .*--log-level debug$/,
  },
  {
    key: 'mcpProxy.options.authTokens',
    is: 'kept, for the servers that inherit them',
    written: options(
      { authTokens: ['hunter2', 'hunter22'] },
      {
        a: REMOTE,
        b: { ...REMOTE, options: { authTokens: null } },
        c: { ...REMOTE, options: { authTokens: ['hunter2'] } },
      },
    ),
    becomes: {
      auth: { tokens: [{ token: 'hunter2' }, { token: 'hunter22', servers: ['a', 'b'] }] },
    },
  },
  {
    key: 'mcpProxy.options.authTokens',
    is: 'refused because a blank one is none',
    written: options({ authTokens: ['hunter2', ' '] }),
    fault: /:7: mcpProxy\.options\.authTokens\[1\]: a token must not be blank; leave it out$/,
  },
  {
    key: 'mcpProxy.options.authTokens',
    is: 'refused because a short one is guessed',
    written: options({ authTokens: ['h2'] }),
    fault: /:6: mcpProxy\.options\.authTokens\[0\]\S* must have at least 4 characters$/,
  },
  {
    key: 'mcpProxy.options.authTokens',
    is: 'changed because it opens nothing',
    written: options(
      { authTokens: ['hunter2'] },
      { a: { ...REMOTE, options: { authTokens: ['hunter3'] } } },
    ),
    becomes: { auth: { tokens: [{ token: 'hunter3', servers: ['a'] }] } },
    warning: /:6: mcpProxy\.options\.authTokens\[0\]: is good for no server/,
  },
  ...['toolFilter', 'disabled'].map((key) => ({
    key:
      key === 'disabled'
        ? 'mcpProxy.options.disabled'
        : 'mcpProxy.options.toolFilter.mode, mcpProxy.options.toolFilter.list',
    is: 'changed because nobody inherits it',
    written: options(
      { [key]: key === 'disabled' || { mode: 'block', list: ['x'] } },
      { a: REMOTE },
    ),
    warning: new RegExp(`:5: mcpProxy.options.${key}: is not inherited by servers`),
  })),
  {
    key: 'mcpProxy.options.userFilter.mode, mcpProxy.options.userFilter.list',
    is: 'changed because there are no users yet',
    written: options({ userFilter: { mode: 'allow', list: ['alice'] } }),
    warning: /:5: mcpProxy\.options\.userFilter: limits nobody/,
  },
  {
    key: ['enabled', 'users', 'persistenceDir', 'allowedIPs', 'tokenExpirationMinutes']
      .concat('disableTokenExpiration', 'templateDir')
      .map((key) => `mcpProxy.options.oauth2.${key}`)
      .join(', '),
    is: 'changed because there are no logins yet',
    written: options({
      oauth2: {
        ...{
          enabled: true,
          users: { alice: 'hunter2' },
          persistenceDir: '/x',
          allowedIPs: ['1.1.1.1'],
        },
        ...{ tokenExpirationMinutes: 60, disableTokenExpiration: true, templateDir: '/y' },
      },
    }),
    warning: /:5: mcpProxy\.options\.oauth2: logins are not available yet/,
  },
  {
    key: 'mcpProxy.options.oauth2.enabled',
    is: 'kept when it is false',
    written: options({ oauth2: { enabled: false, users: { alice: 'hunter2' } } }),
  },
]
