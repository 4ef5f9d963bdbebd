/** Three servers that are published and used, merged behind one URL. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dialSdk1, type TestClient } from '../support/clients.ts'
import { startGateway, type TestGateway } from '../support/gateway.ts'

let folder: string
let gateway: TestGateway
let client: TestClient

/** A package's own program, run as its users run it. */
const published = (name: string, ...args: string[]) => ({
  command: process.execPath,
  args: [Bun.resolveSync(`@modelcontextprotocol/${name}/dist/index.js`, import.meta.dir), ...args],
})

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'published-')))
  gateway = startGateway({
    everything: published('server-everything'),
    memory: {
      ...published('server-memory'),
      env: { MEMORY_FILE_PATH: join(folder, 'graph.jsonl') },
    },
    files: published('server-filesystem', folder),
  })
  client = await dialSdk1(new URL('mcp', gateway.url))
})

afterAll(async () => {
  await client[Symbol.asyncDispose]()
  await gateway.close()
  await rm(folder, { recursive: true })
})

test('all their tools are there, in the order of the configuration', async () => {
  const names = await client.toolNames()
  const owners = names.map((name) => name.split('_')[0]!)
  expect([...new Set(owners)]).toEqual(['everything', 'memory', 'files'])
  expect(names).toContain('everything_echo')
  expect(names).toContain('memory_create_entities')
  expect(names).toContain('files_write_file')
})

test('all of them can be called in one session', async () => {
  expect(await client.call('everything_echo', { message: 'hi' })).toContain('hi')

  const entities = [
    { name: 'Ada', entityType: 'person', observations: ['wrote the first program'] },
  ]
  await client.call('memory_create_entities', { entities })
  expect(await client.call('memory_search_nodes', { query: 'Ada' })).toContain('first program')

  const path = join(folder, 'note.txt')
  await client.call('files_write_file', { path, content: 'kept' })
  expect(await client.call('files_read_text_file', { path })).toBe('kept')
  expect(await Bun.file(path).text()).toBe('kept')
})

test('prompts and resources of the one that has some are there', async () => {
  const prompts = (await client.prompts()).map(({ name }) => name)
  expect(prompts.length).toBeGreaterThan(0)
  for (const name of prompts) expect(name).toStartWith('everything_')
  const [first] = await client.resources()
  expect((await client.read(first!.uri)).contents).toHaveLength(1)
})
