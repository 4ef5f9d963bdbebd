/**
 * The configurations of other programs, told apart by their shape and adapted to ours.
 *
 * Their own programs ignore keys that they do not know; so these are warned of, not refused.
 */
import { CLIENTS } from './compat/clients.ts'
import { CODEX } from './compat/codex.ts'
import type { Format } from './compat/format.ts'
import { OPENCODE } from './compat/opencode.ts'
import { POOLING } from './compat/pooling.ts'
import { PROVIDER } from './compat/provider.ts'
import { PROXY, PROXY_OLD } from './compat/proxy.ts'
import { VSCODE, VSCODE_SETTINGS } from './compat/vscode.ts'

/** The first that fits is it. */
const FORMATS: readonly Format[] = [
  ...[PROXY, PROXY_OLD, PROVIDER, POOLING],
  ...[VSCODE, VSCODE_SETTINGS, CODEX, OPENCODE, CLIENTS],
]

/** Whose a document is, by its shape; undefined if it is ours. */
export function formatOf(root: unknown): Format | undefined {
  if (typeof root !== 'object' || root === null || Array.isArray(root)) return undefined
  return FORMATS.find(({ fits }) => fits(root as Record<string, unknown>))
}
