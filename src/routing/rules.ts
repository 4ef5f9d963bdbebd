/** What an endpoint does with the lists of one of its servers, from the configuration. */
import type { ServerConfig } from '../config/schema.ts'
import type { Json } from '../rpc/json.ts'
import type { ListMethod } from '../upstream/lists.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { overridden, type Rules } from './catalog.ts'
import { mended } from './mended.ts'
import { exposed, fitted, matches, type Naming, uriFilter } from './names.ts'

/** A server, and what of it is shown under which names. */
export interface Shown {
  upstream: Upstream
  options: Pick<ServerConfig, 'tools' | 'prompts' | 'resources'>
}

/** How an endpoint shows its servers. */
export interface Showing {
  /** Several servers share its lists: names are prefixed and fitted, odd entries mended. */
  isMerged: boolean
  /** It stands for all servers there are, be it one: prefixes that were written down count. */
  isAggregate: boolean
  /** Exposed names of tools, or patterns, to which one client has narrowed it. */
  tools?: readonly string[] | undefined
}

/** Of lists without rules, every byte is passed on. */
export type RulesOf = Partial<Record<ListMethod, Rules>>

export function rulesOf(server: string, options: Shown['options'], showing: Showing): RulesOf {
  const { tools, prompts, resources } = options
  const { isMerged, isAggregate } = showing
  const written = isMerged || isAggregate ? tools.prefix : ''
  const toolNaming: Naming = { ...tools, prefix: written ?? (isMerged ? server : '') }
  const own = isMerged || isAggregate ? prompts.prefix : ''
  const promptNaming: Naming = { ...prompts, prefix: own ?? toolNaming.prefix }
  const rules: RulesOf = {}

  if (
    isMerged ||
    showing.tools ||
    changesNames(toolNaming) ||
    Object.keys(tools.override).length > 0
  ) {
    const seen = showing.tools
    rules['tools/list'] = {
      name(original) {
        const name = exposed(original, toolNaming)
        if (name === undefined || !seen) return name
        const fit = isMerged ? fitted(name) : name
        return seen.some((pattern) => matches(pattern, fit)) ? name : undefined
      },
      fit: isMerged ? fitted : asItIs,
      show: shower('tool', isMerged),
      overrides: tools.override,
    }
  }
  if (isMerged || changesNames(promptNaming)) {
    rules['prompts/list'] = {
      name: (original) => exposed(original, promptNaming),
      fit: isMerged ? fitted : asItIs,
      show: shower('prompt', isMerged),
    }
  }
  if (isMerged || isFilter(resources)) {
    const isShown = uriFilter(resources)
    const byUri: Rules = {
      name: (uri) => (isShown(uri) ? uri : undefined),
      fit: asItIs,
      show: (entry) => (isMerged ? orNothing(() => mended(entry, 'resource')) : entry),
    }
    rules['resources/list'] = byUri
    rules['resources/templates/list'] = byUri
  }
  return rules
}

function shower(kind: 'tool' | 'prompt', isMerged: boolean): Rules['show'] {
  return (entry, name, override) =>
    orNothing(() => {
      const own = override ? overridden(entry, override) : entry
      const whole = isMerged ? mended(own, kind) : own
      return whole && (whole.member('name')?.get() === name ? whole : whole.with('name', name))
    })
}

/** An entry with a member that is there twice, say. */
function orNothing(show: () => Json | undefined): Json | undefined {
  try {
    return show()
  } catch {
    return undefined
  }
}

function asItIs(name: string): string {
  return name
}

function isFilter({ allow, block }: { allow?: unknown; block: readonly unknown[] }): boolean {
  return allow !== undefined || block.length > 0
}

function changesNames(naming: Naming): boolean {
  return isFilter(naming) || naming.prefix !== '' || Object.keys(naming.rename).length > 0
}
