/** Of mcp-proxy: the options of servers, and what is in their names. */
import { a, COMMAND, REMOTE, type Row } from './row.ts'

const proxy = (mcpProxy: object, mcpServers: object = {}) => ({
  mcpProxy: { addr: ':9090', ...mcpProxy },
  mcpServers,
})
const options = (written: object, servers: object = {}) => proxy({ options: written }, servers)
const own = (written: object) => proxy({}, { a: { ...REMOTE, options: written } })
const filtered = (userFilter: object) =>
  proxy(
    {
      type: 'streamable-http',
      options: { oauth2: { enabled: true, users: { alice: 'hunter2', bob: 'hunter3' } } },
    },
    { a: { ...REMOTE, options: { userFilter } }, b: REMOTE },
  )
const users = (users: object) => ({ auth: { oauth: { users } } })

export const PROXIED_OPTIONS: readonly Row[] = [
  {
    key: 'mcpServers.*.options.panicIfInvalid',
    is: 'kept',
    written: own({ panicIfInvalid: true }),
    becomes: a({ required: true }),
  },
  {
    key: 'mcpServers.*.options.logEnabled',
    is: 'changed because it is for all or none',
    written: own({ logEnabled: true }),
    warning: /:9: mcpServers\.a\.options\.logEnabled: requests are logged for all/,
  },
  {
    key: 'mcpServers.*.options.authTokens',
    is: 'kept, and they replace those of the proxy',
    written: options(
      { authTokens: ['hunter2'] },
      { a: { ...REMOTE, options: { authTokens: ['hunter3'] } }, b: REMOTE },
    ),
    becomes: {
      auth: {
        tokens: [
          { token: 'hunter2', servers: ['b'] },
          { token: 'hunter3', servers: ['a'] },
        ],
      },
    },
  },
  {
    key: 'mcpServers.*.options.authTokens',
    is: 'changed because an empty list opens the server',
    written: options(
      { authTokens: ['hunter2'] },
      { a: { ...REMOTE, options: { authTokens: [] } }, b: REMOTE },
    ),
    becomes: { mcpServers: { a: { public: true } }, auth: { tokens: [{ token: 'hunter2' }] } },
    warning: /:14: mcpServers\.a\.options\.authTokens: EVERYBODY who reaches the gateway/,
  },
  {
    key: 'mcpServers.*.options.authTokens',
    is: 'changed because a server without any is not open by accident',
    lacks: 'public',
    written: proxy({}, { a: { ...REMOTE, options: { authTokens: ['hunter2'] } }, b: REMOTE }),
    becomes: {
      mcpServers: { b: REMOTE },
      auth: { tokens: [{ token: 'hunter2', servers: ['a', 'b'] }] },
    },
    warning: /:14: mcpServers\.b: mcp-proxy asks for no token at this server; .*"authTokens": \[\]/,
  },
  {
    key: 'mcpServers.*.options.authTokens',
    is: 'kept when there is not one anywhere',
    lacks: 'public',
    written: own({ authTokens: [] }),
    becomes: a(REMOTE),
  },
  {
    key: 'mcpServers.*',
    is: 'kept when a token is written behind the name',
    lacks: 'public',
    written: proxy({}, { 'a/PathToken': { ...REMOTE, options: { authTokens: [] } } }),
    becomes: { ...a(REMOTE), auth: { tokens: [{ token: 'PathToken', servers: ['a'] }] } },
  },
  {
    key: 'mcpServers.*',
    is: 'changed because a token behind the name is one like the others',
    written: options({ authTokens: ['hunter2'] }, { 'a/PathToken': REMOTE }),
    becomes: { auth: { tokens: [{ token: 'hunter2' }, { token: 'PathToken', servers: ['a'] }] } },
    warning: /:11: mcpServers\["a\/…"\]: mcp-proxy asks for a token of "authTokens" besides/,
  },
  {
    key: 'mcpServers.*',
    is: 'refused because two different servers cannot have one name',
    written: proxy({}, { 'a/PathToken': REMOTE, a: COMMAND }),
    fault: /:9: mcpServers\.a: another server has this name/,
  },
  ...['a/b/PathToken', 'a/', '/PathToken'].map((name) => ({
    key: 'mcpServers.*',
    is: `refused because ${name} has no such form`,
    written: proxy({}, { [name]: REMOTE }),
    fault: /:6: mcpServers\["a?\/…"\]: (may have one "\/"|a server name has 1 to 64)/,
  })),
  {
    key: 'mcpServers.*',
    is: 'refused because it has a space',
    written: proxy({}, { 'my server': REMOTE }),
    fault: /:6: mcpServers\["my server"\]: a server name has .*; call it "my-server"$/,
  },
  {
    key: 'mcpServers.*',
    is: 'refused because it is reserved',
    written: proxy({}, { 'constructor/PathToken': REMOTE }),
    fault: /:6: mcpServers\["constructor\/…"\]: is a reserved name; choose another$/,
  },
  ...['allow', 'block', 'Block'].map((mode) => ({
    key: 'mcpServers.*.options.toolFilter.mode, mcpServers.*.options.toolFilter.list',
    is: 'kept',
    written: own({ toolFilter: { mode, list: ['x', 'y'] } }),
    becomes: a({ tools: { [mode.toLowerCase()]: ['x', 'y'] } }),
  })),
  {
    key: 'mcpServers.*.options.toolFilter.list',
    is: 'kept when it is empty, which shows everything',
    lacks: 'tools',
    written: own({ toolFilter: { mode: 'allow', list: [] } }),
    becomes: a(REMOTE),
  },
  {
    key: 'mcpServers.*.options.toolFilter.list',
    is: 'changed because a pattern would show more than before',
    written: own({ toolFilter: { mode: 'allow', list: ['*'] } }),
    becomes: a({ tools: { allow: [] } }),
    warning: /:12: mcpServers\.a\.options\.toolFilter\.list\[0\]: is the exact name of a tool/,
  },
  {
    key: 'mcpServers.*.options.toolFilter.mode',
    is: 'changed because without a mode it filters nothing',
    lacks: 'tools',
    written: own({ toolFilter: { list: ['x'] } }),
    becomes: a(REMOTE),
    warning: /:9: mcpServers\.a\.options\.toolFilter: the mode is neither "allow" nor "block"/,
  },
  {
    key: 'mcpServers.*.options.toolFilter.mode',
    is: 'changed because an unknown mode filters nothing',
    lacks: 'tools',
    written: own({ toolFilter: { mode: 'deny', list: ['x'] } }),
    becomes: a(REMOTE),
    warning: /:10: mcpServers\.a\.options\.toolFilter\.mode: the mode is neither/,
  },
  {
    key: 'mcpServers.*.options.userFilter.mode, mcpServers.*.options.userFilter.list',
    is: 'changed because it limits nobody where nobody logs in',
    written: own({ userFilter: { mode: 'allow', list: ['alice'] } }),
    becomes: a(REMOTE),
    warning: /:9: mcpServers\.a\.options\.userFilter: limits nobody, because nobody logs in/,
  },
  ...['allow', 'Allow'].map((mode) => ({
    key: 'mcpServers.*.options.userFilter.mode, mcpServers.*.options.userFilter.list',
    is: `changed because ${mode} does limit`,
    written: filtered({ mode, list: ['alice', 'nobody'] }),
    becomes: users({ alice: 'hunter2', bob: { password: 'hunter3', servers: ['b'] } }),
    warning:
      /:\d+: mcpServers\.a\.options\.userFilter: limits who .* use: a; in mcp-proxy it was to/,
  })),
  ...['block', 'BLOCK'].map((mode) => ({
    key: 'mcpServers.*.options.userFilter.mode, mcpServers.*.options.userFilter.list',
    is: `changed because ${mode} does limit`,
    written: filtered({ mode, list: ['alice', 'Bob'] }),
    becomes: users({ alice: { password: 'hunter2', servers: ['b'] }, bob: 'hunter3' }),
    warning:
      /:\d+: mcpServers\.a\.options\.userFilter: limits who .* use: a; in mcp-proxy it was to/,
  })),
  ...[[], null].map((list) => ({
    key: 'mcpServers.*.options.userFilter.list',
    is: 'changed because it names nobody',
    written: filtered({ mode: 'allow', list }),
    becomes: users({ alice: 'hunter2', bob: 'hunter3' }),
    warning: /:\d+: mcpServers\.a\.options\.userFilter: names nobody in its "list", so everybody/,
  })),
  ...[{ mode: 'deny' }, {}].map((mode) => ({
    key: 'mcpServers.*.options.userFilter.mode',
    is: 'changed because what it means is not known',
    written: filtered({ ...mode, list: ['alice'] }),
    becomes: users({ alice: 'hunter2', bob: 'hunter3' }),
    warning:
      /:\d+: mcpServers\.a\.options\.userFilter(\.mode)?: the mode is neither .* so everybody who/,
  })),
  {
    key: 'mcpServers.*.options.disabled',
    is: 'kept',
    written: own({ disabled: true }),
    becomes: a({ disabled: true }),
  },
  {
    key: ['enabled', 'users', 'persistenceDir', 'allowedIPs', 'tokenExpirationMinutes']
      .concat('disableTokenExpiration', 'templateDir')
      .map((key) => `mcpServers.*.options.oauth2.${key}`)
      .join(', '),
    is: 'changed because it only counts at the proxy',
    written: own({ oauth2: { enabled: true, users: { alice: 'hunter2' } } }),
    warning: /:9: mcpServers\.a\.options\.oauth2: has no effect at a server/,
  },
  {
    key: 'mcpServers.*.options.pingInterval, mcpServers.*.options.autoReconnect, mcpServers.*.options.reconnectInterval',
    is: 'kept, for what breaks is opened again anyway',
    written: own({ pingInterval: '1s', autoReconnect: false, reconnectInterval: '1s' }),
    becomes: a(REMOTE),
  },
]
