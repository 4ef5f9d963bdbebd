/** Options of ours that a file in the words of another program may have as well: that program does not look at them. */
import * as v from 'valibot'
import type { Draft } from '../draft.ts'
import { GatewaySchema } from '../schema.ts'

const KEYS = Object.keys(GatewaySchema.entries)

/** All of `gateway`. They are judged with the rest, when everything is in our words. */
export const OUR_GATEWAY: Record<string, v.GenericSchema> = Object.fromEntries(
  KEYS.map((key) => [key, v.optional(v.any())]),
)

/** Writes those that are there. */
export function setOurs(
  gateway: Readonly<Record<string, unknown>> | null | undefined,
  draft: Draft,
): void {
  for (const key of KEYS) draft.set(['gateway', key], gateway?.[key], ['gateway', key])
}

/** What children of the gateway no longer see, which those of the older ones did. */
export const LESS_ENVIRONMENT =
  'servers do not get the whole environment any more: only HOME, LANG, PATH, SHELL, TERM, TMPDIR, TZ, USER and a few more of that kind, and what their "env" says; "inheritEnv": true beside a "command" gives it everything'
