/**
 * How much memory the processes of a server have, all of its process group together.
 *
 * Only Linux tells. It is the resident memory, in which what processes share counts for each of them.
 */
import { readdirSync, readFileSync } from 'node:fs'

/**
 * The resident memory of each of the process groups, in bytes. Groups without a process are left out, and where nobody
 * tells, all are.
 *
 * It looks at every process there is, once for all groups, and lets other work go on meanwhile.
 */
export async function groupsMemory(groups: ReadonlySet<number>): Promise<Map<number, number>> {
  const memory = new Map<number, number>()
  const processes = groups.size === 0 ? [] : listed()
  if (processes.length === 0) return memory
  const page = pageSize()
  for (const [i, pid] of processes.entries()) {
    if (i % AT_ONCE === AT_ONCE - 1) await new Promise(setImmediate)
    const group = groupIn(contentOf(`/proc/${pid}/stat`))
    if (!groups.has(group)) continue
    const pages = residentIn(contentOf(`/proc/${pid}/statm`))
    memory.set(group, (memory.get(group) ?? 0) + pages * page)
  }
  return memory
}

/**
 * The process group in the text of `/proc/PID/stat`; NaN if the text is none.
 *
 * @see [proc_pid_stat(5)](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)
 */
export function groupIn(stat: string): number {
  // The second field is the name of the program, in parentheses: it may hold spaces, parentheses and line feeds.
  const [, , group = 'none'] = stat.slice(stat.lastIndexOf(')') + 2).split(' ', 3)
  return Number(group)
}

/**
 * The resident pages in the text of `/proc/PID/statm`; 0 if the text is none. `stat` has them, too, but up to some
 * hundreds wrong.
 *
 * @see [proc_pid_statm(5)](https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html)
 */
function residentIn(statm: string): number {
  return Number(statm.split(' ', 2)[1] ?? 0)
}

/** So many processes take half a millisecond. */
const AT_ONCE = 64

/** The ids of all processes; none where there is no `/proc`. */
function listed(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
}

/** Nothing if the process is gone. */
function contentOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

/** In bytes: 4096 on most machines, up to 65536 on some with ARM. The kernel tells it to each process it starts. */
function pageSize(): number {
  try {
    const told = readFileSync('/proc/self/auxv')
    for (let at = 0; at + 16 <= told.length; at += 16) {
      if (told.readBigUInt64LE(at) === AT_PAGESZ) return Number(told.readBigUInt64LE(at + 8))
    }
  } catch {
    // Not everybody may read it.
  }
  return 4096
}

/** @see [getauxval(3)](https://man7.org/linux/man-pages/man3/getauxval.3.html) */
const AT_PAGESZ = 6n
