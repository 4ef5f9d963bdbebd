/** Logins that a gateway finds in its store, and a token of one of them. */
import { mkdtemp } from 'node:fs/promises'
import { Grants } from '../../src/auth/grants.ts'
import { SqliteStore } from '../../src/store/sqlite.ts'
import type { Bench } from './server.ts'

/** How many tokens are good, besides the one that is used. */
export const logins = 100_000

export async function keptLogins(bench: Bench) {
  const dataDir = await mkdtemp(`${bench.directory}/logins-`)
  const store = new SqliteStore(dataDir)
  const hour = 3_600_000
  const grants = new Grants({
    store,
    lifetimes: () => ({ access: 24 * hour, refresh: 24 * hour }),
    isPerson: () => true,
  })
  const approval = {
    client: { id: 'bench', name: 'bench' },
    person: { id: 'user:bench', name: 'bench' },
    scopes: ['mcp'] as const,
    endpoint: '*',
  }
  for (let i = 0; i < logins; i++) {
    bench.signal.throwIfAborted()
    await grants.issue(approval)
  }
  const { accessToken } = await grants.issue(approval)
  await store.close()
  return {
    dataDir,
    auth: { oauth: { users: { bench: 'nobody asks for it' } } },
    headers: { authorization: `Bearer ${accessToken}` },
  }
}
