/**
 * The official suite judges our authorization server, and a person in a real browser logs in for it.
 *
 * It has two scenarios: metadata, and the grant by authorization code. For a client with a secret it has none that could pass:
 * it sends the secret only where nobody may come without (0.2.0-alpha.12, `selectTokenAuthMethod`).
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { type Folder, folder, Output, type Program, start } from '../lifecycle/program.ts'
import { startBrowser } from '../support/browser.ts'

const MINUTE = 60_000
const ALL_PASS = [
  'authorization-code-grant: SUCCESS',
  'authorization-server-metadata-cimd: SUCCESS',
  'authorization-server-metadata: SUCCESS',
]

let browser: Browser
beforeAll(async () => {
  browser = await startBrowser()
}, MINUTE)
afterAll(() => browser?.close())

/** One that no system hands out by itself, so that nobody who asks for any is given it. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    try {
      await Bun.serve({ hostname: '127.0.0.1', port, fetch: () => new Response() }).stop(true)
      return port
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}

interface World extends AsyncDisposable {
  home: Folder
  program: Program
  issuer: string
  /** Where the suite waits for people to be sent back. */
  port: number
}

async function gatewayFor(path = ''): Promise<World> {
  const [own, port] = [await freePort(), await freePort()]
  const issuer = `http://127.0.0.1:${own}${path}`
  const home = await folder({
    'config.json': {
      gateway: { port: own, ...(path && { baseURL: issuer }) },
      auth: {
        oauth: {
          users: { alice: 'wonderland' },
          clients: { editor: { name: 'Editor', redirectURIs: [callback(port)] } },
        },
      },
      mcpServers: { files: { url: 'https://mcp.example/' } },
    },
  })
  const program = await start(['--config', 'config.json'], { in: home })
  return {
    ...{ home, program, issuer, port },
    async [Symbol.asyncDispose]() {
      await program[Symbol.asyncDispose]()
      await home[Symbol.asyncDispose]()
    },
  }
}

const callback = (port: number) => `http://127.0.0.1:${port}/callback`

/** Every check of the suite, with the login that it asks for, as `NAME: STATUS`. */
async function judge({ home, issuer, port }: World, args: string[]): Promise<string[]> {
  const results = join(home.path, 'results')
  const suite = Bun.resolveSync('conformance-next/dist/index.js', import.meta.dir)
  const options = ['--url', issuer, '--port', String(port), '--output-dir', results]
  await using child = Bun.spawn([process.execPath, suite, 'authorization', ...options, ...args], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [stdout, stderr] = [new Output(child.stdout), new Output(child.stderr)]
  // Both have to be there: it tells people where to go a little before it listens.
  await stdout.until(/Callback server started/)
  const [, url = ''] = await stdout.until(/^(http\S+\/oauth\/authorize\?\S+)$/m)
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(url)
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('wonderland')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.getByText('You can close this page').waitFor()
  expect(page.url()).toStartWith(`${callback(port)}?`)
  await context.close()
  await Promise.all([child.exited, stdout.ended, stderr.ended])
  const verdicts: string[] = []
  for (const scenario of await readdir(results)) {
    const checks: { id: string; status: string; errorMessage?: string }[] = await Bun.file(
      join(results, scenario, 'checks.json'),
    ).json()
    for (const { id, status, errorMessage } of checks) {
      verdicts.push(`${id}: ${status}${errorMessage === undefined ? '' : ` (${errorMessage})`}`)
    }
  }
  if (verdicts.length === 0) throw new Error(`no verdict:\n${stdout.text}${stderr.text}`)
  verdicts.sort()
  console.log(verdicts.map((verdict) => `  ${verdict}`).join('\n'))
  return verdicts
}

async function register({ issuer, port }: World): Promise<string> {
  const response = await fetch(`${issuer}/oauth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Conformance',
      redirect_uris: [callback(port)],
      token_endpoint_auth_method: 'none',
    }),
  })
  expect(response.status).toBe(201)
  return ((await response.json()) as { client_id: string }).client_id
}

const clients: [string, (world: World) => Promise<string> | string, string | undefined][] = [
  ['that is configured, for one server', () => 'editor', '/files/mcp'],
  ['that registers itself, for all servers', register, ''],
  ['that nobody knows, on this machine, without a resource', () => 'unheard-of', undefined],
]

test.each(clients)(
  'the suite passes with a client %s',
  async (_, clientOf, resource) => {
    await using world = await gatewayFor()
    const args = resource === undefined ? [] : ['--resource', world.issuer + resource]
    const id = await clientOf(world)
    expect(await judge(world, ['--client-id', id, ...args])).toEqual(ALL_PASS)
  },
  MINUTE,
)

test(
  'the suite passes where the gateway is below a path',
  async () => {
    await using world = await gatewayFor('/gw')
    const args = ['--client-id', 'editor', '--resource', `${world.issuer}/files/mcp`]
    expect(await judge(world, args)).toEqual(ALL_PASS)
  },
  MINUTE,
)
