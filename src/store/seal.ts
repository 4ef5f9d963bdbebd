/**
 * What others have trusted us with is kept sealed: AES-256-GCM, bound to the place where it is kept, so that nothing sealed
 * can be put somewhere else.
 *
 * Keys are 32 bytes in Base64: of `$MCP_GATEWAY_KEY`, else of the file `$MCP_GATEWAY_KEY_FILE`, else of `key` in the directory
 * of the store, which is made by the first use. There may be several, with commas or new lines between them: the first one
 * seals, all of them open, and each is named in what it has sealed.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toError } from '../errors.ts'
import { StoreError } from './store.ts'

type Environment = Readonly<Record<string, string | undefined>>

interface Key {
  id: string
  key: CryptoKey
}

const ALGORITHM = 'AES-GCM'
const NONCE = 12

export class Seal {
  readonly #directory: string
  readonly #env: Environment
  #keys: Promise<Key[]> | undefined

  /** @param directory of the store. */
  constructor(directory: string, env: Environment) {
    this.#directory = directory
    this.#env = env
  }

  /**
   * @param place where it will be kept.
   * @throws {StoreError} as a rejection, if there is no usable key.
   */
  async seal(text: string, place: string): Promise<string> {
    const [{ id, key }] = (await this.#open()) as [Key, ...Key[]]
    const iv = random(NONCE)
    const sealed = await crypto.subtle.encrypt(
      { name: ALGORITHM, iv, additionalData: Buffer.from(place) },
      key,
      Buffer.from(text),
    )
    return `1.${id}.${Buffer.concat([iv, new Uint8Array(sealed)]).toString('base64url')}`
  }

  /**
   * @throws {StoreError} as a rejection, if its key is not there any more, or it was changed, or was kept elsewhere.
   */
  async unseal(sealed: string, place: string): Promise<string> {
    const [version, id, body = ''] = sealed.split('.')
    const known = (await this.#open()).find((one) => one.id === id)
    if (version !== '1' || !known) {
      throw new StoreError(
        `${place}: it was sealed with a key that is not among those there are; put that key back, or store it anew`,
      )
    }
    const bytes = Buffer.from(body, 'base64url')
    try {
      const iv = bytes.subarray(0, NONCE)
      const text = await crypto.subtle.decrypt(
        { name: ALGORITHM, iv, additionalData: Buffer.from(place) },
        known.key,
        bytes.subarray(NONCE),
      )
      return Buffer.from(text).toString()
    } catch {
      throw new StoreError(`${place}: it is not what was sealed there`)
    }
  }

  #open(): Promise<Key[]> {
    this.#keys ??= this.#load().catch((error) => {
      this.#keys = undefined
      throw error
    })
    return this.#keys
  }

  async #load(): Promise<Key[]> {
    const { source, text } = this.#read()
    const written = text.split(/[\s,]+/).filter(Boolean)
    if (written.length === 0) throw new StoreError(`${source}: there is no key in it`)
    return Promise.all(
      written.map(async (one) => {
        const bytes = Buffer.from(one, 'base64')
        if (bytes.length !== 32) {
          throw new StoreError(
            `${source}: a key must be 32 bytes in Base64, as "openssl rand -base64 32" makes it`,
          )
        }
        const digest = await crypto.subtle.digest('SHA-256', bytes)
        return {
          id: Buffer.from(digest).toString('hex', 0, 4),
          key: await crypto.subtle.importKey('raw', bytes, ALGORITHM, false, [
            'encrypt',
            'decrypt',
          ]),
        }
      }),
    )
  }

  #read(): { source: string; text: string } {
    const { MCP_GATEWAY_KEY: key, MCP_GATEWAY_KEY_FILE: file } = this.#env
    if (key) return { source: '$MCP_GATEWAY_KEY', text: key }
    const path = file || join(this.#directory, 'key')
    try {
      if (!file) this.#make(path)
      return { source: path, text: readFileSync(path, 'utf8') }
    } catch (error) {
      throw new StoreError(`the key ${path} cannot be read: ${toError(error).message}`)
    }
  }

  /** Who is second takes the key of the first. */
  #make(path: string): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    try {
      writeFileSync(path, `${random(32).toBase64()}\n`, { flag: 'wx', mode: 0o600 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      chmodSync(path, 0o600)
    }
  }
}

/** `node:crypto` has it, too, and four milliseconds of every start go into that. */
function random(bytes: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(bytes))
}
