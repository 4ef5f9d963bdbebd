/**
 * Drives one target with wrk for a moment, and watches the target meanwhile.
 *
 * A failed run throws: a socket error, an error status or answers of the wrong size are never
 * averaged away.
 */
import { existsSync } from 'node:fs'
import { cpuOf, rssOf } from './proc.ts'
import type { Question } from './question.ts'

export interface Sample {
  /** Answers per second. */
  rate: number
  /** Milliseconds. */
  p50: number
  p99: number
  /** Microseconds of the target, user and system, per answer. */
  cpu: number
  /** The highest seen, in bytes. */
  rss: number
}

export interface Load {
  url: string
  headers: Record<string, string>
  question: Question
  /** Connections, each with one request under way. */
  inFlight: number
  seconds: number
  /** Ids count up from here; nine digits. */
  firstId: number
  /** What one answer with such an id takes on the wire. */
  answerBytes: number
  /** Looks at every answer, too slow for a measurement. */
  check: boolean
  /** The process to watch. */
  pid: number
  signal: AbortSignal
}

export async function load(run: Load): Promise<Sample> {
  const headers = Object.entries(run.headers).flatMap((header) => ['-H', header.join(': ')])
  const command = ['wrk', '-t', '1', '-c', `${run.inFlight}`, '--timeout', '10s', ...headers]
  command.push('-d', `${Math.ceil(run.seconds) + 2}s`, '-s', `${import.meta.dir}/load.lua`, run.url)
  const { text, result } = run.question
  const begin = `"result":${JSON.stringify(result).slice(0, 10)}`
  command.push('--', `${run.firstId}`, run.check ? 'check' : 'count', text, begin)
  const cpu = cpuOf(run.pid)
  const wrk = Bun.spawn(command, {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
    signal: run.signal,
  })
  // wrk counts whole seconds only, but reports in good order when it is interrupted.
  const stop = setTimeout(() => wrk.kill('SIGINT'), run.seconds * 1000)
  let rss = 0
  const look = () => {
    // Once it has ended there is nothing to see; whoever runs it knows why.
    if (existsSync(`/proc/${run.pid}/statm`)) rss = Math.max(rss, rssOf(run.pid))
  }
  const looking = setInterval(look, 100)
  try {
    const output = await wrk.stdout.text()
    const used = cpuOf(run.pid) - cpu
    look()
    run.signal.throwIfAborted()
    return { ...judge(run, output, used), rss }
  } finally {
    clearTimeout(stop)
    clearInterval(looking)
  }
}

interface Counts {
  calls: number
  /** Microseconds, as all times of wrk. */
  duration: number
  bytes: number
  p50: number
  p99: number
  connect: number
  read: number
  write: number
  timeout: number
  status: number
  wrong: number
}

function judge(run: Load, output: string, used: number): Omit<Sample, 'rss'> {
  const report = /^(\{"calls"[^\n]*)\n(.*)$/ms.exec(output)
  if (!report) throw new Error(`wrk did not report: ${output}`)
  const counts: Counts = JSON.parse(report[1]!)
  const { calls, duration, bytes, connect, read, write, timeout, status, wrong } = counts
  if (calls === 0) throw new Error('no call was answered')
  if (connect + read + write + timeout + status > 0) {
    throw new Error(
      `of ${calls} calls ${status} had a status of 400 or above; ` +
        `socket errors: connect ${connect}, read ${read}, write ${write}, timeout ${timeout}`,
    )
  }
  if (wrong > 0) throw new Error(`${wrong} of ${calls} answers are wrong, such as: ${report[2]}`)
  // What was under way at the end counts in bytes only; chunks have a little framing.
  const least = calls * run.answerBytes
  const most = (calls + run.inFlight) * run.answerBytes * 1.01
  if (bytes < least || bytes > most) {
    throw new Error(`${calls} answers of ${run.answerBytes} B cannot make ${bytes} B`)
  }
  return {
    rate: (calls / duration) * 1e6,
    p50: counts.p50 / 1000,
    p99: counts.p99 / 1000,
    cpu: (used * 1000) / calls,
  }
}
