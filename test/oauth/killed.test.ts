/** Logins, refreshes and revocations by a process that is killed in the middle of them, a hundred times. */
import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Grants, type TokenSet } from '../../src/auth/grants.ts'
import { SqliteStore } from '../../src/store/sqlite.ts'
import { DAY, HOUR } from './approvals.ts'

const KILLS = 100
/** In ms: for a hundred processes, one after the other if it must be. */
const PATIENCE = 240_000
const directory = mkdtempSync(join(tmpdir(), 'mcp-gateway-killed-'))
afterAll(() => rmSync(directory, { recursive: true }))

interface Line extends Partial<TokenSet> {
  id: string
  did?: 'login' | 'refresh' | 'revoke'
  begins?: 'refresh' | 'revoke'
}

/** What a worker said of one login. */
interface Told {
  tokens: TokenSet[]
  state: 'good' | 'being revoked' | 'revoked'
}

/** Lets a process work until it has said so many lines, and kills it wherever it is then. */
async function killed(seed: number): Promise<Map<string, Told>> {
  const script = new URL('killed.worker.ts', import.meta.url).pathname
  const child = Bun.spawn([process.execPath, script, directory, String(seed)], { stdout: 'pipe' })
  const enough = 5 + (seed % 40)
  let output = ''
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text
    if (output.split('\n').length > enough) child.kill('SIGKILL')
  }
  expect(await child.exited).not.toBe(0)
  const told = new Map<string, Told>()
  // The last line may have been cut, and then nobody was told.
  for (const text of output.split('\n').slice(0, -1)) {
    const { id, did, begins, ...tokens } = JSON.parse(text) as Line
    const login = told.get(id) ?? { tokens: [], state: 'good' }
    if (tokens.refreshToken) login.tokens.push(tokens as TokenSet)
    if (begins === 'revoke') login.state = 'being revoked'
    if (did === 'revoke') login.state = 'revoked'
    told.set(id, login)
  }
  return told
}

test(
  `no token that was answered is lost, and none that was revoked lives, after ${KILLS} kills`,
  async () => {
    const told: Told[] = []
    for (let seed = 0; seed < KILLS; seed += 2) {
      for (const one of await Promise.all([killed(seed), killed(seed + 1)]))
        told.push(...one.values())
    }
    const store = new SqliteStore(directory)
    const grants = new Grants({
      store,
      lifetimes: () => ({ access: HOUR, refresh: DAY }),
      isPerson: () => true,
    })
    const count = { good: 0, 'being revoked': 0, revoked: 0 }
    for (const { tokens, state } of told) {
      count[state]++
      const found = await Promise.all(tokens.map(({ accessToken }) => grants.find(accessToken)))
      const good = found.filter((access) => access !== undefined).length
      // Of a revocation that was not answered, either may be true, but for all of them the same.
      const expected =
        state === 'good' || (state === 'being revoked' && good > 0) ? tokens.length : 0
      expect(good).toBe(expected)
      const { refreshToken } = tokens.at(-1)!
      const refreshed = grants.refresh({ token: refreshToken, clientId: 'editor' })
      const [outcome] = await Promise.allSettled([refreshed])
      expect(outcome.status).toBe(expected > 0 ? 'fulfilled' : 'rejected')
    }
    await store.close()
    expect(count.good).toBeGreaterThan(KILLS)
    expect(count.revoked).toBeGreaterThan(KILLS / 2)
  },
  PATIENCE,
)
