/**
 * Clients as they are kept: those that registered, and what the documents of others said last.
 *
 * One that nobody lets in is forgotten after days, one that is no longer used after months, and of both there are never more
 * than so many.
 */
import type { Store } from '../../store/store.ts'
import type { Description } from './description.ts'
import { enrol, type RosterName, strike } from './roster.ts'

export interface Kept extends Description {
  kind: 'registered' | 'document'
  /** SHA-256, in hex. */
  secretDigest?: string
  /** In ms since 1970. */
  registeredAt: number
  /** When it was last used, to the day. Undefined if nobody has let it in yet. */
  usedAt?: number
}

const DAY = 24 * 60 * 60 * 1000
const UNUSED_LIFETIME = 7 * DAY
const USED_LIFETIME = 180 * DAY

export class KeptClients {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  get(id: string): Promise<Kept | undefined> {
    return this.#store.get<Kept>('clients', id)
  }

  list(): AsyncIterable<[id: string, kept: Kept]> {
    return this.#store.list<Kept>('clients')
  }

  /** @param shape what it has in common with others like it, of which only some are kept. */
  async add(id: string, shape: string, kept: Kept): Promise<void> {
    await this.#enrol('unused', id, shape)
    const expiresAt = kept.registeredAt + UNUSED_LIFETIME
    await this.#store.update<Kept>('clients', id, () => ({ value: kept, expiresAt }))
  }

  /**
   * Says that a client is used. That costs one look, if it is known for that day.
   *
   * @param documented what its document says, if it has one.
   */
  async use(
    id: string,
    now: number,
    documented: () => Promise<Description | undefined>,
  ): Promise<void> {
    const kept = await this.get(id)
    if (kept?.usedAt !== undefined && now - kept.usedAt < DAY) return
    const description = kept?.kind === 'registered' ? undefined : await documented()
    let isKept = false
    await this.#store.update<Kept>('clients', id, (old) => {
      const fresh: Kept | undefined = description && {
        ...description,
        kind: 'document',
        registeredAt: old?.registeredAt ?? now,
      }
      const value = fresh ?? old
      isKept = value !== undefined
      return value && { value: { ...value, usedAt: now }, expiresAt: now + USED_LIFETIME }
    })
    if (!isKept) return
    await this.#enrol('used', id, '')
    if (kept?.kind === 'registered' && kept.usedAt === undefined)
      await strike(this.#store, 'unused', id)
  }

  /** @returns whether it was there. */
  async remove(id: string): Promise<boolean> {
    let wasThere = false
    await this.#store.update<Kept>('clients', id, (old) => {
      wasThere = old !== undefined
      return undefined
    })
    for (const roster of ['unused', 'used'] as const) {
      if (wasThere) await strike(this.#store, roster, id)
    }
    return wasThere
  }

  async #enrol(roster: RosterName, id: string, shape: string): Promise<void> {
    for (const other of await enrol(this.#store, roster, id, shape)) {
      await this.#store.update<Kept>('clients', other, (old) => {
        // Somebody may have let it in a moment ago.
        const stays = roster === 'unused' && old?.usedAt !== undefined
        return stays ? { value: old, expiresAt: old.usedAt! + USED_LIFETIME } : undefined
      })
    }
  }
}
