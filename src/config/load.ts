/**
 * From a path, a URL or nothing at all to a `Config`, and to the same again when it has changed.
 *
 * What cannot be read or used ends in a `ConfigError` that says why it was looked at and what to do.
 */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { toError } from '../errors.ts'
import {
  DOWNLOAD,
  type Downloaded,
  type DownloadOptions,
  download,
  type Version,
} from './download.ts'
import { ConfigError, type Parsed, parseConfig } from './parse.ts'

export interface Loaded extends Parsed {
  /** Where it came from, for people; undefined for the embedded defaults. */
  source: string | undefined
  /** Whether it is from a URL, which must be asked for changes. */
  isRemote: boolean
  /** The files, by absolute paths, of which any change may change it: itself, and those with secrets and for TLS. */
  files: string[]
  /**
   * Loads it again from the same place. What is at a URL and the same as before is 'unchanged'; files are always read.
   *
   * @param options.isForced does not ask whether it has changed: because a file has, that it names.
   * @throws {ConfigError} whose `files` are those to look at meanwhile.
   */
  reload(options?: { isForced?: boolean }): Promise<Loaded | 'unchanged'>
}

export interface LoadOptions {
  /** How it is downloaded, if it is at a URL. */
  download?: Partial<DownloadOptions>
  /** False leaves `${VAR}` in strings as it is. */
  expandEnv?: boolean
}

type Environment = Record<string, string | undefined>

interface World {
  env: Environment
  options: LoadOptions
}

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
export async function loadConfig(
  named: string | undefined,
  env: Environment,
  options: LoadOptions = {},
): Promise<Loaded> {
  const world = { env, options }
  if (named !== undefined) return load(named, world)
  // Compose files and service units like to set a variable to nothing.
  if (env.MCP_GATEWAY_CONFIG) {
    return load(env.MCP_GATEWAY_CONFIG, world).catch(because('$MCP_GATEWAY_CONFIG names it'))
  }
  for (const path of searchPath(env)) {
    const why = 'it was found because none was named; --config names another'
    const loaded = await loadFile(path, resolve(path), world).catch(because(why))
    if (loaded) return loaded
  }
  return {
    ...parsed(JSON.stringify(EMBEDDED), 'embedded', undefined, world),
    ...{ source: undefined, isRemote: false, reload: async () => 'unchanged' as const },
  }
}

function because(why: string) {
  return (error: ConfigError) => {
    throw new ConfigError(`${error.message}\n(${why})`, error.files)
  }
}

async function load(named: string, world: World): Promise<Loaded> {
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(named)) return loadURL(named, world)
  return loadNamedFile(named, resolve(named), world)
}

async function loadNamedFile(named: string, path: string, world: World): Promise<Loaded> {
  const loaded = await loadFile(named, path, world)
  if (loaded) return loaded
  const what = `${named}: no such file; name a configuration by its path or URL`
  throw new ConfigError(what, [path])
}

/** Undefined if there is no such file. */
async function loadFile(named: string, path: string, world: World): Promise<Loaded | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    if (code === 'EISDIR') throw new ConfigError(`${named}: is a directory; name the file in it`)
    throw new ConfigError(`${named}: cannot be read: ${toError(error).message}`, [path])
  }
  return {
    ...parsed(text, named, path, world),
    ...{ source: named, isRemote: false, reload: () => loadNamedFile(named, path, world) },
  }
}

async function loadURL(named: string, world: World): Promise<Loaded> {
  const url = URL.parse(named)
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new ConfigError('the URL of the configuration must be one of http: or https:')
  }
  // Its user, password and query may be secrets.
  const source = `${url.origin}${url.pathname}`
  const options = { ...DOWNLOAD, ...world.options.download }
  const downloaded = (known?: Version) =>
    download(url, options, known).catch((error) => {
      throw new ConfigError(`${source}: cannot be downloaded: ${toError(error).message}`)
    })
  const loaded = (download: Downloaded): Loaded => ({
    ...parsed(download.text, source, undefined, world),
    ...{ source, isRemote: true },
    async reload({ isForced = false } = {}) {
      const next = await downloaded(isForced ? undefined : download)
      if (!next || (!isForced && next.text === download.text)) return 'unchanged'
      return loaded(next)
    },
  })
  return loaded((await downloaded())!)
}

/**
 * A text parsed, and the files that it takes: those it names are looked for in its own folder.
 *
 * @param path its own; undefined if it is no file.
 */
function parsed(text: string, source: string, path: string | undefined, world: World) {
  const { env, options } = world
  const files = new Set(path === undefined ? [] : [path])
  const located = (named: string) => resolve(path === undefined ? '.' : dirname(path), named)
  const readNamed = (named: string) => {
    if (path === undefined && !isAbsolute(named)) {
      throw new Error('it has no folder to look in; write an absolute path')
    }
    const file = located(named)
    files.add(file)
    return readFileSync(file, 'utf8')
  }
  const { expandEnv = true } = options
  try {
    const parsed = parseConfig(text, source, { env, readFile: readNamed, expandEnv })
    const { gateway } = parsed.config
    const { tls } = gateway
    if (tls) gateway.tls = { cert: located(tls.cert), key: located(tls.key) }
    for (const file of Object.values(gateway.tls ?? {})) files.add(file)
    return { ...parsed, files: [...files] }
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(error.message, [...files]) : error
  }
}
