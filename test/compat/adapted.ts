/** A configuration in the words of another program, read as the gateway reads it. */
import { ConfigError, type Parsed, parseConfig } from '../../src/config/parse.ts'

type Env = Record<string, string>

export interface Adapted extends Partial<Parsed> {
  warnings: string[]
  faults: string[]
}

/** @param written what is no text becomes JSON, one member a line. */
export function adapted(written: unknown, env: Env = {}): Adapted {
  const text = typeof written === 'string' ? written : JSON.stringify(written, undefined, 1)
  try {
    return { ...parseConfig(text, 'c.json', { env }), faults: [] }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { warnings: [], faults: error.message.split('\n') }
  }
}
