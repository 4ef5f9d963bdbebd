/**
 * Bytes in any portions become whole lines. Only new bytes are searched and a line is joined once,
 * so that a line of many portions costs no more than its length. What is left of a portion is kept
 * without copying it: the caller must not write into it again.
 */
export class Lines {
  #parts: Uint8Array[] = []

  push(portion: Uint8Array, onLine: (line: Buffer) => void): void {
    let start = 0
    for (let end = portion.indexOf(10); end >= 0; end = portion.indexOf(10, start)) {
      onLine(this.#complete(portion.subarray(start, end)))
      start = end + 1
    }
    if (start < portion.length) this.#parts.push(portion.subarray(start))
  }

  #complete(last: Uint8Array): Buffer {
    if (this.#parts.length === 0) return Buffer.from(last.buffer, last.byteOffset, last.length)
    const line = Buffer.concat([...this.#parts, last])
    this.#parts = []
    return line
  }
}
