/** What codes, tokens and logins are called. */
import { expect, test } from 'bun:test'
import { newGrantId } from '../../src/auth/grants/credential.ts'

test('no id of a login looks like an option to the command that ends it', () => {
  const ids = Array.from({ length: 2000 }, newGrantId)
  expect(new Set(ids).size).toBe(2000)
  expect(ids.filter((id) => !/^\w[\w-]{21}$/.test(id))).toEqual([])
})
