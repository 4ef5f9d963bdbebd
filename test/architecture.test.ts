/**
 * Imports point one way: main → commands → http → { admin, auth, downstream } → gateway → routing → era → upstream → rpc.
 *
 * A step may be skipped, never reversed; neighbours do not know one another; everybody may use the leaves.
 */
import { describe, expect, test } from 'bun:test'
import { dirname, join, relative } from 'node:path'

const SRC = join(import.meta.dir, '../src')

/** From the top down. What stands in one row does not import its neighbours. */
const LAYERS = [
  ['main.ts'],
  ['commands'],
  ['http.ts'],
  ['routes.ts'],
  ['knock.ts'],
  ['door.ts', 'entrances.ts', 'port.ts'],
  ['admin', 'auth', 'downstream'],
  ['gateway.ts'],
  ['routing'],
  ['era'],
  ['upstream'],
  ['rpc'],
]
const LEAVES = [
  'addresses.ts',
  'caller.ts',
  'errors.ts',
  'events.ts',
  'secret.ts',
  'store',
  'config',
]
/** Where Hono may be known. */
const HTTP = ['http.ts', 'routes.ts', 'admin', 'auth', 'downstream']

interface Import {
  from: string
  to: string
  isType: boolean
}

const files = [...new Bun.Glob('**/*.ts').scanSync(SRC)].sort()
const imports = (await Promise.all(files.map(importsOf))).flat()
const local = imports.filter(({ to }) => !to.startsWith('npm:'))

async function importsOf(from: string): Promise<Import[]> {
  const text = await Bun.file(join(SRC, from)).text()
  return [...text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?'([^']+)'/gm)].map(
    ([, type, path]) => ({
      from,
      to: path!.startsWith('.') ? relative(SRC, join(SRC, dirname(from), path!)) : `npm:${path}`,
      isType: type !== undefined,
    }),
  )
}

const room = (file: string) => file.split('/')[0]!
const layer = (file: string) => LAYERS.findIndex((row) => row.includes(room(file)))
const isLeaf = (file: string) => LEAVES.includes(room(file))
const shown = ({ from, to }: Import) => `${from} → ${to}`

test('every file of the sources is in a room that this test knows', () => {
  const known = new Set([...LAYERS.flat(), ...LEAVES])
  expect(files.filter((file) => !known.has(room(file)))).toEqual([])
  expect(files.length).toBeGreaterThan(15)
  expect(local.length).toBeGreaterThan(40)
})

describe('imports', () => {
  test('point down', () => {
    const wrong = local.filter(({ from, to }) => {
      if (isLeaf(from) || isLeaf(to) || room(from) === room(to)) return false
      return !to.startsWith('../') && layer(to) <= layer(from)
    })
    expect(wrong.map(shown)).toEqual([])
  })

  test('leave the leaves leaves: of the layers they know only the message types, and JSON itself', () => {
    const wrong = local.filter(({ from, to, isType }) => {
      if (!isLeaf(from) || isLeaf(to)) return false
      return !(room(to) === 'rpc' && (isType || to === 'rpc/json.ts'))
    })
    expect(wrong.map(shown)).toEqual([])
  })

  test('go to a folder by its files, and never in a circle', () => {
    const below = new Map(
      files.map((file) => [file, local.filter(({ from, isType }) => from === file && !isType)]),
    )
    const circles: string[] = []
    const visit = (file: string, path: string[]) => {
      if (path.includes(file)) return void circles.push([...path, file].join(' → '))
      for (const { to } of below.get(file) ?? []) visit(to, [...path, file])
    }
    for (const file of files) visit(file, [])
    expect(circles).toEqual([])
  })

  test('of Hono stay on the HTTP side', () => {
    const wrong = imports.filter(
      ({ from, to }) => to.startsWith('npm:hono') && !HTTP.includes(room(from)),
    )
    expect(wrong.map(shown)).toEqual([])
  })

  test('of the MCP SDK are types: it costs sixty milliseconds to load', () => {
    const wrong = imports.filter(
      ({ to, isType }) => to.startsWith('npm:@modelcontextprotocol/') && !isType,
    )
    expect(wrong.map(shown)).toEqual([])
  })
})
