/** `users`, `clients` and `tokens`: who may log in, which programs are known, and what was allowed to whom; and an end to it. */
import { Clients } from '../auth/clients.ts'
import { Consents } from '../auth/dialog/consents.ts'
import { type GrantSummary, Grants } from '../auth/grants.ts'
import { People } from '../auth/people.ts'
import type { Config } from '../config/schema.ts'
import { quoted } from '../events.ts'
import { defaultDirectory, SqliteStore } from '../store/sqlite.ts'
import { CONFIG_HELP, CONFIG_OPTIONS, loadNamed } from './configuration.ts'
import { readFlags, UsageError } from './flags.ts'

const HELP = `Usage: mcp-gateway users                 who may log in
       mcp-gateway users revoke NAME     ends all logins of somebody
       mcp-gateway clients               the programs that are known
       mcp-gateway clients revoke ID     ends all logins by one, and forgets it
       mcp-gateway tokens                what was allowed to which program
       mcp-gateway tokens revoke ID      ends one of these

  A gateway that runs knows of it within a second.

  --config PATH|URL   the configuration of the gateway
${CONFIG_HELP}\
  --help              print this and exit
`

const options = { ...CONFIG_OPTIONS, help: { type: 'boolean', short: 'h' } } as const

type Environment = Record<string, string | undefined>
type Subject = 'users' | 'clients' | 'tokens'

export async function people(
  subject: Subject,
  argv: readonly string[],
  env: Environment,
): Promise<void> {
  const { flags, words } = readFlags(argv, options, 2)
  if (flags.help) return void process.stdout.write(HELP)
  const [word = 'list', id] = words
  const isComplete = word === 'list' ? id === undefined : word === 'revoke' && id !== undefined
  if (!isComplete) throw new UsageError(`expected "${subject}" or "${subject} revoke …"`)
  const { config } = await loadNamed(flags, env)
  const store = new SqliteStore(config.gateway.dataDir ?? defaultDirectory(env))
  try {
    const desk = new Desk(config, store)
    const text = id === undefined ? await desk.list(subject) : await desk.revoke(subject, id)
    process.stdout.write(text)
  } finally {
    await store.close()
  }
}

/** What can be asked, and done, about one configuration and its store. */
export class Desk {
  readonly #config: Config
  readonly #store: SqliteStore
  readonly #clients: Clients
  readonly #grants: Grants
  readonly #consents: Consents

  constructor(config: Config, store: SqliteStore) {
    this.#config = config
    this.#store = store
    const everybody = new People(() => config)
    this.#clients = new Clients({ store, config: () => config })
    this.#consents = new Consents(store)
    this.#grants = new Grants({
      store,
      // Nothing is given out here.
      lifetimes: () => ({ access: 0, refresh: 0 }),
      isPerson: (id) => everybody.find(id) !== undefined,
    })
  }

  list(subject: Subject): Promise<string> {
    return { users: () => this.#users(), clients: () => this.#known(), tokens: () => this.#live() }[
      subject
    ]()
  }

  /** @throws {Error} as a rejection, if there is nothing by this id. */
  async revoke(subject: Subject, id: string): Promise<string> {
    const grants = await this.#grants.all({ isComplete: true })
    const concerned = grants.filter((grant) => idsOf(grant)[subject] === id)
    const isThere = {
      users: () => Object.hasOwn(this.#config.auth.oauth?.users ?? {}, id),
      clients: () => this.#clients.remove(id),
      tokens: () => false,
    }[subject]
    if (!(await isThere()) && concerned.length === 0) {
      throw new Error(`${subject}: there is no ${quoted(id)}`)
    }
    for (const { id: grant, person, client } of concerned) {
      await this.#grants.revokeGrant(grant)
      await this.#consents.forget(person.id, client.id)
    }
    if (subject === 'users') await this.#forgetBrowsers(`user:${id}`)
    return `${concerned.length} ${concerned.length === 1 ? 'login' : 'logins'} ended\n`
  }

  /** Where somebody is logged in, the password is asked for again. */
  async #forgetBrowsers(person: string): Promise<void> {
    for await (const [key, session] of this.#store.list<{ person: string }>('browser-sessions')) {
      if (session.person !== person) continue
      await this.#store.update('browser-sessions', key, () => undefined)
    }
  }

  async #users(): Promise<string> {
    const grants = await this.#grants.all()
    const rows = Object.entries(this.#config.auth.oauth?.users ?? {}).map(([name, user]) => [
      name,
      user.admin ? 'admin' : '',
      user.servers ? user.servers.join(' ') || 'none' : 'all',
      String(grants.filter(({ person }) => person.id === `user:${name}`).length),
    ])
    return table(['USER', 'ROLE', 'SERVERS', 'LOGINS'], rows)
  }

  async #known(): Promise<string> {
    const grants = await this.#grants.all()
    const rows: string[][] = []
    for await (const { id, name, kind, redirectURIs, usedAt } of this.#clients.list()) {
      const logins = grants.filter(({ client }) => client.id === id).length
      rows.push([id, name, kind, redirectURIs.join(' '), day(usedAt), String(logins)])
    }
    return table(['CLIENT', 'NAME', 'KIND', 'REDIRECTS', 'USED', 'LOGINS'], rows)
  }

  async #live(): Promise<string> {
    const rows = (await this.#grants.all()).map((grant) => [
      grant.id,
      grant.person.name,
      grant.client.name,
      grant.endpoint === '*' ? 'all' : grant.endpoint || 'merged',
      grant.scopes.join(' '),
      day(grant.usedAt),
      day(grant.expiresAt),
    ])
    return table(['ID', 'USER', 'CLIENT', 'ENDPOINT', 'SCOPES', 'USED', 'ENDS'], rows)
  }
}

/** By what a grant can be meant. */
function idsOf({ id, person, client }: GrantSummary): Record<Subject, string> {
  return { users: person.id.replace(/^user:/, ''), clients: client.id, tokens: id }
}

function day(time: number | undefined): string {
  return time === undefined ? '' : new Date(time).toISOString().slice(0, 10)
}

/** Names that strangers have chosen must not steer a terminal. */
function table(titles: string[], rows: string[][]): string {
  const lines = [titles, ...rows.map((row) => row.map(printable))]
  const widths = titles.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)))
  const padded = lines.map((line) => line.map((cell, i) => cell.padEnd(widths[i]!)).join('  '))
  return `${padded.map((line) => line.trimEnd()).join('\n')}\n`
}

function printable(text: string): string {
  return text === '' ? '-' : text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?').slice(0, 100)
}
