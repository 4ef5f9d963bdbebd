/** The fixture server `everything` as a process of its own, to be reached over HTTP. */

export interface RemoteServer extends AsyncDisposable {
  url: URL
  pid: number
}

/**
 * Resolves when it listens, on a free port unless `args` name one; disposing of it kills it, even if it hangs.
 *
 * @param args `--http` or `--sse`, and what else `everything.ts` takes
 * @throws {Error} when it ends without listening; why, it said on stderr
 */
export async function startServer(args: string[]): Promise<RemoteServer> {
  const program = new URL('servers/everything.ts', import.meta.url).pathname
  const child = Bun.spawn([process.execPath, program, ...args], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const url = await listening(child.stdout)
  if (!url) throw new Error(`everything.ts ${args.join(' ')}: ended with ${await child.exited}`)
  return {
    url,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}

async function listening(
  stdout: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<URL | undefined> {
  let text = ''
  for await (const chunk of stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const line = /^listening (.+)\n/.exec(text)
    if (line) return new URL(line[1]!)
  }
  return undefined
}
