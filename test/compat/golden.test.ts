/**
 * The configurations of the older gateways, as their manuals show them, and what becomes of them: each file in golden/ is
 * an input, a line of dashes, and what is expected. UPDATE_GOLDEN=1 writes the latter anew.
 */
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { adapted } from './adapted.ts'

const FOLDER = join(import.meta.dir, 'golden')
const LINE = `\n${'-'.repeat(20)}\n`

const files = [...new Bun.Glob('*.txt').scanSync(FOLDER)].sort()

test('there are files for each of the three, and for the older format of one of them', () => {
  for (const start of ['mcp-proxy-readme', 'mcp-proxy-old', 'pooling', 'provider-readme']) {
    expect(files.filter((file) => file.startsWith(start))).not.toBeEmpty()
  }
})

test.each(files)('%s becomes what is written below it', async (file) => {
  const path = join(FOLDER, file)
  const [input = '', expected] = (await Bun.file(path).text()).split(LINE)
  const { format, native, warnings, faults } = adapted(input)
  const lines = [
    `as written for ${format}`,
    JSON.stringify(native, undefined, 2),
    ...warnings.map((text) => `warning: ${text}`),
    ...faults.map((text) => `fault: ${text}`),
    '',
  ]
  if (process.env.UPDATE_GOLDEN) await Bun.write(path, input + LINE + lines.join('\n'))
  else expect(lines.join('\n')).toBe(expected!)
  expect(faults).toEqual([])
})

test.each(files)('%s, once converted, is the same configuration', async (file) => {
  const [input = ''] = (await Bun.file(join(FOLDER, file)).text()).split(LINE)
  const { native, config } = adapted(input)
  const again = adapted(native)
  expect(again.format).toBeUndefined()
  expect(again.faults).toEqual([])
  expect(Bun.inspect(again.config, { depth: 20 })).toBe(Bun.inspect(config, { depth: 20 }))
})
