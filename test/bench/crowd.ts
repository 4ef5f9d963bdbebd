/**
 * Many MCP clients that do nothing: each opens a session and an event stream on one socket of its
 * own, and keeps still. Where and how many arrives over Bun's IPC; `open` goes back when all are in.
 * Any that is refused or lost ends the process with an exit code.
 */
import { hello } from './server.ts'

export interface Order {
  url: string
  sessions: number
}

/** How many come in at a time. */
const abreast = 16
const lastChunk = '0\r\n\r\n'

process.on('message', (order: Order) => gather(order).then(() => process.send?.('open'), fail))
process.on('disconnect', () => process.exit())

async function gather({ url, sessions }: Order): Promise<void> {
  let left = sessions
  const queue = async () => {
    while (left-- > 0) await join(new URL(url))
  }
  await Promise.all(Array.from({ length: abreast }, queue))
}

async function join({ hostname, port, pathname }: URL): Promise<void> {
  const line = await Line.open(hostname, Number(port))
  const ask = (method: string, headers: Record<string, string>, body = '') => {
    const all = { host: `${hostname}:${port}`, 'content-length': `${body.length}`, ...headers }
    const lines = Object.entries(all).map((header) => header.join(': '))
    return line.ask([`${method} ${pathname} HTTP/1.1`, ...lines, '', body].join('\r\n'))
  }
  const { headers, initialize, initialized } = hello
  const met = await ask('POST', headers, JSON.stringify(initialize))
  const id = /^mcp-session-id: *(\S+)/im.exec(met)?.[1]
  if (!met.startsWith('HTTP/1.1 200') || !id) throw new Error(`initialize was answered with ${met}`)
  const session = { ...headers, 'mcp-session-id': id }
  const noted = await ask('POST', session, JSON.stringify(initialized))
  if (!noted.startsWith('HTTP/1.1 202')) throw new Error(`initialized was answered with ${noted}`)
  const stream = await ask('GET', { ...session, accept: 'text/event-stream' })
  if (!/^HTTP\/1.1 200.*^content-type: text\/event-stream/ims.test(stream)) {
    throw new Error(`GET was answered with ${stream}`)
  }
}

/** One socket. It is asked and answers by turns; what it says unasked is dropped, unless it is goodbye. */
class Line {
  #socket: Bun.Socket | undefined
  #text = ''
  #answered: ((head: string) => void) | undefined

  static async open(hostname: string, port: number): Promise<Line> {
    const line = new Line()
    line.#socket = await Bun.connect({
      hostname,
      port,
      socket: {
        data: (_socket, bytes) => line.#hear(bytes),
        close: () => fail(new Error('a connection was closed')),
        error: (_socket, error) => fail(error),
      },
    })
    return line
  }

  /** @returns the head of the answer, and its body if that has a length. */
  ask(request: string): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>()
    this.#text = ''
    this.#answered = resolve
    this.#socket!.write(request)
    return promise
  }

  #hear(bytes: Buffer): void {
    const text = bytes.toString('latin1')
    if (!this.#answered) {
      // The socket would stay open for another request.
      if (text.endsWith(lastChunk)) fail(new Error('an event stream was ended'))
      return
    }
    this.#text += text
    const end = this.#text.indexOf('\r\n\r\n')
    if (end < 0) return
    const length = Number(/^content-length: *(\d+)/im.exec(this.#text)?.[1] ?? 0)
    if (this.#text.length < end + 4 + length) return
    this.#answered(this.#text)
    this.#answered = undefined
  }
}

function fail(error: Error): never {
  console.error(error.message)
  process.exit(1)
}
