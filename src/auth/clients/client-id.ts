/** The ids of clients: our own, URLs of documents, and what else is written into a configuration or a program. */
import { randomBytes } from 'node:crypto'

const PREFIX = 'mgw_client_'
const LONGEST = 256

export function newClientId(): string {
  return PREFIX + randomBytes(16).toString('base64url')
}

/** Whether it is one that we give out, or gave out once. */
export function isOurs(id: string): boolean {
  return id.startsWith(PREFIX)
}

/** Whether it is meant as the URL of a document. */
export function isDocumentId(id: string): boolean {
  return /^https:/i.test(id)
}

/** Whether it is an id at all, and none that leads to a document. */
export function isPlainId(id: string): boolean {
  return id.length <= LONGEST && /^[\x20-\x7e]+$/.test(id) && !isDocumentId(id)
}
