/** Texts that are nearly good: mutated by characters, by tokens and by structure, the same ones for the same seed. */

/** A number from 0 to below `below`. */
export type Random = (below: number) => number

/** Mulberry32. */
export function seeded(seed: number): Random {
  let state = seed | 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below) | 0
  }
}

/** @param secret no mutation makes a name of it: names are told. */
export function mutated(text: string, random: Random, secret: string): string {
  const times = 1 + random(3)
  let mutant = text
  for (let i = 0; i < times; i++) {
    const mutate = pick([byCharacter, byToken, byStructure, byStructure], random)
    mutant = mutate(mutant, random, secret)
  }
  return mutant
}

const pick = <T>(items: readonly T[], random: Random): T => items[random(items.length)]!

const ODD = [
  ...['"', '\\', '{', '}', '[', ']', ',', ':', '=', '\n', '#', '//', '/*', "'", '"""', '[[', '.'],
  ...['\0', '\x1b', '\x7f', '\u2028', '\ufeff', '\ud800', '\udc00', '💥', 'é', 'İ', '\u202e'],
  ...[
    '${',
    '${}',
    '${A',
    '${NONE}',
    '${A:-',
    '${env:',
    '${env:NONE}',
    '${input:x}',
    '$A',
    '${${A}}',
  ],
  ...['\\u', '\\ud800', '\\x', '-', '1e999', '0x', '1_', '00', 'null', 'true', 'nan', '\\'],
]

function byCharacter(text: string, random: Random): string {
  const from = random(text.length + 1)
  const to = from + random(4) * random(8)
  const cut = () => text.slice(0, from) + text.slice(to)
  const twice = () => text.slice(0, to) + text.slice(from)
  const insert = () => text.slice(0, from) + pick(ODD, random) + text.slice(from)
  const change = () => text.slice(0, from) + String.fromCharCode(random(256)) + text.slice(from + 1)
  const end = () => text.slice(0, from)
  return pick([cut, twice, insert, insert, change, end], random)()
}

const TOKEN = /"(?:[^"\\\n]|\\.)*"|[\w.+-]+|\s+|[^\w\s]/g
const WORDS = [
  ...['{}', '[]', '""', 'null', 'true', '0', '-1', '1e400', '99999999999999999999', '0.1'],
  ...['"__proto__"', '"constructor"', '"mcpServers"', '"command"', '"servers"', '"url"', '"mcp"'],
  ...[
    '"${NONE}"',
    '"${A}"',
    '"\\u0000"',
    '"a b"',
    '"http://u:p@h/?q#f"',
    '"disabled"',
    '"toString"',
  ],
]

function byToken(text: string, random: Random, secret: string): string {
  const tokens = text.match(TOKEN) ?? []
  const at = random(tokens.length)
  const other = random(tokens.length)
  const isSecret = (i: number) => tokens[i]?.includes(secret)
  // A value where the name was would be told as a name.
  const isNearSecret = isSecret(at) || [1, 2, 3, 4, 5, 6].some((by) => isSecret(at + by))
  if (tokens.length === 0 || isNearSecret || isSecret(other)) return byCharacter(text, random)
  const changes: (() => void)[] = [
    () => tokens.splice(at, 1 + random(3)),
    () => tokens.splice(at, 0, tokens[other]!),
    () => tokens.splice(at, 1, tokens[other]!),
    () => tokens.splice(at, 1, pick(WORDS, random)),
    () => tokens.splice(at, 0, ...Array.from({ length: random(50) }, () => tokens[other]!)),
  ]
  pick(changes, random)()
  return tokens.join('')
}

type Holder = { of: Record<string, unknown>; key: string }

const KEYS = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '', ' ', 'a/b', '0'],
  ...['mcpServers', 'servers', 'inputs', 'mcp', 'mcp_servers', 'mcpProxy', 'gateway', 'groups'],
  ...['auth', 'defaults', 'command', 'url', 'args', 'env', 'headers', 'type', 'tools', 'pool'],
  ...['disabled', 'options', 'toolFilter', 'authTokens', 'oauth', 'projects', 'timeout', 'rename'],
  ...['httpUrl', 'serverUrl', 'envFile', 'trust', 'mapping', 'mcpServer', 'server', 'clients'],
  ...['x'.repeat(5000), '💥', '\ud800', 'comand', 'mcpServer', 'a.b', '[0]', '\n', '${A}'],
]

/** JSON only; of other texts some characters. */
function byStructure(text: string, random: Random, secret: string): string {
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch {
    return byCharacter(text, random)
  }
  const top = { root }
  const holders = [...holdersIn(top)]
  const { of, key } = pick(holders, random)
  const value = of[key]
  const another = pick(holders, random)
  // Where values may be shown, nobody keeps a secret.
  const isSecret = JSON.stringify(another.of[another.key])?.includes(secret)
  const { of: from, key: member } = isSecret ? { of: { none: null }, key: 'none' } : another
  if (typeof value === 'string' && value.includes(secret)) return byCharacter(text, random)
  const changes: (() => void)[] = [
    () => delete of[key],
    () => set(of, key, oddValue(random)),
    () => set(of, key, [value]),
    () => set(of, key, { [pick(KEYS, random)]: value }),
    () => set(of, key, structuredClone((from as Holder['of'])[member])),
    () => set(of, pick(KEYS, random), structuredClone(value)),
    () => set(of, pick(KEYS, random), oddValue(random)),
    () => rename(of, key, pick(KEYS, random)),
    () => rename(of, key, key.slice(1) || 'x'),
    () => set(of, key, typeof value === 'string' ? value + pick(ODD, random) : `${key}`),
  ]
  pick(changes, random)()
  return JSON.stringify(top.root, undefined, random(3)) ?? ''
}

function* holdersIn(of: object): Generator<Holder> {
  for (const [key, value] of Object.entries(of)) {
    yield { of: of as Record<string, unknown>, key }
    if (typeof value === 'object' && value !== null) yield* holdersIn(value)
  }
}

/** As `JSON.parse` does it: whatever the name, it is a member. */
function set(of: object, key: string, value: unknown): void {
  Object.defineProperty(of, key, {
    ...{ value, enumerable: true, configurable: true, writable: true },
  })
}

function rename(of: Record<string, unknown>, from: string, to: string): void {
  const value = of[from]
  delete of[from]
  set(of, to, value)
}

function oddValue(random: Random): unknown {
  const deep = (depth: number): unknown =>
    depth === 0 ? 1 : random(2) ? [deep(depth - 1)] : { a: deep(depth - 1) }
  return pick(
    [
      () => null,
      () => true,
      () => pick([0, -1, 0.5, 1e300, 2 ** 53, 2 ** 31, -0, 65536], random),
      () => '',
      () => pick(ODD, random).repeat(1 + random(20)),
      () => 'x'.repeat(random(20_000)),
      () => '${'.repeat(random(200)) + '}'.repeat(random(200)),
      () => [],
      () => ({}),
      () => Array.from({ length: random(300) }, () => ({ a: 1 })),
      () => deep(random(150)),
      () => Object.fromEntries(Array.from({ length: random(200) }, (_, i) => [`k${i}`, i])),
    ],
    random,
  )()
}
