/**
 * A connection that belongs to one client, and what it has set up there.
 *
 * It is opened when it is first needed, and again after it was lost; the client does not notice, because its subscriptions
 * and its log level are set up again.
 */
import { type ClientPeer, Overheard } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import type { Deadline, Incoming, RequestOptions } from '../rpc/peer.ts'
import { type Connection, capabilityOf } from './connection.ts'
import { CHANGES, type KeptList, LISTS, type ListMethod } from './lists.ts'
import type { Upstream } from './upstream.ts'

/** How many subscriptions are set up again. The oldest are not. */
const MAX_STANDING = 10_000

/** What holds for as long as the client stays, whatever becomes of the connection. */
export interface Standing {
  method: string
  params: Json | undefined
  /** Without it the server need not be told. */
  capability?: string
}

export class Own {
  readonly lists = new Map<ListMethod, KeptList>()
  readonly #upstream: Upstream
  readonly #client: ClientPeer
  /** By what it is about. */
  readonly #standing = new Map<string, Standing>()
  readonly #deadline: (method: string) => Deadline
  #connection: Connection | undefined
  #opening: Promise<Connection> | undefined

  /** @param deadline for what is set up again. */
  constructor(upstream: Upstream, client: ClientPeer, deadline: (method: string) => Deadline) {
    this.#upstream = upstream
    this.#client = new Listening(
      client,
      (method) => this.#hear(method),
      () => this.#connection?.latest,
    )
    this.#deadline = deadline
  }

  /** Undefined while there is none that could be used. */
  get connection(): Connection | undefined {
    return this.#connection
  }

  /** @throws {GatewayError} naming the server; whatever the client left with. */
  connect(): Promise<Connection> {
    if (this.#connection) return Promise.resolve(this.#connection)
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  /** Tells the server, if they are in touch or about to be. */
  notify(method: string, params: Json | undefined): void {
    if (this.#connection) this.#connection.notify(method, params)
    else {
      this.#opening?.then(
        (connection) => connection.notify(method, params),
        () => {},
      )
    }
  }

  /** What holds, by what it is about. */
  get standing(): [string, Standing][] {
    return [...this.#standing]
  }

  /** It is not wanted any more. One that is at work stays until its client leaves. */
  leave(): void {
    this.#standing.clear()
    if (this.#connection?.isBusy) return
    this.#connection?.close(new GatewayError('upstream_closed', 'its client is not here any more'))
  }

  isStanding(about: string): boolean {
    return this.#standing.has(about)
  }

  remember(about: string, standing: Standing): void {
    this.#standing.delete(about)
    this.#standing.set(about, standing)
    const [oldest] = this.#standing.keys()
    if (this.#standing.size > MAX_STANDING) this.#standing.delete(oldest!)
  }

  forget(about: string): void {
    this.#standing.delete(about)
  }

  async #open(): Promise<Connection> {
    this.#client.ended.throwIfAborted()
    let gone: Error | undefined
    let opened: Connection | undefined
    const { connection } = await this.#upstream.openOwn(this.#client, (reason) => {
      gone ??= reason
      if (this.#connection === opened) this.#connection = undefined
      for (const kept of this.lists.values()) kept.forget()
    })
    opened = connection
    const said = new Set<Standing>()
    // The client may add to it meanwhile.
    for (let again = this.#unsaid(said, connection); again.length > 0; ) {
      // What the server refuses now, it would refuse a client that came back, too.
      await Promise.allSettled(
        again.map(({ method, params }) =>
          connection.request(method, params, undefined, this.#deadline(method)),
        ),
      )
      again = this.#unsaid(said, connection)
    }
    if (gone) throw gone
    this.#connection = connection
    return connection
  }

  /** What is to hold on a connection and was not said there yet. From now on it counts as said. */
  #unsaid(said: Set<Standing>, { introduction }: Connection): Standing[] {
    const isOfEffect = ({ capability }: Standing) =>
      capability === undefined || capabilityOf(introduction, capability) !== undefined
    const unsaid = [...this.#standing.values()].filter((one) => !said.has(one) && isOfEffect(one))
    for (const one of unsaid) said.add(one)
    return unsaid
  }

  #hear(method: string): void {
    const capability = CHANGES.get(method)
    for (const [list, kept] of this.lists) {
      if (LISTS[list].capability === capability) kept.forget()
    }
  }
}

/** The client as the server sees it, with an ear on what it is told. */
class Listening extends Overheard {
  readonly #heard: (method: string) => void
  readonly #latest: () => Incoming | undefined

  constructor(
    client: ClientPeer,
    heard: (method: string) => void,
    latest: () => Incoming | undefined,
  ) {
    super(client)
    this.#heard = heard
    this.#latest = latest
  }

  /** What may belong to any of its calls goes with the latest: many clients listen nowhere else. */
  override request(method: string, params?: Json, options: RequestOptions = {}): Promise<Json> {
    const relatedTo = options.relatedTo ?? this.#latest()
    return super.request(method, params, { ...options, relatedTo })
  }

  override notify(method: string, params?: Json, relatedTo?: Incoming): void {
    this.#heard(method)
    super.notify(method, params, relatedTo)
  }
}

/** The methods by which a client says what is to hold, or no longer. */
export const STANDING = new Set([
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
])

/** What a request of those is about. @throws {DuplicateMemberError} if that could be two things. */
export function aboutOf(method: string, params: Json | undefined): string {
  if (method === 'logging/setLevel') return method
  return subscriptionTo(String(params?.member('uri')?.get<unknown>()))
}

export function subscriptionTo(uri: string): string {
  return `resource ${uri}`
}
