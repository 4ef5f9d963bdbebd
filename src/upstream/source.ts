/**
 * Where the connections to one server come from: a command that is started for each, or a URL that is dialled.
 *
 * A source keeps hold of everything it opened, and ends it all when it is closed. What it tells about a server holds
 * none of the configured values that may be secrets.
 */
import type { ServerConfig } from '../config/schema.ts'
import type { Observer } from '../events.ts'
import type { Receiver, Transport } from '../rpc/peer.ts'
import { revealed } from '../secret.ts'
import { Commands } from './commands.ts'
import { Site } from './site.ts'
import type { Watchdog } from './watchdog.ts'

/** A transport that says when nothing of it is left. */
export interface Link extends Transport {
  readonly gone: Promise<void>
  /** The process group, if it is one. */
  readonly pid?: number
}

export interface Source {
  /** Why nothing could be opened just now; undefined if nothing is known to be in the way. */
  readonly obstacle: string | undefined
  /** What its operator may do if it cannot be reached. */
  readonly hint: string
  /** How many are there now, with those that nobody uses yet and those that are being ended. */
  readonly processes: number
  /** How many processes were started so far. 0 for a URL. */
  readonly spawned: number
  /**
   * Opens a transport, or takes a spare process if there is one, to be closed by its user. All faults it reports are
   * `GatewayError`s that name the server.
   *
   * @throws {GatewayError} `upstream_unreachable` if a process cannot be started.
   */
  connect(receiver: Receiver, onSessionLost: (reason: Error) => void): Link
  /**
   * Keeps so many processes started that nobody uses yet: an uninitialized server can be given to anybody. Of no effect
   * for a URL. Missing ones are started at once, surplus ones ended. One that dies is not replaced before the next call
   * of this. It never throws: what cannot be started now will be missed by `connect`.
   */
  spare(count: number): void
  /** What a transport of its own has left that may explain why it failed. */
  lastWords(transport: Transport): string | undefined
  /** The text without the values that were configured to be used, not seen. */
  redact(text: string): string
  /** Ends what is open, for this reason, and keeps no more spares. Resolves when nothing of it is left. */
  close(reason: Error): Promise<void>
  /** For who cannot wait. */
  kill(): void
}

/** What a source has to do with, whatever its kind. */
export interface Surroundings {
  observe: Observer
  redact: Source['redact']
  /** Is told of every process as long as it is there. */
  watchdog: Watchdog
}

export function sourceOf(
  name: string,
  config: ServerConfig,
  observe: Observer,
  watchdog: Watchdog,
): Source {
  const surroundings = { observe, redact: redactor(secretsOf(config)), watchdog }
  return config.kind === 'command'
    ? new Commands(name, config, surroundings)
    : new Site(name, config, surroundings)
}

/** The values that were configured to be used, not seen. */
function secretsOf(config: ServerConfig): string[] {
  if (config.kind === 'command') return Object.values(revealed(config.env))
  const { username, password, searchParams } = new URL(config.url)
  const values = Object.values(revealed(config.headers))
  const credentials = values.map((value) => value.replace(/^\w+ +/, ''))
  return [...values, ...credentials, username, password, ...searchParams.values()]
}

/** What is shorter may be anything. */
const SHORTEST_SECRET = 6

/** Takes secrets out of texts, also where each line of one stands for itself, or inside of JSON. */
function redactor(secrets: string[]): (text: string) => string {
  const spellings = secrets
    .flatMap((value) => [value, ...value.split(/[\r\n]+/), JSON.stringify(value).slice(1, -1)])
    .filter((spelling) => spelling.length >= SHORTEST_SECRET)
    // Of one that begins like another, the rest would stay.
    .sort((a, b) => b.length - a.length)
  const all = [...new Set(spellings)]
  return (text) => all.reduce((clean, spelling) => clean.replaceAll(spelling, '[secret]'), text)
}
