/**
 * The fixture (`child.ts`) as a child process: lines in, lines out. Lines sent in one tick leave in
 * one write, and the reader joins a long line once; both are what a gateway written with care does,
 * so that none of it explains a difference.
 */
import { Lines } from './lines.ts'

export interface Pipe {
  send(line: string): void
}

export function openPipe(onLine: (line: Buffer) => void): Pipe {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/child.ts`], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  void read(child.stdout, onLine)
  let queue = ''
  const flush = () => {
    child.stdin.write(queue)
    child.stdin.flush()
    queue = ''
  }
  return {
    send(line) {
      if (queue === '') queueMicrotask(flush)
      queue += `${line}\n`
    },
  }
}

async function read(stdout: ReadableStream<Uint8Array>, onLine: (line: Buffer) => void) {
  const lines = new Lines()
  for await (const portion of stdout) lines.push(portion, onLine)
  throw new Error('the fixture has ended')
}
