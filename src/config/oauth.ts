/** The options of the authorization server inside: who may log in, and with which programs. */
import * as v from 'valibot'
import { isLoopback } from '../addresses.ts'
import type { Secret } from '../secret.ts'
import { isScheme, redirectFault } from './redirect.ts'
import { addressRange, count, either, file, reference, secret, text } from './values.ts'

const password = v.pipe(text, v.maxLength(1024, 'must have at most 1024 characters'))

/** Where a client that is configured may send people back to. */
const redirectURI = v.pipe(
  text,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    const fault = redirectFault(dataset.value) ?? plainFault(dataset.value)
    if (fault) addIssue({ message: `cannot be sent back to: it ${fault}` })
  }),
)

/** Where those may that registered themselves. */
const place = v.pipe(
  text,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed || isPrivateScheme(dataset.value)) return
    const fault = redirectFault(dataset.value)
    if (fault) addIssue({ message: `cannot be sent back to: it ${fault}` })
    else if (!dataset.value.startsWith('https:'))
      addIssue({ message: 'must be an https: URI, or a private scheme as "cursor:"' })
  }),
)

function isPrivateScheme(written: string): boolean {
  return isScheme(written) && !/^https?:$/.test(written)
}

function plainFault(uri: string): string | undefined {
  const isPlain = uri.startsWith('http:') && !isLoopback(new URL(uri).hostname)
  return isPlain ? 'is http: on another machine' : undefined
}

/** Someone who can log in. */
export interface User {
  /** An argon2id hash, or the password itself. */
  password: Secret
  /** Undefined for all. */
  servers?: string[] | undefined
  admin: boolean
}

const user = v.strictObject({
  password: v.pipe(
    secret(password),
    v.description('Hash of the password, as `mcp-gateway hash-password` prints it.'),
  ),
  servers: v.pipe(
    v.optional(v.array(v.string())),
    v.description('The servers they may use. By default all.'),
  ),
  admin: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Whether they may see and change what runs.'),
  ),
})

export const OAuthSchema = v.strictObject({
  users: v.pipe(
    v.optional(
      v.record(
        v.pipe(
          v.string(),
          v.regex(
            /^[^\s/\\:][^\x00-\x1f\x7f/\\:]{0,63}$/,
            'a user name has 1 to 64 characters, without "/", "\\", ":" and control characters',
          ),
        ),
        either(
          secret(password),
          user,
          (keys) => keys.includes('password') || !keys.some((key) => key in reference.entries),
        ),
      ),
      {},
    ),
    v.transform((users) =>
      Object.fromEntries(
        Object.entries(users).map(([name, written]): [string, User] => [
          name,
          'reveal' in written ? { password: written, admin: false } : written,
        ]),
      ),
    ),
    v.description('Who can log in, with the hash of their password (or the password itself).'),
  ),
  tokenExpirationMinutes: v.pipe(
    v.optional(count(1, 1_000_000), 60),
    v.description('How many minutes an access token is good for.'),
  ),
  refreshExpirationDays: v.pipe(
    v.optional(count(1, 3650), 30),
    v.description('After how many days without use a login ends.'),
  ),
  registration: v.pipe(
    v.optional(v.boolean(), true),
    v.description('Whether clients may register themselves (RFC 7591).'),
  ),
  allowedIPs: v.pipe(
    v.optional(v.array(addressRange), []),
    v.description('Addresses, or ranges as `10.0.0.0/8`, from which they may. By default all.'),
  ),
  clientDocuments: v.pipe(
    v.optional(v.boolean(), true),
    v.description('Whether clients may be known by the URL of a document about them (CIMD).'),
  ),
  acceptUnregisteredLoopbackClients: v.pipe(
    v.optional(v.boolean()),
    v.description(
      'Whether any client id will do for a program on the machine of its user. By default only while the gateway listens on the loopback.',
    ),
  ),
  redirectURIs: v.pipe(
    v.optional(v.array(place), []),
    v.description(
      'Where else clients that registered themselves may send people back to, besides those of well-known clients and this machine: exact `https:` URIs, or `scheme:` for a private scheme.',
    ),
  ),
  clients: v.pipe(
    v.optional(
      v.record(
        text,
        v.strictObject({
          name: v.pipe(v.optional(text), v.description('What people are told it is called.')),
          secret: v.pipe(
            v.optional(secret(text)),
            v.description('Its secret. Without, it is a public client.'),
          ),
          redirectURIs: v.pipe(
            v.array(redirectURI),
            v.nonEmpty('must name at least one'),
            v.description('Where it may send people back to.'),
          ),
        }),
      ),
      {},
    ),
    v.description('Clients that need not register, by their ids.'),
  ),
  templateDir: v.pipe(
    v.optional(file, 'templates'),
    v.description(
      'Directory in whose `oauth` folder pages of your own are, see `--eject-templates`.',
    ),
  ),
})

export type OAuth = v.InferOutput<typeof OAuthSchema>
