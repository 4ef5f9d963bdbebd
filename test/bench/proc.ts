/**
 * What Linux says about a process, for itself alone and without its children, and about the whole
 * machine.
 */
import { readFileSync } from 'node:fs'

/** User and system time since the start in milliseconds, in steps of 10. */
export function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name in parentheses may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Resident memory in bytes. */
export function rssOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096
}

/** How many files and sockets a process may open. Bun raises the limit to the highest by itself. */
export function openFilesLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8')
  return Number(/^Max open files +\d+ +(\d+)/m.exec(limits)?.[1] ?? 1024)
}

/**
 * Waits until the machine has nothing to do: what the last run left behind must not be paid by the
 * next.
 *
 * @returns false when it was still busy after half a second.
 */
export async function settled(): Promise<boolean> {
  const deadline = performance.now() + 500
  while (performance.now() < deadline) {
    const before = busyTicks()
    await Bun.sleep(30)
    if (busyTicks() - before <= 1) return true
  }
  return false
}

function busyTicks(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return user! + nice! + system! + irq! + softirq!
}
