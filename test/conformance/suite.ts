/**
 * Runs the official conformance suite against a server and returns its verdicts one by one, named
 * so that two runs can be compared check by check.
 */

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Two releases: the stable one, and the one that also judges the wire and sessions. */
export type Suite = '0.1.16' | '0.2.0-alpha.12'

export interface Check {
  scenario: string
  /** The suite's id; the second of a name within a scenario is `id#2`, and so on. */
  check: string
  status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO'
  /** The suite's complaint, if it has one. */
  detail?: string
}

interface Verdict {
  id: string
  status: Check['status']
  errorMessage?: string
}

interface Program {
  program: string
  /** The arguments that select everything, and those that go with the name of one scenario. */
  whole: string[]
  single: string[]
}

const PROGRAMS: Record<Suite, Program> = {
  '0.1.16': {
    program: '@modelcontextprotocol/conformance/dist/index.js',
    whole: ['--suite', 'all'],
    single: [],
  },
  '0.2.0-alpha.12': {
    program: 'conformance-next/dist/index.js',
    whole: ['--requirements', '2025-11-25'],
    single: ['--spec-version', '2025-11-25'],
  },
}

/**
 * Judges the server at `url` by every server scenario of 2025-11-25, or by the ones named.
 *
 * A failed check is a result, not an error.
 *
 * @returns the checks, sorted by scenario and name
 * @throws {Error} with the suite's own output, when it or one of its scenarios could not run
 */
export async function runSuite(
  suite: Suite,
  url: string,
  options: { scenarios?: string[] } = {},
): Promise<Check[]> {
  const { program, whole, single } = PROGRAMS[suite]
  const selections = options.scenarios?.map((name) => ['--scenario', name, ...single]) ?? [whole]
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'))
  try {
    const checks: Check[] = []
    for (const [i, selection] of selections.entries()) {
      const results = join(folder, String(i))
      const output = await run(program, ['--url', url, ...selection, '-o', results])
      checks.push(...(await read(results, output)))
    }
    return checks.sort((a, b) => compare(a.scenario, b.scenario) || compare(a.check, b.check))
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function run(program: string, args: string[]): Promise<string> {
  const path = Bun.resolveSync(program, import.meta.dir)
  const command = [process.execPath, path, 'server', ...args]
  await using child = Bun.spawn(command, { stdout: 'pipe', stderr: 'pipe' })
  const output = (await Promise.all([child.stdout.text(), child.stderr.text()])).join('\n')
  // The exit code says nothing: it is 1 for a failed check and for a suite that never began.
  if (!/=== SUMMARY ===|Test Results:/.test(output)) throw new Error(`no verdict:\n${output}`)
  return output
}

/** A run leaves one folder for each scenario, `server-<scenario>-<time>`. */
async function read(results: string, output: string): Promise<Check[]> {
  const checks: Check[] = []
  for (const folder of await readdir(results)) {
    const scenario = folder.replace(/^server-(.+)-\d{4}-\d\d-\d\dT.+$/, '$1')
    const file = Bun.file(join(results, folder, 'checks.json'))
    if (!(await file.exists())) throw new Error(`${scenario} did not run:\n${output}`)
    const verdicts: Verdict[] = await file.json()
    const seen = new Map<string, number>()
    for (const { id, status, errorMessage } of verdicts) {
      const nth = (seen.get(id) ?? 0) + 1
      seen.set(id, nth)
      const check = nth === 1 ? id : `${id}#${nth}`
      checks.push({ scenario, check, status, ...(errorMessage && { detail: errorMessage }) })
    }
  }
  return checks
}

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b))
