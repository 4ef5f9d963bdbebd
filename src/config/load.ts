/**
 * From a path, a URL or nothing at all to a `Config`.
 *
 * What cannot be read or used ends in a `ConfigError` that says why it was looked at and what to do.
 */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { toError } from '../errors.ts'
import { ConfigError, parseConfig } from './parse.ts'
import { type Config, ConfigSchema } from './schema.ts'

export interface Loaded {
  config: Config
  /** Where it came from, for people; undefined for the embedded defaults. */
  source: string | undefined
}

type Environment = Record<string, string | undefined>

/** What runs when there is no configuration anywhere: the reference server that shows all of MCP. */
export const EMBEDDED = {
  mcpServers: {
    everything: {
      command: 'npx',
      args: ['-y', '@modelcontextprotocol/server-everything@2026.8.31'],
    },
  },
}

/** Where a configuration is looked for, in this order, when none is named. */
export function searchPath(env: Environment): string[] {
  const home = env.HOME || homedir()
  return [
    './config.json',
    './.mcp-gateway/config.json',
    join(home, '.config/mcp-gateway/config.json'),
    join(home, '.mcp-gateway/config.json'),
    './config/servers.json',
  ]
}

/**
 * Loads the named configuration, else the one of $MCP_GATEWAY_CONFIG, else the first that is found, else the
 * embedded one.
 *
 * @throws {ConfigError}
 */
export async function loadConfig(named: string | undefined, env: Environment): Promise<Loaded> {
  if (named !== undefined) return load(named, env)
  // Compose files and service units like to set a variable to nothing.
  if (env.MCP_GATEWAY_CONFIG) {
    return load(env.MCP_GATEWAY_CONFIG, env).catch(because('$MCP_GATEWAY_CONFIG names it'))
  }
  for (const path of searchPath(env)) {
    const why = 'it was found because none was named; --config names another'
    const loaded = await loadFile(path, env).catch(because(why))
    if (loaded) return loaded
  }
  return { config: v.parse(ConfigSchema, EMBEDDED), source: undefined }
}

function because(why: string) {
  return (error: Error) => {
    throw new ConfigError(`${error.message}\n(${why})`)
  }
}

async function load(named: string, env: Environment): Promise<Loaded> {
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(named)) return download(named, env)
  const loaded = await loadFile(named, env)
  if (loaded) return loaded
  throw new ConfigError(`${named}: no such file; name a configuration by its path or URL`)
}

/** Undefined if there is no such file. */
async function loadFile(path: string, env: Environment): Promise<Loaded | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    return { config: parseConfig(text, path, env), source: path }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    if (code === 'EISDIR') throw new ConfigError(`${path}: is a directory; name the file in it`)
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`${path}: cannot be read: ${toError(error).message}`)
  }
}

/** How long a configuration at a URL may take to come. */
const DOWNLOAD = 30_000

async function download(named: string, env: Environment): Promise<Loaded> {
  const url = URL.parse(named)
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new ConfigError('the URL of the configuration must be one of http: or https:')
  }
  // Its user, password and query may be secrets.
  const source = `${url.origin}${url.pathname}`
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(DOWNLOAD) })
    if (!response.ok) throw new Error(`status ${response.status}`)
    const text = await response.text()
    return { config: parseConfig(text, source, env), source }
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`${source}: cannot be downloaded: ${toError(error).message}`)
  }
}
