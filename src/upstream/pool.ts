/**
 * Decides which callers may share which connections to one server.
 *
 * Each session has one connection of its own, opened when it is first needed and closed when the session ends. A
 * connection that closed early is replaced by the next call.
 */
import type { ClientPeer } from '../caller.ts'
import type { Connection } from './connection.ts'

/** Opens the connection for a client. It closes itself when the client leaves; then it is to be forgotten. */
export type Open = (client: ClientPeer) => Promise<Connection>

export class Pool {
  readonly #open: Open
  readonly #slots = new Map<string, Slot>()

  constructor(open: Open) {
    this.#open = open
  }

  /** The connection of this client's session, opening it if there is none. Callers that come meanwhile share the wait. */
  acquire(client: ClientPeer): Connection | Promise<Connection> {
    const slot = this.#slots.get(client.id)
    return slot ? (slot.connection ?? slot.opening) : this.#fill(client)
  }

  /** The connection of this client's session if it is open. */
  current(client: ClientPeer): Connection | undefined {
    return this.#slots.get(client.id)?.connection
  }

  get connections(): Connection[] {
    return [...this.#slots.values()].flatMap((slot) => slot.connection ?? [])
  }

  /** Forgets a connection that has closed. */
  forget(connection: Connection): void {
    for (const [id, slot] of this.#slots) {
      if (slot.connection === connection) this.#slots.delete(id)
    }
  }

  async #fill(client: ClientPeer): Promise<Connection> {
    client.ended.throwIfAborted()
    const opening = this.#open(client)
    const slot: Slot = { opening, connection: undefined }
    this.#slots.set(client.id, slot)
    try {
      slot.connection = await opening
      return slot.connection
    } catch (error) {
      this.#slots.delete(client.id)
      throw error
    }
  }
}

interface Slot {
  opening: Promise<Connection>
  connection: Connection | undefined
}
