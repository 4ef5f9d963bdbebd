/**
 * The variables of editors: `${env:NAME}`, `${input:ID}`, `${userHome}`, `${workspaceFolder}` and the like, spelled as ours.
 *
 * What only an editor knows becomes a variable that can be set: a gateway has no workspace, and must not take the
 * directory that it happens to be started in for one.
 */
import type { Spelling } from './format.ts'

const PLACEHOLDER =
  /\$\{(?:(env|input|config|command|workspaceFolder):([^}]+)|(userHome|workspaceFolder|workspaceFolderBasename|workspaceRoot|pathSeparator|\/))\}/g

const PLAIN: Record<string, string> = {
  userHome: process.platform === 'win32' ? '${USERPROFILE}' : '${HOME}',
  workspaceFolder: '${WORKSPACE_FOLDER}',
  workspaceRoot: '${WORKSPACE_FOLDER}',
  workspaceFolderBasename: '${WORKSPACE_FOLDER_BASENAME}',
  pathSeparator: process.platform === 'win32' ? '\\' : '/',
  '/': process.platform === 'win32' ? '\\' : '/',
}

/** Whether a text has any of them. */
export const hasPlaceholder = (text: string): boolean => text.search(PLACEHOLDER) >= 0

/** @param defaults of inputs, by their ids. */
export function editorSpelling(defaults: ReadonlyMap<string, string> = new Map()): Spelling {
  return (written) => {
    // From every "${" on, the search for the last "}" would go to the end.
    const end = written.lastIndexOf('}') + 1
    return written.slice(0, end).replace(PLACEHOLDER, ours) + written.slice(end)
  }

  function ours(_: string, kind: string | undefined, name: string, plain: string): string {
    if (kind === undefined) return PLAIN[plain]!
    if (kind === 'env' && /^\w+(?::-.*)?$/s.test(name)) return `\${${name}}`
    const variable = upperSnake(kind === 'input' || kind === 'env' ? name : `${kind}_${name}`)
    const otherwise = kind === 'input' ? defaults.get(name) : undefined
    return otherwise === undefined ? `\${${variable}}` : `\${${variable}:-${otherwise}}`
  }
}

/** `github-token` and `githubToken` are GITHUB_TOKEN. */
function upperSnake(name: string): string {
  const words = name.replace(/([a-z\d])([A-Z])/g, '$1_$2').replace(/\W+/g, '_')
  return (
    words
      .replace(/^_+(?=.)|_+$/g, '')
      .toUpperCase()
      .slice(0, 100) || 'UNNAMED'
  )
}
