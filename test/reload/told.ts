/** A gateway that is given another configuration while it runs: what it tells of that, and what runs then. */
import type { Program } from '../lifecycle/program.ts'
import type { Health } from '../support/gateway.ts'

const count = ({ stderr }: Program, event: string) => stderr.text.split(` ${event}`).length - 1

/** Does something, and waits until an event is told of. Its line of the log. */
export async function after(
  program: Program,
  event: string,
  act: () => unknown | Promise<unknown>,
): Promise<string> {
  const before = count(program, event)
  await act()
  const found = await program.stderr.until(
    new RegExp(`^(?:[^]*? ${event}){${before}}[^]*?( ${event}[^\\n]*)\\n`),
  )
  return found[1]!
}

export interface ReloadedHealth extends Health {
  configuration?: { error: string }
}

export async function health(
  { url }: Pick<Program, 'url'>,
  headers: Record<string, string> = {},
): Promise<ReloadedHealth> {
  const response = await fetch(new URL('health', url), { headers })
  return (await response.json()) as ReloadedHealth
}

/** The names of what runs. */
export async function running(program: Program): Promise<string[]> {
  return Object.keys((await health(program)).upstreams).sort()
}
