/**
 * What the tool of the benchmark answers: a result whose JSON text has exactly the size asked for,
 * always the same.
 *
 * Two shapes, because parsing costs differ: `text` is one long string with an escape every 30–40
 * characters, as source code has; `structured` is rows of small mixed values. Both are ASCII, the
 * cheapest case for whoever decodes them.
 */
import { picker } from './picker.ts'

export interface Call {
  shape: 'text' | 'structured'
  bytes: number
}

export interface ToolResult {
  content: { type: 'text'; text: string }[]
  structuredContent?: { rows: Row[] }
}

interface Row {
  id: number
  name: string
  path: string
  size: number
  ratio: number
  open: boolean
  owner: null
  tags: string[]
}

export function resultOf({ shape, bytes }: Call): ToolResult {
  const result = shape === 'text' ? textResult(bytes) : structuredResult(bytes)
  if (sizeOf(result) !== bytes) throw new Error(`no ${shape} result can have ${bytes} bytes`)
  return result
}

function textResult(bytes: number): ToolResult {
  const pick = picker()
  const lines: string[] = []
  let left = bytes - sizeOf({ content: [{ type: 'text', text: '' }] })
  for (
    let line = codeLine(0, pick);
    sizeOf(line) - 2 <= left;
    line = codeLine(lines.length, pick)
  ) {
    lines.push(line)
    left -= sizeOf(line) - 2
  }
  return { content: [{ type: 'text', text: lines.join('') + '/'.repeat(left) }] }
}

function structuredResult(bytes: number): ToolResult {
  const pick = picker()
  const rows: Row[] = []
  const answer = (text: string): ToolResult => ({
    content: [{ type: 'text', text }],
    structuredContent: { rows },
  })
  let left = bytes - sizeOf(answer(''))
  for (let next = row(0, pick); sizeOf(next) + 1 <= left; next = row(rows.length, pick)) {
    left -= sizeOf(next) + (rows.length > 0 ? 1 : 0)
    rows.push(next)
  }
  return answer('.'.repeat(left))
}

const words = ['session', 'upstream', 'lease', 'channel', 'caller', 'endpoint', 'principal', 'pool']

function codeLine(line: number, pick: (below: number) => number): string {
  const word = () => words[pick(words.length)]
  if (line % 3 === 0)
    return `  const ${word()} = await ${word()}.open({ signal, retries: ${pick(9)} })\n`
  if (line % 3 === 1)
    return `  if (${word()}.${word()} > ${pick(5000)}) throw busy("${word()} is busy", ${word()})\n`
  return `  // a ${word()} has one ${word()}\n`
}

function row(id: number, pick: (below: number) => number): Row {
  return {
    id,
    name: `${words[pick(words.length)]}-${pick(1000)}`,
    path: `src/${words[pick(words.length)]}/${words[pick(words.length)]}.ts`,
    size: pick(100_000),
    ratio: pick(1000) / 1000,
    open: pick(2) === 1,
    owner: null,
    tags: [words[pick(words.length)]!, words[pick(words.length)]!],
  }
}

function sizeOf(value: unknown): number {
  return JSON.stringify(value).length
}
