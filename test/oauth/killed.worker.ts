/**
 * A process that logs people in, refreshes and revokes without end, until it is killed: `killed.worker.ts DIRECTORY SEED`.
 *
 * It says what it has begun and what it has done, each on a line, so that whoever reads it knows what must be true.
 */
import { writeSync } from 'node:fs'
import { Grants } from '../../src/auth/grants.ts'
import { SqliteStore } from '../../src/store/sqlite.ts'
import { logIn } from './approvals.ts'

const [directory = '', seed = '0'] = process.argv.slice(2)
const grants = new Grants({
  store: new SqliteStore(directory),
  lifetimes: () => ({ access: 3_600_000, refresh: 86_400_000 }),
  isPerson: () => true,
})

/** At once: what stands here was told, whatever happens next. */
const say = (line: object) => writeSync(1, `${JSON.stringify(line)}\n`)

async function endless(worker: number): Promise<never> {
  for (let login = 0; ; login++) {
    const id = `${seed}-${worker}-${login}`
    let tokens = await logIn(grants)
    say({ id, did: 'login', ...tokens })
    for (let round = 0; round < 4; round++) {
      say({ id, begins: 'refresh' })
      tokens = await grants.refresh({ token: tokens.refreshToken, clientId: 'editor' })
      say({ id, did: 'refresh', ...tokens })
    }
    if (login % 2 === 1) continue
    say({ id, begins: 'revoke' })
    await grants.revoke({ token: tokens.refreshToken, clientId: 'editor' })
    say({ id, did: 'revoke' })
  }
}

await Promise.all([0, 1, 2].map(endless))
