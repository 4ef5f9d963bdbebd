/**
 * The files of MCP clients, after their manuals, and what becomes of them: each file in golden/ is an input, a line of
 * dashes, and what is expected. UPDATE_GOLDEN=1 writes the latter anew.
 */
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { ENV, FOLDER, LINE, read, sourceOf } from './client.ts'

const files = [...new Bun.Glob('*.txt').scanSync(FOLDER)].sort()

test('there is a file for every client', () => {
  expect(files.length).toBeGreaterThan(10)
})

test.each(files)('%s becomes what is written below it', async (file) => {
  const path = join(FOLDER, file)
  const [input = '', expected] = (await Bun.file(path).text()).split(LINE)
  const { format, native, warnings, faults } = read(input, sourceOf(file), ENV)
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
  const { native, config } = read(input, sourceOf(file), ENV)
  const again = read(JSON.stringify(native), 'c.json', ENV)
  expect(again.faults).toEqual([])
  expect(again.format).toBeUndefined()
  expect(Bun.inspect(again.config, { depth: 20 })).toBe(Bun.inspect(config, { depth: 20 }))
})
