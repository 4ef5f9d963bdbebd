/** Another process at the same store: `writer.ts DIRECTORY count N` or `writer.ts DIRECTORY endless`. */
import { SqliteStore } from '../../src/store/sqlite.ts'

const [directory = '', what = '', times = '0'] = process.argv.slice(2)
const store = new SqliteStore(directory)

function increment(): Promise<void> {
  return store.update<number>('services', 'count', (old = 0) => ({ value: old + 1 }))
}

if (what === 'count') {
  // All together: they meet in this process, too.
  await Promise.all(Array.from({ length: Number(times) }, increment))
  await store.close()
} else {
  for (let done = 1; ; done++) {
    await increment()
    // It is out before the next one begins: whoever reads it knows what was acknowledged.
    await Bun.write(Bun.stdout, `${done}\n`)
  }
}
