/** Of mcp-proxy: how servers are reached. */
import { a, COMMAND, REMOTE, type Row } from './row.ts'

const one = (server: object) => ({ mcpProxy: { addr: ':9090' }, mcpServers: { a: server } })

export const PROXIED: readonly Row[] = [
  {
    key: 'mcpServers.*.command, mcpServers.*.args, mcpServers.*.env, mcpServers.*.inheritEnv',
    is: 'kept',
    written: one({ ...COMMAND, args: ['x', 'y'], env: { A: 'hunter2' } }),
    becomes: a({ ...COMMAND, args: ['x', 'y'], env: { A: 'hunter2' } }),
  },
  {
    key: 'mcpServers.*.command',
    is: 'changed because it no longer gets the whole environment',
    written: one({ command: 'uvx' }),
    warning: /:5: mcpServers: servers do not get the whole environment any more/,
  },
  {
    key: 'mcpServers.*.url, mcpServers.*.headers',
    is: 'kept',
    written: one({ ...REMOTE, headers: { Authorization: 'hunter2' } }),
    becomes: a({ ...REMOTE, headers: { Authorization: 'hunter2' } }),
  },
  {
    key: 'mcpServers.*.url',
    is: 'changed because a command comes first',
    written: one({ ...COMMAND, ...REMOTE }),
    becomes: { mcpServers: { a: COMMAND } },
    warning: /:9: mcpServers\.a\.url: is not used, because there is a "command"/,
  },
  {
    key: 'mcpServers.*.headers',
    is: 'changed because a command has none',
    written: one({ ...COMMAND, headers: { X: 'hunter2' } }),
    becomes: a(COMMAND),
    warning: /:9: mcpServers\.a\.headers: is not used, because there is a "command"/,
  },
  {
    key: 'mcpServers.*.args, mcpServers.*.env',
    is: 'changed because a URL has none',
    written: one({ ...REMOTE, args: ['hunter2'], env: { A: 'hunter2' } }),
    becomes: a(REMOTE),
    warning: /:8: mcpServers\.a\.args: is not used, because there is a "url"/,
  },
  {
    key: 'mcpServers.*.url',
    is: 'refused because there is neither a command',
    written: one({ url: '' }),
    fault: /:6: mcpServers\.a: expected "command", the program to start, or "url"/,
  },
  ...['sse', 'streamable-http'].map((transportType) => ({
    key: 'mcpServers.*.transportType',
    is: 'kept',
    written: one({ ...REMOTE, transportType }),
    becomes: a({ ...REMOTE, type: transportType }),
  })),
  {
    key: 'mcpServers.*.transportType',
    is: 'changed because a command speaks stdio',
    lacks: 'type',
    written: one({ ...COMMAND, transportType: 'sse' }),
    becomes: a(COMMAND),
    warning: /:9: mcpServers\.a\.transportType: a "command" speaks stdio/,
  },
  {
    key: 'mcpServers.*.transportType',
    is: 'refused because a URL does not speak stdio',
    written: one({ ...REMOTE, transportType: 'stdio' }),
    fault: /:6: mcpServers\.a: speaks stdio, so it needs a "command"/,
  },
  {
    key: 'mcpServers.*.transportType',
    is: 'refused because it is unknown',
    written: one({ ...REMOTE, transportType: 'http' }),
    fault: /:8: mcpServers\.a\.transportType: expected "stdio", "sse" or "streamable-http"/,
  },
  ...(
    [
      ['30s', 30_000],
      ['1m30s', 90_000],
      ['500ms', 500],
      ['1.5h', 5_400_000],
      [30e9, 30_000],
      [1_500_000, 2],
    ] as const
  ).map(([timeout, ms]) => ({
    key: 'mcpServers.*.timeout',
    is: `kept: ${timeout} is ${ms} ms`,
    written: one({ ...REMOTE, transportType: 'streamable-http', timeout }),
    becomes: a({ timeout: ms }),
  })),
  {
    key: 'mcpServers.*.timeout',
    is: 'kept when it is 0, which is none',
    lacks: 'timeout',
    written: one({ ...REMOTE, timeout: 0 }),
    becomes: a(REMOTE),
  },
  {
    key: 'mcpServers.*.timeout',
    is: 'changed because 30 ns are less than a millisecond',
    written: one({ ...REMOTE, transportType: 'streamable-http', timeout: 30 }),
    becomes: a({ timeout: 1 }),
    warning: /:9: mcpServers\.a\.timeout: is less than a millisecond.*write "30s"/,
  },
  {
    key: 'mcpServers.*.timeout',
    is: 'changed because 30 ns would end every call, and did not',
    lacks: 'timeout',
    written: one({ ...COMMAND, timeout: 30 }),
    becomes: a(COMMAND),
    warning: /:9: mcpServers\.a\.timeout: is less than a millisecond.*; it is left out$/,
  },
  {
    key: 'mcpServers.*.timeout',
    is: 'changed because it counts everywhere',
    written: one({ ...COMMAND, timeout: '30s' }),
    becomes: a({ timeout: 30_000 }),
    warning: /:9: mcpServers\.a\.timeout: ends calls to every kind of server here/,
  },
  ...['soon', '30', '-1s', '', '30 s', '1d', -5].map((timeout) => ({
    key: 'mcpServers.*.timeout',
    is: `refused because ${JSON.stringify(timeout)} is no duration`,
    written: one({ ...REMOTE, timeout }),
    fault:
      /:8: mcpServers\.a\.timeout: expected a duration like "30s", or a number of nanoseconds$/,
  })),
  {
    key: 'mcpServers.*.timeout',
    is: 'refused because it is neither number nor text',
    written: one({ ...REMOTE, timeout: true }),
    fault: /:8: mcpServers\.a\.timeout: must be a duration as "30s"/,
  },
  {
    key: ['clientId', 'clientSecret', 'redirectUri', 'scopes', 'pkceDisabled']
      .concat('authServerMetadataUrl')
      .map((key) => `mcpServers.*.oauth.${key}`)
      .join(', '),
    is: 'changed because we cannot log in yet',
    written: one({
      ...REMOTE,
      oauth: {
        ...{ clientId: 'x', clientSecret: 'hunter2', redirectUri: 'http://localhost:1/cb' },
        ...{ scopes: ['y'], pkceDisabled: true, authServerMetadataUrl: 'https://b.example' },
      },
    }),
    becomes: a(REMOTE),
    warning: /:8: mcpServers\.a\.oauth: logging in at a server is not available yet.*: a\./,
  },
]
