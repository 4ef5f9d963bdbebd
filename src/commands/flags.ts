/** The words of a command line, or what is wrong with them. */
import { parseArgs } from 'node:util'
import { closest } from '../config/closest.ts'
import { LOG_LEVELS, type LogLevel } from '../events.ts'

/** The command line cannot be understood. */
export class UsageError extends Error {
  override name = 'UsageError'
}

type Options = Record<string, { type: 'string' | 'boolean'; short?: string; multiple?: boolean }>

export type Flags<O extends Options> = {
  [K in keyof O]?: O[K]['type'] extends 'boolean'
    ? boolean
    : O[K]['multiple'] extends true
      ? string[]
      : string
}

/**
 * Reads flags, also with a single dash: so Go's are written, which one of the older gateways has.
 *
 * @param most how many other words there may be.
 * @throws {UsageError}
 */
export function readFlags<O extends Options>(
  argv: readonly string[],
  options: O,
  most = 0,
): { flags: Flags<O>; words: string[] } {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length
  const args = argv.map((arg, i) => (i < end && /^-[a-z][a-z-]/.test(arg) ? `-${arg}` : arg))
  const words: string[] = []
  for (const token of parseArgs({ args, options, strict: false, tokens: true }).tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      if (words.push(token.value) > most) throw new UsageError(unexpected(token.value, options))
      continue
    }
    const { name, rawName, value, inlineValue } = token
    if (!Object.hasOwn(options, name)) {
      const near = closest(name, Object.keys(options))
      throw new UsageError(`unknown option ${rawName}${near ? `; did you mean --${near}?` : ''}`)
    }
    if (options[name]!.type === 'boolean') {
      if (value !== undefined && SWITCH[value] === undefined)
        throw new UsageError(`${rawName}: takes no value`)
    } else if (!value || (!inlineValue && /^--?[a-z]/.test(value))) {
      throw new UsageError(`${rawName}: a value is missing${value ? ` before ${value}` : ''}`)
    }
  }
  const { values } = parseArgs({ args, options, strict: false })
  for (const [name, value] of Object.entries(values)) {
    if (options[name]!.type === 'boolean') values[name] = SWITCH[`${value}`]
  }
  return { flags: values as Flags<O>, words }
}

/** Go's programs may be told `-flag=false`. */
const SWITCH: Record<string, boolean> = { true: true, false: false }

/** @throws {UsageError} */
export function logLevel(text: string | undefined): LogLevel | undefined {
  if (text === undefined) return undefined
  const level = LOG_LEVELS.find((known) => known === text)
  if (level) return level
  throw new UsageError(
    `--log-level: expected ${LOG_LEVELS.join(', ')}, got ${JSON.stringify(text)}`,
  )
}

function unexpected(word: string, options: Options): string {
  const hint = options.config && /[./]/.test(word) ? `; did you mean --config ${word}?` : ''
  return `unexpected argument ${JSON.stringify(word)}${hint}`
}
