/**
 * Which clients are kept, so that they do not become ever more: the oldest give way.
 *
 * Each list is one value, changed at once. What gives way is taken off the list first and deleted then: whoever dies
 * between the two leaves a client that ends when it expires.
 */
import type { Store } from '../../store/store.ts'

/** Clients that nobody has let in yet, and those that somebody has. */
export type RosterName = 'unused' | 'used'

/** A client, and what those that are alike have in common. */
type Line = [id: string, shape: string]

const MOST: Record<RosterName, number> = { unused: 1000, used: 5000 }
/** Of clients that nobody uses and that are alike. Some register anew each time they start. */
const MOST_ALIKE = 20

/** Puts a client at the end of a list, and returns the ids of those that gave way. */
export async function enrol(
  store: Store,
  name: RosterName,
  id: string,
  shape: string,
): Promise<string[]> {
  let gone: string[] = []
  await store.update<Line[]>('rosters', name, (old = []) => {
    const lines: Line[] = [...old.filter(([other]) => other !== id), [id, shape]]
    const alike = name === 'unused' ? lines.filter((line) => line[1] === shape) : []
    const leaving = new Set(alike.slice(0, Math.max(0, alike.length - MOST_ALIKE)))
    for (const line of lines) {
      if (lines.length - leaving.size <= MOST[name]) break
      leaving.add(line)
    }
    gone = [...leaving].map(([other]) => other)
    return { value: lines.filter((line) => !leaving.has(line)) }
  })
  return gone
}

export async function strike(store: Store, name: RosterName, id: string): Promise<void> {
  await store.update<Line[]>('rosters', name, (old = []) => {
    const value = old.filter(([other]) => other !== id)
    return value.length > 0 ? { value } : undefined
  })
}
