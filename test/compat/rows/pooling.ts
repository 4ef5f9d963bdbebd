/** Of the pooling gateway. */
import { a, REMOTE, type Row } from './row.ts'

const LOCAL = { name: 'a', type: 'local', command: ['uvx'], inheritEnv: true }
const pooling = (written: object, servers: object[] = [LOCAL]) => ({ ...written, servers })
const local = (written: object) => pooling({}, [{ ...LOCAL, ...written }])
const DEFAULTS = {
  pool: { minConnections: 2, maxConnections: 3, acquireTimeout: 5, idleTimeout: 7 },
}
const mapped = (mapping: object, filters: object = {}) =>
  pooling({ mapping: { a: mapping }, toolFilters: { a: filters } })

export const POOLING: readonly Row[] = [
  {
    key: 'gateway.host, gateway.port',
    is: 'kept',
    written: pooling({ gateway: { host: '127.0.0.1', port: 4000 } }),
    becomes: { gateway: { host: '127.0.0.1', port: 4000 } },
  },
  {
    key: 'gateway.host',
    is: 'kept when nothing is written',
    written: pooling({}),
    becomes: { gateway: { host: '0.0.0.0' } },
  },
  {
    key: 'gateway.port',
    is: 'refused because there is no such port',
    written: pooling({ gateway: { port: 65536 } }),
    fault: /:3: gateway\.port: must be at most 65535/,
  },
  {
    key: 'gateway.cors',
    is: 'changed because any web page could call',
    written: pooling({ gateway: { cors: true } }),
    warning: /:3: gateway\.cors: web pages may not call .*"gateway\.allowedOrigins"/,
  },
  {
    key: 'gateway.cors',
    is: 'kept when it is false',
    written: pooling({ gateway: { cors: false } }),
  },
  {
    key: 'gateway.allowedOrigins',
    is: 'kept, as all options of ours there',
    written: pooling({ gateway: { allowedOrigins: ['https://app.example'] } }),
    becomes: { gateway: { allowedOrigins: ['https://app.example'] } },
  },
  {
    key: 'pool.minConnections, pool.maxConnections, pool.acquireTimeout, pool.idleTimeout',
    is: 'kept',
    written: pooling(DEFAULTS),
    becomes: { defaults: DEFAULTS },
  },
  {
    key: 'pool.minConnections',
    is: 'refused because it is more than the most',
    written: pooling({ pool: { minConnections: 9 } }),
    fault: /:3: pool\.minConnections: is more than "maxConnections", which is 5 by default/,
  },
  {
    key: 'pool.maxRetries',
    is: 'changed because it never did anything',
    written: pooling({ pool: { maxRetries: 3 } }),
    warning: /:3: pool\.maxRetries: has no effect, nor had it/,
  },
  {
    key: 'servers.name, servers.type, servers.command, servers.env, servers.inheritEnv',
    is: 'kept, and in this order',
    written: pooling({}, [
      { ...LOCAL, name: 'z', command: ['npx', '-y', 'x'], env: { A: 'hunter2' } },
      LOCAL,
    ]),
    becomes: {
      mcpServers: {
        z: { command: 'npx', args: ['-y', 'x'], env: { A: 'hunter2' }, inheritEnv: true },
        a: { command: 'uvx' },
      },
    },
  },
  {
    key: 'servers.name',
    is: 'refused because it is there twice',
    written: pooling({}, [LOCAL, LOCAL]),
    fault: /:12: servers\[1\]\.name: is there twice; choose another name$/,
  },
  ...['my server', 'a/b', '', '.a', '__proto__', 'constructor'].map((name) => ({
    key: 'servers.name',
    is: `refused because ${JSON.stringify(name)} is no name`,
    written: pooling({}, [{ ...LOCAL, name }]),
    fault: /:4: servers\[0\]\.name: (a server name has 1 to 64 letters|is a reserved name; choose)/,
  })),
  {
    key: 'servers.command',
    is: 'refused because it is empty',
    written: local({ command: [] }),
    fault: /:3: servers\[0\]: needs a "command": \["PROGRAM", "ARGUMENT"\]$/,
  },
  {
    key: 'servers.command',
    is: 'changed because it no longer gets the whole environment',
    written: local({ inheritEnv: false }),
    warning: /:2: servers: servers do not get the whole environment any more/,
  },
  {
    key: 'servers.type',
    is: 'refused because it is unknown',
    written: local({ type: 'stdio' }),
    fault: /:3: servers\[0\]: has a "type" that is neither "local"/,
  },
  {
    key: 'servers.type, servers.url',
    is: 'kept',
    written: pooling({}, [{ name: 'a', type: 'remote', ...REMOTE }]),
    becomes: a(REMOTE),
  },
  {
    key: 'servers.url',
    is: 'refused because a remote server has one',
    written: pooling({}, [{ name: 'a', type: 'remote' }]),
    fault: /:3: servers\[0\]: is remote, so it needs a "url"$/,
  },
  {
    key: 'servers.url',
    is: 'changed because a local server has none',
    written: local(REMOTE),
    becomes: a({ command: 'uvx' }),
    warning: /:10: servers\[0\]\.url: is not used by a server of type "local"/,
  },
  {
    key: 'servers.enabled',
    is: 'kept',
    written: local({ enabled: false }),
    becomes: a({ disabled: true }),
  },
  {
    key: 'servers.poolSize',
    is: 'kept, as minimum and maximum',
    written: local({ poolSize: 3 }),
    becomes: a({ pool: { minConnections: 3, maxConnections: 3 } }),
  },
  {
    key: 'servers.poolSize',
    is: 'refused because nothing can be called without a connection',
    written: local({ poolSize: 0 }),
    fault: /:10: servers\[0\]\.poolSize: must be at least 1/,
  },
  {
    key: 'mapping.*.prefix',
    is: 'kept',
    written: mapped({ prefix: 'zhipu' }),
    becomes: a({ tools: { prefix: 'zhipu' } }),
  },
  {
    key: 'mapping.*.prefix',
    is: 'kept: without a mapping there is none',
    written: local({}),
    becomes: a({ tools: { prefix: '' } }),
  },
  {
    key: 'mapping.*.prefix',
    is: 'refused because no client would take it',
    written: mapped({ prefix: 'zhi pu' }),
    fault: /:4: mapping\.a\.prefix: must be of at most 40 letters/,
  },
  {
    key: 'mapping.*.prefix',
    is: 'changed because there is none in it',
    written: mapped({}),
    becomes: a({ tools: { prefix: '' } }),
    warning: /:3: mapping\.a: has no "prefix"/,
  },
  {
    key: 'mapping.*.prefix',
    is: 'changed because there is no such server',
    written: pooling({ mapping: { b: { prefix: 'b' } } }),
    warning: /:3: mapping\.b: there is no such server, so this does nothing$/,
  },
  {
    key: 'mapping.*.stripPrefix',
    is: 'kept when it is true',
    written: mapped({ prefix: 'p', stripPrefix: true }),
    becomes: a({ tools: { prefix: 'p' } }),
  },
  {
    key: 'mapping.*.stripPrefix',
    is: 'kept when it is false: names stay as they are',
    written: mapped({ prefix: 'p', stripPrefix: false }),
    becomes: a({ tools: { prefix: '' } }),
  },
  {
    key: 'mapping.*.rename',
    is: 'changed because lists follow it, too',
    written: mapped({ prefix: 'p', rename: { called: 'original' } }),
    becomes: a({ tools: { prefix: 'p', rename: { original: 'called' } } }),
    warning: /:5: mapping\.a\.rename: renames in lists, too/,
  },
  {
    key: 'mapping.*.rename',
    is: 'changed because a tool has one name',
    written: mapped({ prefix: 'p', rename: { one: 'original', two: 'original' } }),
    becomes: a({ tools: { rename: { original: 'one' } } }),
    warning: /:7: mapping\.a\.rename\.two: a tool has one name, and this one is "one" already$/,
  },
  {
    key: 'toolFilters.*.include',
    is: 'kept',
    written: mapped({ prefix: 'p' }, { include: ['x', 'y'], exclude: [] }),
    becomes: a({ tools: { allow: ['x', 'y'] } }),
  },
  {
    key: 'toolFilters.*.exclude',
    is: 'kept',
    written: mapped({ prefix: 'p' }, { include: [], exclude: ['x'] }),
    becomes: a({ tools: { block: ['x'] } }),
  },
  {
    key: 'toolFilters.*.exclude',
    is: 'changed because "include" comes first',
    written: mapped({ prefix: 'p' }, { include: ['x'], exclude: ['x'] }),
    becomes: a({ tools: { allow: ['x'] } }),
    warning: /: toolFilters\.a\.exclude: has no effect beside "include"/,
  },
  {
    key: 'toolFilters.*.include',
    is: 'changed because a pattern would show more than before',
    written: mapped({ prefix: 'p' }, { include: ['x', '*'] }),
    becomes: a({ tools: { allow: ['x'] } }),
    warning: /: toolFilters\.a\.include\[1\]: is the exact name of a tool/,
  },
  {
    key: 'toolFilters.*.include',
    is: 'changed because there is no such server',
    written: pooling({ toolFilters: { b: { include: ['x'] } } }),
    warning: /: toolFilters\.b: there is no such server/,
  },
]
