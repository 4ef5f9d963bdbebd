/** Of mcp-proxy: what is written of the proxy itself. */
import { REMOTE, type Row } from './row.ts'

const proxy = (mcpProxy: object, mcpServers: object = {}) => ({
  mcpProxy: { addr: ':9090', ...mcpProxy },
  mcpServers,
})
const options = (written: object, servers: object = {}) => proxy({ options: written }, servers)
const oauth2 = { enabled: true, users: { alice: 'hunter2' } }
const logins = (written: object) =>
  proxy({ type: 'streamable-http', options: { oauth2: { enabled: true, ...written } } })

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
  ...Object.entries({
    toolFilter: { mode: 'block', list: ['x'] },
    userFilter: { mode: 'block', list: ['x'] },
    disabled: true,
  }).map(([key, value]) => ({
    key:
      key === 'disabled'
        ? 'mcpProxy.options.disabled'
        : `mcpProxy.options.${key}.mode, mcpProxy.options.${key}.list`,
    is: 'changed because nobody inherits it',
    written: options({ [key]: value, oauth2 }, { a: REMOTE }),
    becomes: { mcpServers: { a: REMOTE }, auth: { oauth: { users: oauth2.users } } },
    lacks: 'disabled',
    warning: new RegExp(`:\\d+: mcpProxy.options.${key}: is not inherited by servers`),
  })),
  {
    key: ['enabled', 'users', 'persistenceDir', 'tokenExpirationMinutes']
      .concat('templateDir')
      .map((key) => `mcpProxy.options.oauth2.${key}`)
      .join(', '),
    is: 'kept: these are logins, and oauth_clients.json of that directory is taken over',
    written: logins({
      ...{ users: { alice: 'hunter2', 'bob@a.example': '${UNSET:-hunter2}' } },
      ...{ persistenceDir: '/x', templateDir: '/y' },
      tokenExpirationMinutes: 5,
    }),
    becomes: {
      gateway: { dataDir: '/x' },
      auth: {
        oauth: {
          ...{ users: { alice: 'hunter2', 'bob@a.example': '${UNSET:-hunter2}' } },
          templateDir: '/y',
          tokenExpirationMinutes: 5,
        },
      },
    },
  },
  {
    key: 'mcpProxy.options.oauth2.persistenceDir',
    is: 'changed because "gateway.dataDir" is written, too',
    written: {
      ...logins({ persistenceDir: '/x', users: oauth2.users }),
      gateway: { dataDir: '/z' },
    },
    becomes: { gateway: { dataDir: '/z' } },
    warning:
      /:8: mcpProxy\.options\.oauth2\.persistenceDir: is not looked at, .*oauth_clients\.json/,
  },
  {
    key: 'mcpProxy.options.oauth2.persistenceDir, mcpProxy.options.oauth2.templateDir',
    is: 'kept when they are empty',
    written: logins({ users: oauth2.users, persistenceDir: '', templateDir: '' }),
  },
  ...[0, -1, undefined].map((tokenExpirationMinutes) => ({
    key: 'mcpProxy.options.oauth2.tokenExpirationMinutes',
    is: `kept when it is ${tokenExpirationMinutes}, which is an hour`,
    written: logins({ users: oauth2.users, tokenExpirationMinutes }),
    becomes: { auth: { oauth: { users: oauth2.users } } },
  })),
  {
    key: 'mcpProxy.options.oauth2.tokenExpirationMinutes',
    is: 'refused because there are no parts of it',
    written: logins({ users: oauth2.users, tokenExpirationMinutes: 1.5 }),
    fault: /:\d+: mcpProxy\.options\.oauth2\.tokenExpirationMinutes: must be a whole number/,
  },
  {
    key: 'mcpProxy.options.oauth2.disableTokenExpiration',
    is: 'changed because tokens expire',
    written: logins({ users: oauth2.users, disableTokenExpiration: true }),
    warning: /:\d+: mcpProxy\.options\.oauth2\.disableTokenExpiration: tokens expire/,
  },
  {
    key: 'mcpProxy.options.oauth2.disableTokenExpiration',
    is: 'kept when it is false',
    written: logins({ users: oauth2.users, disableTokenExpiration: false }),
  },
  ...[{}, { users: {} }, { users: null }].map((none) => ({
    key: 'mcpProxy.options.oauth2.users',
    is: 'changed because nobody can log in',
    written: logins(none),
    becomes: { auth: { oauth: {} } },
    warning: /:\d+: mcpProxy\.options\.oauth2: has no "users", so nobody can log in; write/,
  })),
  {
    key: 'mcpProxy.options.oauth2.users',
    is: 'refused because an empty password is none',
    written: logins({ users: { alice: '' } }),
    fault: /:\d+: mcpProxy\.options\.oauth2\.users\.alice\S* must not be empty/,
  },
  {
    key: 'mcpProxy.options.oauth2.allowedIPs',
    is: 'changed because whoever sends a header is believed there',
    written: logins({ users: oauth2.users, allowedIPs: ['1.1.1.1', '2001:db8::1'] }),
    becomes: { auth: { oauth: { allowedIPs: ['1.1.1.1', '2001:db8::1'] } } },
    warning: /:\d+: mcpProxy\.options\.oauth2\.allowedIPs: .*"gateway\.trustedProxies"/,
  },
  {
    key: 'mcpProxy.options.oauth2.allowedIPs',
    is: 'refused because a name is no address',
    written: logins({ users: oauth2.users, allowedIPs: ['a.example'] }),
    fault: /:\d+: mcpProxy\.options\.oauth2\.allowedIPs\[0\]: must be an IP address, or a range/,
  },
  ...[{ type: 'sse' }, {}].map(({ type }) => ({
    key: 'mcpProxy.type, mcpProxy.options.oauth2.enabled',
    is: `changed because logins hold for both transports, also with ${type ?? 'none written'}`,
    written: proxy({ ...(type && { type }), options: { oauth2 } }),
    becomes: { auth: { oauth: { users: oauth2.users } } },
    warning: new RegExp(
      `:\\d+: mcpProxy\\.${type ? 'type' : 'options\\.oauth2'}: mcp-proxy ignores "oauth2" unless`,
    ),
  })),
  {
    key: 'mcpProxy.options.oauth2.enabled, mcpProxy.options.authTokens',
    is: 'changed because tokens are good besides logins',
    written: proxy(
      { type: 'streamable-http', options: { oauth2, authTokens: ['hunter2'] } },
      { a: REMOTE },
    ),
    becomes: { auth: { oauth: { users: oauth2.users }, tokens: [{ token: 'hunter2' }] } },
    warning: /:\d+: mcpProxy\.options\.authTokens\[0\]: mcp-proxy takes no tokens of "authTokens"/,
  },
  ...[false, null, undefined].map((enabled) => ({
    key: 'mcpProxy.options.oauth2.enabled',
    is: `kept when it is ${enabled}, and then nothing else of it counts`,
    written: options({
      oauth2: { enabled, users: { alice: 'hunter2' }, persistenceDir: '/x', allowedIPs: ['?'] },
    }),
    becomes: { gateway: { host: '0.0.0.0', port: 9090 } },
  })),
]
