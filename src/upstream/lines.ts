/** One message per line: cuts bytes into lines of text, and makes a text one line. */
import type { Receiver } from '../rpc/peer.ts'

/** Of a line over the limit, how much is told: enough to see which request it answers. */
const BEGINNING = 1024
const END = 64

export class Lines {
  readonly #limit: number
  readonly #receiver: Pick<Receiver, 'receive' | 'refused'>
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  // Decoding each portion as it comes saves joining them: a long line is copied once less.
  #begun = ''
  #length = 0

  /** @param limit in bytes. */
  constructor(limit: number, receiver: Pick<Receiver, 'receive' | 'refused'>) {
    this.#limit = limit
    this.#receiver = receiver
  }

  push(bytes: Uint8Array): void {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      if (this.#length === 0 && end - start <= this.#limit) {
        this.#tell(chunk.toString('utf8', start, end))
      } else {
        this.#keep(chunk.subarray(start, end))
        this.#tellKept()
      }
      start = end + 1
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
  }

  #keep(part: Buffer): void {
    this.#length += part.length
    this.#begun += this.#decoder.decode(part, { stream: true })
    if (this.#length <= this.#limit) return
    const rest = this.#begun.slice(BEGINNING)
    this.#begun = this.#begun.slice(0, BEGINNING) + rest.slice(-END)
  }

  #tellKept(): void {
    const line = this.#begun + this.#decoder.decode()
    const length = this.#length
    this.#begun = ''
    this.#length = 0
    if (length <= this.#limit) this.#tell(line)
    else this.#receiver.refused(line, `a message of ${length} bytes, over ${this.#limit}`)
  }

  #tell(line: string): void {
    // Some write a byte order mark first, and some end their lines as Windows does.
    const text = line.slice(line.startsWith('\ufeff') ? 1 : 0, line.endsWith('\r') ? -1 : undefined)
    if (text !== '') this.#receiver.receive(text)
  }
}

const NEWLINE = 10

/**
 * The same JSON without line ends, which are nothing but white space in it. Who writes them between tokens would
 * begin another message with each, of his own making. Some readers end lines at a lone CR too.
 */
export function oneLine(json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]/g, ' ') : json
}
