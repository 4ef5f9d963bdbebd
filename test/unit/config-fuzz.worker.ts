/** Reads mutated configurations, one after the other, and posts what is wrong with how one of them was judged. */
import { ConfigError, parseConfig } from '../../src/config/parse.ts'
import { mutated, seeded } from '../support/mutations.ts'

export interface Task {
  /** Each a source and a text; without a count they are tried as they are. */
  corpus: [source: string, text: string][]
  first: number
  count: number
  secret: string
  /** The seed that is being tried, for who watches from outside. */
  progress: SharedArrayBuffer
}

export interface Result {
  good: number
  bad: number
  /** By their seeds. */
  failures: string[]
}

declare const self: Worker

self.onmessage = ({ data }: MessageEvent<Task>) => {
  const progress = new Int32Array(data.progress)
  const result: Result = { good: 0, bad: 0, failures: [] }
  for (const [source, text] of data.count === 0 ? data.corpus : []) {
    const wrong = judged(text, source, data.secret, result)
    if (wrong) result.failures.push(wrong)
  }
  for (let seed = data.first; seed < data.first + data.count; seed++) {
    Atomics.store(progress, 0, seed)
    const random = seeded(seed)
    const [source, text] = data.corpus[random(data.corpus.length)]!
    const mutant = mutated(text, random, data.secret)
    const wrong = judged(mutant, source, data.secret, result)
    if (wrong) result.failures.push(`seed ${seed}: ${wrong}\n${mutant.slice(0, 3000)}`)
    if (result.failures.length > 3) break
  }
  if (Object.keys(Object.prototype).length > 0) result.failures.push('every object has changed')
  self.postMessage(result)
}

/** What is wrong, if anything. */
function judged(text: string, source: string, secret: string, result: Result): string | undefined {
  const env = { A: secret, API_KEY: secret, HOME: '/home/me' }
  const lines: string[] = []
  try {
    lines.push(...parseConfig(text, source, { env }).warnings)
    result.good++
  } catch (error) {
    if (!(error instanceof ConfigError)) {
      return `is no ConfigError: ${(error as Error).stack ?? error}`
    }
    lines.push(...error.message.split('\n'))
    result.bad++
  }
  const last = text.split('\n').length
  for (const line of lines) {
    const [, start, number] = /^(c\.\w+):(\d+): ./.exec(line) ?? []
    if (start !== source) return `names no place: ${line}`
    if (Number(number) < 1 || Number(number) > last) return `names no line: ${line}`
    if (line.length > 2000) return `is too long: ${line.slice(0, 300)}`
    if (line.includes(secret)) return `shows a secret: ${line}`
  }
  return undefined
}
