/**
 * Who answers which method: data, not code.
 *
 * A method that names something goes to the owner of what it names; `routed` finds the name in the params, and puts the
 * original one in its place.
 */
import { GatewayError, RpcError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import type { ListMethod } from '../upstream/lists.ts'
import { type Item, settled } from './catalog.ts'

/** What a request is about. */
export interface Target {
  /** The list on which its owner is found. */
  list: ListMethod
  /** The exposed name, or the URI. */
  key: string
  /** URIs are what they are at the server. */
  isUri: boolean
  /** The params for the owner. */
  params(item: Item<unknown>): Json
}

/**
 * What a request names; undefined if its method names nothing.
 *
 * @throws {GatewayError} `invalid_params` if the name is missing.
 * @throws {DuplicateMemberError} if it is there twice.
 */
export function routed(method: string, params: Json | undefined): Target | undefined {
  switch (method) {
    case 'tools/call':
      return byName('tools/list', params, params)
    case 'prompts/get':
      return byName('prompts/list', params, params)
    case 'resources/read':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
      return byUri('resources/list', params, params)
    case 'completion/complete':
      return byReference(params)
    default:
      return undefined
  }
}

function byName(list: ListMethod, at: Json | undefined, params: Json | undefined): Target {
  const key = stringAt(at, 'name')
  return {
    list,
    key,
    isUri: false,
    params({ original, override }) {
      const named = original === key ? params! : params!.with('name', original)
      if (!override) return named
      return named.with('arguments', settled(named.member('arguments'), override))
    },
  }
}

function byUri(list: ListMethod, at: Json | undefined, params: Json | undefined): Target {
  return { list, key: stringAt(at, 'uri'), isUri: true, params: () => params! }
}

function byReference(params: Json | undefined): Target {
  const ref = params?.member('ref')
  if (ref?.member('type')?.get() === 'ref/resource') {
    return byUri('resources/templates/list', ref, params)
  }
  const target = byName('prompts/list', ref, ref)
  return { ...target, params: (item) => params!.with('ref', target.params(item)) }
}

/** @throws {GatewayError} `invalid_params` if it is none. */
export function stringAt(json: Json | undefined, name: string): string {
  const value = json?.member(name)?.get<unknown>()
  if (typeof value === 'string') return value
  throw new GatewayError('invalid_params', `${name}: expected a string`)
}

const KINDS: Record<ListMethod, string> = {
  'tools/list': 'tool',
  'prompts/list': 'prompt',
  'resources/list': 'resource',
  'resources/templates/list': 'resource template',
}

/** What does not exist and what is hidden are answered alike. */
export function unknownName({ list, key }: Target): GatewayError {
  const code = list === 'resources/list' ? 'resource_unknown' : 'name_unknown'
  return new GatewayError(code, `Unknown ${KINDS[list]}: ${key}`)
}

/** Whether a server says that it knows nothing of what it was asked for: there are several ways in use. */
export function knowsNothing(error: unknown): boolean {
  return error instanceof RpcError && UNKNOWN.has(error.code)
}

const UNKNOWN = new Set<number | undefined>([-32002, -32602, -32601])
