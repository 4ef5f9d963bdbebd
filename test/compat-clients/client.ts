/** The file of an MCP client, read as the gateway reads it. */
import { join } from 'node:path'
import { ConfigError, type Parsed, parseConfig } from '../../src/config/parse.ts'

export const FOLDER = join(import.meta.dir, 'golden')
/** Between an input and what is expected of it. */
export const LINE = `\n${'-'.repeat(20)}\n`

/** All that is set when golden files are read. */
export const ENV = {
  API_KEY: 's3cr3t',
  GITHUB_TOKEN: 's3cr3t',
  HOME: '/home/me',
  BRACE: 'b',
}

export interface Read extends Partial<Parsed> {
  warnings: string[]
  faults: string[]
}

export function read(text: string, source: string, env: Record<string, string> = {}): Read {
  try {
    return { ...parseConfig(text, source, { env }), faults: [] }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { warnings: [], faults: error.message.split('\n') }
  }
}

export const sourceOf = (file: string) => (file.startsWith('codex') ? 'c.toml' : 'c.json')
