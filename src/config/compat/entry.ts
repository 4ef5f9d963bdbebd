/** One server in the file of a client: where it was written, and how it becomes one of ours. */
import * as v from 'valibot'
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import { serverName } from '../values.ts'
import { setExact } from './names.ts'

/** What clients agree on. */
export const COMMON = {
  command: v.optional(v.string()),
  args: v.optional(v.array(v.string())),
  env: v.optional(v.record(v.string(), v.string())),
  cwd: v.optional(v.string()),
  url: v.optional(v.string()),
  headers: v.optional(v.record(v.string(), v.string())),
  type: v.optional(v.string()),
  disabled: v.optional(v.boolean()),
  timeout: v.optional(v.number()),
}

/** What means nothing here, whatever it says. */
export const IGNORED = v.optional(v.unknown())

export const LOGIN =
  'logging in at servers is not there yet: they are called with what "headers" says'
export const HELPER =
  'no program is run for headers; write them in "headers", with variables: "Bearer ${TOKEN}"'
export const ENV_FILE =
  'this file is not read; set its variables for the gateway, and name each in "env": "NAME": "${NAME}"'
export const SANDBOX = 'there is no sandbox here: the server may do all that the gateway may'

type Members = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What is in an object that is an object itself. */
export function objectsIn(value: unknown): Members[] {
  return isObject(value) ? Object.values(value).filter(isObject) : []
}

/** Writes the servers of one file. What is to be said of several of them is said once. */
export class Entries {
  readonly #draft: Draft
  readonly #taken: Set<string>
  readonly #told = new Set<string>()

  /**
   * @param names of all servers.
   * @param at where they are.
   */
  constructor(draft: Draft, names: string[], at: Path) {
    this.#draft = draft
    this.#taken = new Set(names)
    draft.set(['mcpServers'], {}, at)
  }

  /**
   * Begins a server. Names are parts of URLs here, so it may get another.
   *
   * @param at where it is.
   */
  begin(name: string, at: Path): Entry {
    const near = nearName(name)
    const isFree = near !== undefined && !this.#taken.has(near)
    if (!isFree) return new Entry(this.#draft, name, at)
    this.#draft.warn(at, `is called "${near}" here, because names are parts of URLs`)
    this.#taken.add(near)
    return new Entry(this.#draft, near, at)
  }

  warnOnce(path: Path, what: string): void {
    if (!this.#told.has(what)) this.#draft.warn(path, what)
    this.#told.add(what)
  }
}

/** Writes one server. */
export class Entry {
  readonly #draft: Draft
  readonly #name: string
  readonly #at: Path

  constructor(draft: Draft, name: string, at: Path) {
    this.#draft = draft
    this.#name = name
    this.#at = at
    draft.set(['mcpServers', name], {}, at)
  }

  /** @param written where it is in the entry, if not under its name. */
  set(option: string, value: unknown, written = option): void {
    this.#draft.set(['mcpServers', this.#name, option], value, [...this.#at, written])
  }

  /** A member of an option. */
  setIn(option: string, key: string, value: unknown, written: Path): void {
    this.#draft.set(['mcpServers', this.#name, option, key], value, [...this.#at, ...written])
  }

  /** What is written anywhere else. */
  setFrom(option: string, value: unknown, from: Path): void {
    this.#draft.set(['mcpServers', this.#name, option], value, from)
  }

  /** Items of a list that is written with others before them. */
  setList(option: string, items: readonly string[], written: string, first: number): void {
    const to = ['mcpServers', this.#name, option]
    this.#draft.set(to, [], [...this.#at, written])
    for (const [i, item] of items.entries()) {
      this.#draft.set([...to, i], item, [...this.#at, written, first + i])
    }
  }

  /** Which tools are shown, by their exact names. */
  setTools(which: 'allow' | 'block', names: readonly string[] | undefined, written: string): void {
    if (!names) return
    const to = ['mcpServers', this.#name, 'tools', which]
    setExact(to, names, [...this.#at, written], this.#draft)
  }
}

/** For `microsoft/playwright-mcp` it is microsoft-playwright-mcp; undefined if none is needed, or there is none. */
function nearName(name: string): string | undefined {
  if (isName(name)) return undefined
  const near = name.replace(/[^\w.-]+/g, '-').replace(/^[.-]+|-+$/g, '')
  return isName(near) ? near : undefined
}

const isName = (name: string): boolean => v.is(serverName, name)

export const milliseconds = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : Math.max(1, Math.round(seconds * 1000))
