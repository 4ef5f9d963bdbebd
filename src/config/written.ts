/** A document of another program in our words, with its variables as they were written. */
import * as v from 'valibot'
import type { Format, Spelling } from './compat/format.ts'
import { type Node, type Path, plainValue, stringAt } from './document.ts'
import { Draft } from './draft.ts'
import { expand, type World } from './references.ts'

/**
 * What a good document says, as somebody would have written it.
 *
 * @param adapted what it says with its variables replaced.
 */
export function asWritten(
  format: Format,
  tree: Node,
  adapted: Draft,
  { env }: World,
  spelling: Spelling,
): Record<string, unknown> {
  const draft = new Draft()
  const { success, output } = v.safeParse(format.schema, plainValue(tree, spelling))
  if (success) format.adapt(output, draft, {})
  if (success && draft.refusals.length === 0) return draft.native
  // A variable stands where only what it holds makes sense; so what was taken over as it is, is put back.
  const restored = (value: unknown, path: Path): unknown => {
    if (typeof value === 'string') {
      const from = adapted.from(path)
      const written = spelling(stringAt(tree, from) ?? value, from)
      return expand(written, env).text === value ? written : value
    }
    if (Array.isArray(value)) return value.map((inner, i) => restored(inner, [...path, i]))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, restored(inner, [...path, key])]),
    )
  }
  return restored(adapted.native, []) as Record<string, unknown>
}
