/** The bridge that clients without logins of their own use, as its users start it. */
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { ROOT } from '../../lifecycle/program.ts'
import { type House, house } from './house.ts'

const PROGRAM = join(ROOT, 'node_modules/mcp-remote/dist/proxy.js')

/** A client, with mcp-remote as its server. What that wants to show in a browser, `open` is told. */
async function connected(at: House, open: (url: string) => Promise<void>): Promise<Client> {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [PROGRAM, `${at.base}/a/mcp`],
    // It starts what $BROWSER names, and says the URL besides.
    env: { PATH: process.env.PATH ?? '', HOME: at.place.path, BROWSER: 'true' },
    stderr: 'pipe',
  })
  let said = ''
  let isOpened = false
  transport.stderr?.on('data', (chunk: Buffer) => {
    said += chunk
    const url = /^(?:\[\d+\] )?(http\S+\/oauth\/authorize\?\S+)\s*$/m.exec(said)?.[1]
    if (!url || isOpened) return
    isOpened = true
    void open(url)
  })
  const client = new Client({ name: 'bridged', version: '1' })
  await client.connect(transport as never)
  return client
}

test('mcp-remote logs in once, and its users call tools without knowing of it', async () => {
  await using at = await house()
  const person = at.person()
  let shown = 0
  const open = async (url: string) => {
    shown++
    const back = await person.authorize(url)
    expect((await fetch(back)).status).toBe(200)
  }
  for (const _ of ['the first time', 'and again']) {
    const client = await connected(at, open)
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual(['whoami', 'other'])
    const result = await client.callTool({ name: 'whoami', arguments: {} })
    expect(result.content).toEqual([{ type: 'text', text: 'whoami' }])
    await client.close()
  }
  expect(shown).toBe(1)
  expect(at.events.filter(({ type }) => type === 'authorized')).toHaveLength(1)
})
