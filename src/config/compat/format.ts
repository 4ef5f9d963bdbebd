/** What there is to know of a format other than ours. */
import type * as v from 'valibot'
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The members of a document, whatever they are. */
export type Root = Readonly<Record<string, unknown>>

/** A text with the variables in it spelled as ours. */
export type Spelling = (written: string, path: Path) => string

export interface Format {
  /** What it is called in messages: whose it is. */
  readonly name: string
  /** Whether a document has this shape, by its keys and variables alone: what is in it may still be wrong. */
  fits(root: Root): boolean
  /**
   * What is understood of it, as `v.looseObject`s. Other keys are warned of; those that are `v.unknown()`, or the rest of
   * a `v.objectWithRest`, are passed over, whatever variables they name.
   */
  readonly schema: v.GenericSchema
  /** How variables are spelled in a document, if not as `${NAME}` and `${NAME:-default}` only. */
  readonly spelling?: (root: Root) => Spelling
  /**
   * Says in our words, on the draft, what was written. Pure.
   *
   * @param written what the schema has made of it.
   */
  adapt(written: unknown, draft: Draft, env: Environment): void
}

/** A format, by what its schema makes of a document. */
export function format<S extends v.GenericSchema>(definition: {
  name: string
  fits: Format['fits']
  schema: S
  spelling?: (root: Root) => Spelling
  adapt(written: v.InferOutput<S>, draft: Draft, env: Environment): void
}): Format {
  return {
    ...definition,
    adapt: (written, draft, env) => definition.adapt(written as v.InferOutput<S>, draft, env),
  }
}
