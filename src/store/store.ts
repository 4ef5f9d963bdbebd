/**
 * Where durable state lives: values in buckets, behind one verb that writes.
 *
 * `test/store/contract.ts` says in tests what every store keeps to.
 */

/**
 * The catalogue: everything that is kept, and how. What is new is written down here first.
 *
 * | bucket     | key                | value                                                         | expires |
 * | ---------- | ------------------ | ------------------------------------------------------------- | ------- |
 * | `services` | name of the server | its entry as it came over the API, as a file would have it, sealed | never |
 * | `grants`   | id of the grant    | what a person lets a client do, and digests of what that was given for it: `auth/grant.ts` | with its last token |
 * | `imported` | digest of a token of an older proxy | the grant that it is for, and which kind of token it is | with the token |
 * | `imports`  | path of a file     | when it was imported, and how much                            | never |
 * | `devices`  | digest of a user code | a device that waits for its user: `auth/device.ts`         | 20 minutes after it began |
 * | `browser-sessions` | digest of a cookie | who has logged in there and when, and a mark of their password: `auth/browser.ts` | 12 hours after the login |
 * | `browsers` | digest of a cookie | the people who have logged in there                           | 180 days after the last login |
 * | `consents` | person, and digest of what they let a client do | the id of the client: `auth/consents.ts` | after 180 days |
 * | `clients`  | id of the client   | one that registered itself, or the last good copy of a document: `auth/clients.ts` | 7 days after it registered, 180 after it was last used |
 * | `rosters`  | `unused`, `used`   | the ids in `clients`, oldest first: `auth/roster.ts`          | never |
 * | `assertions` | digest of a client and of an id that it chose | that an assertion came: `auth/clients.ts` | with the assertion |
 */
export type Bucket =
  | 'assertions'
  | 'browser-sessions'
  | 'browsers'
  | 'clients'
  | 'consents'
  | 'devices'
  | 'grants'
  | 'imported'
  | 'imports'
  | 'rosters'
  | 'services'

/** A value, and until when it is good. */
export interface Entry<T> {
  /** Anything that JSON can say. A `Secret` is not: nothing would be left of it. */
  value: T
  /** In ms since 1970. From then on it is as if it were not there. */
  expiresAt?: number
}

/**
 * Buckets of values by key. What comes out is a copy, and anybody's to change.
 *
 * Everything rejects with a `StoreError` if the store itself fails, or was closed.
 */
export interface Store {
  get<T>(bucket: Bucket, key: string): Promise<T | undefined>
  /**
   * Reads, decides and writes, and nobody writes in between, in no process. All "only once" rules sit on this.
   *
   * When it resolves, the change survives the end of this process, whatever ends it.
   *
   * @param change is given what is there and returns what shall be; undefined deletes. If it throws, nothing changes, and
   *   that error comes out. It only decides: when nothing came of its first answer it may be asked again.
   */
  update<T>(
    bucket: Bucket,
    key: string,
    change: (old: T | undefined) => Entry<T> | undefined,
  ): Promise<void>
  /** By key, in the order of their bytes. Of what is changed meanwhile, the old or the new is seen. */
  list<T>(bucket: Bucket): AsyncIterable<[key: string, value: T]>
  /** Idempotent. */
  close(): Promise<void>
}

/** The store cannot be used. Its message is for who runs the gateway: it says where, and what to do. */
export class StoreError extends Error {
  override name = 'StoreError'
}
