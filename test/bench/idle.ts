/**
 * Thousands of sessions, each with an open event stream, of which none says a word: what one takes
 * in memory, and all together in time. What the kernel keeps for a socket is no part of it.
 */
import type { Order } from './crowd.ts'
import { child, serveGateway } from './gateway.ts'
import { cpuOf, openFilesLimit, rssOf } from './proc.ts'
import { type Bench, openSession, run, type Server, script, serve } from './server.ts'

export const idleTargets = {
  bare: 'bare `Bun.serve` with a map of sessions and an event stream for each',
  aggregate: 'mcp-gateway at `/mcp` in front of 5 servers, of which nothing was asked yet',
  remote: 'mcp-gateway in front of **bare**, where each session has a session and a stream as well',
}
export type IdleTargetName = keyof typeof idleTargets

export interface Idle {
  target: IdleTargetName
  /** How many there were, besides the one before which counts for none. */
  sessions: number
  /** What it took to open them all. */
  opening: number
  /** How long nothing happened. */
  seconds: number
  /** Of the target with one session, and in the end with all; bytes. */
  before: number
  after: number
  /** Of one core, while nothing happened. */
  cpuShare: number
}

export async function measureIdle(wanted: number, seconds: number, bench: Bench): Promise<Idle[]> {
  // Where a session has one upstream, too, it takes two sockets, and for a moment three.
  const sessions = Math.min(wanted, Math.floor((openFilesLimit() - 500) / 3))
  const measured: Idle[] = []
  for (const name of Object.keys(idleTargets) as IdleTargetName[]) {
    try {
      const idle = await measureOne(name, sessions, seconds, bench)
      const each = `${((idle.after - idle.before) / sessions / 1024).toFixed(1)} KB each`
      console.error(`${sessions} idle sessions: ${name} ${each}`)
      measured.push(idle)
    } catch (cause) {
      throw new Error(`${name}, idle sessions: ${(cause as Error).message}`, { cause })
    }
  }
  return measured
}

async function measureOne(
  target: IdleTargetName,
  sessions: number,
  seconds: number,
  bench: Bench,
): Promise<Idle> {
  await using open = new AsyncDisposableStack()
  const behind = target === 'remote' ? open.use(await serveBare(bench)) : undefined
  const server = open.use(await serveOne(target, behind, bench))
  const url = `${server.origin}${target === 'aggregate' ? '' : '/bench'}/mcp`
  await server.during(openSession(url))
  await Bun.sleep(1000)
  const { pid } = server.child
  const before = rssOf(pid)

  const start = performance.now()
  const { promise: gathered, resolve } = Promise.withResolvers<void>()
  const crowd = open.use(run(script('crowd'), bench, () => resolve()))
  const order: Order = { url, sessions }
  crowd.child.send(order)
  await server.during(crowd.during(gathered))
  const opening = (performance.now() - start) / 1000

  // The last ones are still being opened upstream.
  await Bun.sleep(2000)
  const cpu = cpuOf(pid)
  await server.during(crowd.during(Bun.sleep(seconds * 1000)))
  bench.signal.throwIfAborted()
  const cpuShare = (cpuOf(pid) - cpu) / (seconds * 1000)
  const after = rssOf(pid)
  for (const each of [server, behind]) if (each) await haveStayed(each, sessions)
  return { target, sessions, opening, seconds, before, after, cpuShare }
}

function serveOne(name: IdleTargetName, behind: Server | undefined, bench: Bench) {
  const manySessions = { maxSessions: 100_000 }
  switch (name) {
    case 'bare':
      return serveBare(bench)
    case 'aggregate': {
      const own = child('read', 5)
      return serveGateway({ s1: own, s2: own, s3: own, s4: own, s5: own }, bench, manySessions)
    }
    case 'remote':
      return serveGateway({ bench: { url: `${behind!.origin}/mcp` } }, bench, manySessions)
  }
}

function serveBare(bench: Bench): Promise<Server> {
  return serve((port) => [...script('bare'), `${port}`], bench)
}

/** @throws unless the server itself says that so many are open. */
async function haveStayed(server: Server, sessions: number): Promise<void> {
  const response = await fetch(`${server.origin}/health`)
  const said = (await response.json()) as { sessions: number; streams?: number }
  const least = Math.min(said.sessions, said.streams ?? said.sessions)
  if (least < sessions) throw new Error(`of ${sessions} sessions there were ${least} in the end`)
}
