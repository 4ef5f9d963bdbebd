/**
 * What a server inherits: who may share its connections, how many there are, and how long and how large they may get.
 *
 * Each option is the server's own, else that of `defaults`, else what is built in; those of `pool` one by one.
 */
import * as v from 'valibot'
import { count, duration, size } from './values.ts'

const pool = v.strictObject({
  minConnections: v.pipe(
    v.optional(count(0)),
    v.description('How many connections are kept ready. By default 1, for a URL 0.'),
  ),
  maxConnections: v.pipe(
    v.optional(count(1)),
    v.description('How many connections there are at most. By default 5.'),
  ),
  acquireTimeout: v.pipe(
    v.optional(duration(0)),
    v.description('How many ms a call waits for a free connection. By default 10000.'),
  ),
  idleTimeout: v.pipe(
    v.optional(duration(0)),
    v.description('Connections above the minimum end when idle for so many ms. By default 60000.'),
  ),
  concurrency: v.pipe(
    v.optional(count(1)),
    v.description(
      'How many calls one connection carries at once. Only while it is 1 can the server ask its caller something. By default 1, for a URL 16.',
    ),
  ),
  maxLifetime: v.pipe(
    v.optional(duration(1)),
    v.description(
      'A connection so many ms old takes no more calls, and is replaced. By default of any age.',
    ),
  ),
  maxCalls: v.pipe(
    v.optional(count(1)),
    v.description(
      'A connection takes no more calls than this, and is replaced. By default any number.',
    ),
  ),
  queueLimit: v.pipe(
    v.optional(count(0)),
    v.description('How many calls may wait for a connection. By default 1000.'),
  ),
})

/** These are options of a server, and of `defaults`. */
export const inheritable = {
  isolation: v.pipe(
    v.optional(v.picklist(['user', 'session', 'shared'])),
    v.description(
      'Who may share a connection (a process, or a remote session): `user`, the sessions of one person; `session`, nobody; `shared`, everybody. By default `user`, for a URL `session`.',
    ),
  ),
  pool: v.pipe(
    v.optional(pool, {}),
    v.description('How connections are kept and shared, unless each session has its own.'),
  ),
  timeout: v.pipe(
    v.optional(duration(1)),
    v.description('A call is given up after so many ms. By default never.'),
  ),
  startupTimeout: v.pipe(
    v.optional(duration(1)),
    v.description('How many ms a server may take until it answers at all. By default 60000.'),
  ),
  maxMemory: v.pipe(
    v.optional(size),
    v.description(
      'A command whose processes together have more memory is started anew: bytes, or `"512MB"`, `"1GiB"`; on Linux only. By default any amount.',
    ),
  ),
}

export const DefaultsSchema = v.strictObject(inheritable)

/** What is written of them. */
export type Inheritable = v.InferOutput<typeof DefaultsSchema>
export type Isolation = 'user' | 'session' | 'shared'
export type Kind = 'command' | 'remote'

/** Times are in ms. Without `maxLifetime` and `maxCalls` there is no such bound. */
export interface Pool {
  minConnections: number
  maxConnections: number
  acquireTimeout: number
  idleTimeout: number
  concurrency: number
  maxLifetime?: number
  maxCalls?: number
  queueLimit: number
}

const POOL = { maxConnections: 5, acquireTimeout: 10_000, idleTimeout: 60_000, queueLimit: 1000 }
const BUILT_IN = {
  // A process costs megabytes, and what runs in one mostly believes that it has one client.
  command: { isolation: 'user', pool: { ...POOL, minConnections: 1, concurrency: 1 } },
  // What tells one remote session from another is a header.
  remote: { isolation: 'session', pool: { ...POOL, minConnections: 0, concurrency: 16 } },
} as const
/** `npx` and `uvx` are slow the first time. */
const STARTUP = 60_000

/** What holds for a server. */
export function inherit(kind: Kind, own: Inheritable, defaults: Inheritable) {
  const builtIn = BUILT_IN[kind]
  const pool: Pool = { ...builtIn.pool, ...given(defaults.pool), ...given(own.pool) }
  const isolation: Isolation = own.isolation ?? defaults.isolation ?? builtIn.isolation
  return {
    isolation,
    pool,
    timeout: own.timeout ?? defaults.timeout,
    startupTimeout: own.startupTimeout ?? defaults.startupTimeout ?? STARTUP,
    maxMemory: own.maxMemory ?? defaults.maxMemory,
  }
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

function given<T extends object>(options: T): Given<T> {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as Given<T>
}
