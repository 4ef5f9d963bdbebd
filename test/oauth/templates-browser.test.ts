/** Templates as people see them who work on their own. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../lifecycle/program.ts'
import { logIn, shows, styleOf, visitor, type World, world } from './visitor.ts'

setDefaultTimeout(60_000)

let w: World
beforeAll(async () => {
  w = await world()
})
afterAll(() => w?.[Symbol.asyncDispose]())

test('templates are ejected, edited, broken and deleted while it runs', async () => {
  await using v = await visitor(w)
  const file = join(w.home.path, 'pages/oauth/authorize.html')
  const open = async () => {
    await v.page.goto(w.authorize('editor'))
    return v.page.getByRole('heading', { level: 1 }).textContent()
  }
  const edit = async (from: string, to: string) => {
    const text = await Bun.file(file).text()
    expect(text).toContain(from)
    await Bun.write(file, text.replaceAll(from, to))
  }
  expect(await open()).toBe('Sign in')
  const { code, stdout } = await run(['--eject-templates-to', 'pages'], { in: w.home })
  expect({ code, stdout }).toMatchObject({ code: 0 })
  expect(await open()).toBe('Sign in')

  await edit('<h1>Sign in</h1>', '<h1>Welcome to ACME</h1><script>window.ours = 1</script>')
  expect(await open()).toBe('Welcome to ACME')
  expect(await v.page.evaluate("'ours' in window")).toBe(true)
  const again = await run(['--eject-templates-to', 'pages'], { in: w.home })
  expect(again.code).not.toBe(0)
  expect(await open()).toBe('Welcome to ACME')

  await edit('</form>', '{{if .Nothing}}</form>')
  expect(await open()).toBe('Welcome to ACME')
  await w.program.stderr.until(/warn .*authorize\.html: line \d+: .*Nothing.*what was good last/)
  expect(await open()).toBe('Welcome to ACME')
  expect(w.program.stderr.text.match(/what was good last/g)).toHaveLength(1)
  await logIn(v.page, 'alice')
  await shows(v.page, 'Allow Editor?')
  await v.context.clearCookies()

  await edit('{{if .Nothing}}</form>', '</form>')
  await edit('ACME', 'ACME again')
  expect(await open()).toBe('Welcome to ACME again')

  await Bun.write(join(w.home.path, 'pages/oauth/style.css'), 'h1 { color: rgb(1, 2, 3) }')
  await open()
  const color = () => styleOf(v.page, 'h1', 'color')
  expect(await color()).toBe('rgb(1, 2, 3)')

  await rm(join(w.home.path, 'pages'), { recursive: true })
  expect(await open()).toBe('Sign in')
  expect(await color()).not.toBe('rgb(1, 2, 3)')
  expect(v.complaints).toEqual([])
})
