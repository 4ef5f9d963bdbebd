/** `--eject-templates`: our pages as files, to make them one's own. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FOLDER, SHIPPED } from '../auth/dialog/pages.ts'
import { toError } from '../errors.ts'

const WHAT: Record<string, string> = {
  'authorize.html': 'the page for logging in',
  'consent.html': 'the question whether a client may',
  'success.html': 'the way back to the client',
  'error.html': 'what is said when there is none',
  'device.html': 'the code of a device',
  'style.css': 'how they all look',
}

/**
 * Writes the templates into `oauth` below a directory, and says so.
 *
 * @throws {Error} if one that is there was changed, and it is not forced; then nothing is written.
 */
export function eject(directory: string, { force = false } = {}): string {
  const folder = join(directory, FOLDER)
  const files = Object.entries(SHIPPED).map(([name, text]) => ({
    ...{ name, text, path: join(folder, name) },
    before: textOf(join(folder, name)),
  }))
  const changed = files.filter(({ before, text }) => before !== undefined && before !== text)
  if (changed.length > 0 && !force) {
    const paths = changed.map(({ path }) => path).join(', ')
    throw new Error(`not written over what was changed: ${paths}; --force does that`)
  }
  try {
    mkdirSync(folder, { recursive: true })
    for (const { path, text } of files) writeFileSync(path, text)
  } catch (error) {
    throw new Error(`templates cannot be written to ${folder}: ${toError(error).message}`)
  }
  return [
    `OAuth templates ejected to ${join(folder, '/')}`,
    'Change them as you like: a gateway that runs uses them as soon as they are saved.',
    '',
    'Template files:',
    ...files.map(({ name, path }) => `  ${path} - ${WHAT[name]}`),
    '',
    'To have one of the built-in pages again, delete its file.',
    '',
  ].join('\n')
}

/** Undefined if there is no such file. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw new Error(`templates cannot be written: ${message}`)
  }
}
