/** Somebody at an endpoint, without a socket: HTTP knows only one principal so far. */
import type { Caller, ClientPeer, Principal } from '../../src/caller.ts'
import type { Visit } from '../../src/routing/endpoint.ts'
import { IncomingRequest } from '../../src/rpc/incoming.ts'
import { Json } from '../../src/rpc/json.ts'
import type { TestGateway } from '../support/gateway.ts'
import { INITIALIZE } from '../support/http.ts'

export interface Told {
  method: string
  params: unknown
}

export class Person implements ClientPeer, Disposable {
  readonly id = crypto.randomUUID()
  readonly principal: Principal
  readonly isOne = true
  readonly introduction: Json
  readonly told: Told[] = []
  readonly #visit: Visit
  readonly #answer: (method: string) => unknown
  readonly #ended = new AbortController()

  /** @param answer what is answered when a server asks; what it throws is the error. */
  private constructor(
    gateway: TestGateway,
    server: string,
    name: string,
    capabilities: object,
    answer: (method: string) => unknown,
  ) {
    this.principal = { id: name, kind: 'user' }
    this.introduction = Json.of({ ...INITIALIZE, capabilities })
    this.#answer = answer
    this.#visit = gateway.gateway.endpoint(server)!.visit(this)
  }

  /** One more session of the person of this name. */
  static async at(
    gateway: TestGateway,
    server: string,
    name: string,
    capabilities: object = {},
    answer: (method: string) => unknown = () => ({}),
  ): Promise<Person> {
    const person = new Person(gateway, server, name, capabilities, answer)
    await person.#visit.initialize()
    return person
  }

  get ended(): AbortSignal {
    return this.#ended.signal
  }

  async request(method: string): Promise<Json> {
    return Json.of(await this.#answer(method))
  }

  notify(method: string, params?: Json): void {
    this.told.push({ method, params: params?.get() })
  }

  async ask<R>(method: string, params: object, caller = new Call(this.principal)): Promise<R> {
    return (await this.#visit.request(method, Json.of(params), caller)).get<R>()
  }

  /** What a tool says. */
  async call(name: string, args: object = {}, caller?: Call): Promise<string> {
    const params = { name, arguments: args }
    const { content } = await this.ask<Result>('tools/call', params, caller)
    return content[0]!.text
  }

  [Symbol.dispose](): void {
    this.#ended.abort(new Error(`${this.principal.id} has left`))
  }
}

interface Result {
  content: { text: string }[]
}

let lastId = 0

/** To be given when a call shall be cancelled. */
export class Call extends IncomingRequest implements Caller {
  readonly principal: Principal

  constructor(principal: Principal) {
    super(String(++lastId), undefined)
    this.principal = principal
  }
}
