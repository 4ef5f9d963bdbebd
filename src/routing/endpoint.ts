/** What a client sees at one URL: the only way in for every downstream dialect. */
import type { Caller, ClientPeer } from '../caller.ts'
import type { Json } from '../rpc/json.ts'

/** One server, or several merged. */
export interface Endpoint {
  readonly name: string
  /** Lets a client in. Nothing is opened yet; all is closed when the client leaves. */
  visit(client: ClientPeer): Visit
  /**
   * The same endpoint with less on it, for one client.
   *
   * @throws {GatewayError} `invalid_request` if a server is named that is not here.
   */
  narrowed(view: View): Endpoint
}

/** What of an endpoint a client wants to see. */
export interface View {
  servers?: readonly string[] | undefined
  /** Exposed names of tools, or patterns with `*`. */
  tools?: readonly string[] | undefined
}

/** One client at one endpoint. */
export interface Visit {
  /** The result of `initialize`. */
  initialize(): Promise<Json>
  /**
   * @throws {GatewayError} the gateway's own refusals.
   * @throws {RpcError} a server's.
   */
  request(method: string, params: Json | undefined, caller: Caller): Promise<Json>
  notify(method: string, params: Json | undefined): void
  /** All tools that can be called here, with the servers they belong to. */
  tools(): Promise<ListedTool[]>
  /** The client goes on elsewhere. Its seats stay what they are. */
  leave(): void
}

export interface ListedTool {
  server: string
  /** The exposed name. */
  name: string
  /** As it is listed here. */
  json: Json
}
