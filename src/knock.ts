/**
 * A request at an endpoint: who sends it, and what of the endpoint is there for them.
 *
 * Both are asked for when it comes, and again when its body is there, if something has changed meanwhile: a client may send a
 * body as slowly as it likes.
 */
import type { Guard } from './auth/guard.ts'
import type { Principal } from './caller.ts'
import { readJson } from './downstream/request.ts'
import type { Knock } from './downstream/sessions.ts'
import type { Entrances, NarrowedEntrance } from './entrances.ts'

/** Where somebody knocks, as the URL says it. */
export interface Place {
  /** Of a server or group; '' for all servers. */
  name: string
  /** As it stands in the path: percent-encoded. */
  token: string | undefined
  query: string | undefined
}

/** What there is to knock at. */
export interface House {
  /** As they are now. */
  readonly guard: Guard
  readonly entrances: Entrances
  /** Another number each time that what they say may be different. */
  readonly revision: number
}

export class Knocking implements Knock {
  readonly #request: Request
  readonly #place: Place
  readonly #house: House
  #revision = -1
  #principal: Principal | undefined
  #entrance: NarrowedEntrance | undefined

  private constructor(request: Request, place: Place, house: House) {
    this.#request = request
    this.#place = place
    this.#house = house
  }

  /**
   * Without waiting, if there is nothing to wait for.
   *
   * @throws {GatewayError} as the guard does, at once or as a rejection.
   */
  static at(request: Request, place: Place, house: House): Knocking | Promise<Knocking> {
    const knock = new Knocking(request, place, house)
    return knock.#ask() ?? knock
  }

  get principal(): Principal {
    return this.#principal!
  }

  get entrance(): NarrowedEntrance {
    return this.#entrance!
  }

  async body(limit: number): Promise<string> {
    const text = await readJson(this.#request, limit)
    while (this.#revision !== this.#house.revision) await this.#ask()
    return text
  }

  #ask(): Promise<this> | undefined {
    const { guard, revision } = this.#house
    const { name, token } = this.#place
    const principal = guard.identify(this.#request.headers, token, name)
    if (principal instanceof Promise) return principal.then((known) => this.#enter(known, revision))
    this.#enter(principal, revision)
    return undefined
  }

  #enter(principal: Principal, revision: number): this {
    const { name, query } = this.#place
    this.#principal = principal
    this.#entrance = this.#house.entrances.at(name, query, principal)
    this.#revision = revision
    return this
  }
}
