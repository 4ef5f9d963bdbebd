/** Someone who has proved who they are, by a password here or at a provider elsewhere. */
export interface Person {
  /** Unique among all people: `user:NAME`. The id of their principal. */
  readonly id: string
  /** What they are called on pages. */
  readonly name: string
  /** The servers they may use, by name; all if undefined. */
  readonly servers?: ReadonlySet<string>
  readonly isAdmin: boolean
}
