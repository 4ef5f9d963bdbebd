/**
 * The table of options in the README, which is made from the schema.
 *
 * Run by itself (`npm run reference`) it writes that table anew.
 */
import { join } from 'node:path'
import { markdown } from '../../src/config/manual.ts'

export const README = join(import.meta.dir, '../../README.md')

const TABLE = /(?<=<!-- options: made by `npm run reference` -->\n).*?(?=<!-- end of options -->)/s

/** The README with the table as it should be. */
export function withReference(readme: string): string {
  if (!TABLE.test(readme)) throw new Error('the README has lost the marks around its table')
  return readme.replace(TABLE, () => `\n${markdown()}\n`)
}

if (import.meta.main) {
  await Bun.write(README, withReference(await Bun.file(README).text()))
}
