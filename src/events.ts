/**
 * What happens, as typed events; log lines are one way to observe them.
 *
 * Code emits events and never logs. An event holds no payload of a call and no configured value.
 */

export type GatewayEvent =
  | { type: 'request'; method: string; server: string; outcome: Outcome; ms: number }
  | { type: 'session_opened'; endpoint: string; client: string }
  | { type: 'session_ended'; endpoint: string; reason: string }
  | { type: 'upstream_spawned'; server: string; pid: number }
  | { type: 'upstream_ready'; server: string; ms: number }
  | { type: 'upstream_failed'; server: string; reason: string }
  | { type: 'upstream_closed'; server: string; reason: string }
  | { type: 'upstream_reaped'; server: string; reason: string }
  | { type: 'upstream_recycled'; server: string; reason: string }
  | { type: 'upstream_noise'; server: string; text: string; why: string }
  | { type: 'upstream_note'; server: string; text: string }
  | { type: 'upstream_stderr'; server: string; text: string }
  | { type: 'request_refused'; status: number; reason: string }
  | { type: 'unguarded'; text: string }
  | { type: 'login'; user: string; address: string }
  | { type: 'login_note'; text: string }
  | { type: 'login_refused'; user: string; address: string; reason: string }
  | { type: 'authorized'; user: string; client: string; endpoint: string; scopes: string }
  | { type: 'authorization_refused'; client: string; reason: string }
  | { type: 'config_applied'; added?: string; changed?: string; removed?: string; kept?: string }
  | { type: 'config_refused'; reason: string }
  | { type: 'config_note'; text: string }
  | { type: 'stopping'; drain: number }
  | { type: 'fault'; error: Error }

export type Outcome = 'ok' | 'error' | 'cancelled' | 'failed'

/** Told of everything that happens. Must not throw. */
export type Observer = (event: GatewayEvent) => void

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

const LEVEL_OF: Record<GatewayEvent['type'], LogLevel> = {
  request: 'debug',
  session_opened: 'info',
  session_ended: 'info',
  upstream_spawned: 'debug',
  upstream_ready: 'info',
  upstream_failed: 'error',
  upstream_closed: 'info',
  upstream_reaped: 'debug',
  upstream_recycled: 'info',
  upstream_noise: 'warn',
  upstream_note: 'warn',
  upstream_stderr: 'debug',
  request_refused: 'info',
  unguarded: 'warn',
  login: 'info',
  login_note: 'warn',
  login_refused: 'warn',
  authorized: 'info',
  authorization_refused: 'info',
  config_applied: 'info',
  config_refused: 'error',
  config_note: 'warn',
  stopping: 'info',
  fault: 'error',
}

/** Writes each event at or above `level` as one line: time, level, event, and its fields as `key=value`. */
export function logLines(level: LogLevel, write: (line: string) => void): Observer {
  const least = LOG_LEVELS.indexOf(level)
  return (event) => {
    const of = LEVEL_OF[event.type]
    if (LOG_LEVELS.indexOf(of) < least) return
    const { type, ...fields } = event
    const said = Object.entries(fields).map(([key, value]) => ` ${key}=${printed(value)}`)
    write(`${new Date().toISOString()} ${of.padEnd(5)} ${type}${said.join('')}\n`)
  }
}

/** One line, whatever it holds: what a server wrote must not forge another log line, nor steer a terminal. */
function printed(value: unknown): string {
  const text = value instanceof Error ? (value.stack ?? value.message) : String(value)
  return /^[\w./:@-]+$/.test(text) ? text : quoted(text.slice(0, 2000))
}

/** In quotes and on one line, with nothing in it that a terminal would obey. */
export function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\x7f-\x9f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
