/** Names from other programs: of servers, which take any there, and of tools, which are never patterns there. */
import * as v from 'valibot'
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import { serverName } from '../values.ts'

/** Whether every object has something by this name, so that nothing else can be written there. */
export function isReserved(name: string): boolean {
  return /^(__proto__|prototype|constructor)$/.test(name)
}

/** Why a server cannot have this name, and which it could have; undefined if it can. */
export function nameFault(name: string): string | undefined {
  if (isReserved(name)) return 'is a reserved name; choose another'
  const { success, issues } = v.safeParse(serverName, name)
  if (success) return undefined
  const near = name.replace(/[^\w.-]+/g, '-').replace(/^[.-]+|-+$/g, '')
  const hint = v.is(serverName, near) ? `; call it "${near}"` : ''
  return `${issues[0].message}${hint}`
}

/**
 * Writes a list of names that stand for themselves. Ours may be patterns: one that would become a pattern is of no tool,
 * and left out.
 */
export function setExact(to: Path, names: readonly string[], from: Path, draft: Draft): void {
  draft.set(to, [], from)
  let kept = 0
  for (const [i, name] of names.entries()) {
    if (!/\*|^\^|\$$/.test(name)) draft.set([...to, kept++], name, [...from, i])
    else {
      const what =
        'is the exact name of a tool in the program that this is written for, not a pattern, and no tool is called so; it is left out'
      draft.warn([...from, i], what)
    }
  }
}
