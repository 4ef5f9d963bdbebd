/**
 * Who may see and change what runs: admins, and where nobody has to prove who they are, whoever sits at this machine.
 *
 * Sitting here is judged with care: what a proxy passes on comes from this machine as well, and so does what a web page
 * asks for in a browser.
 */
import { isLoopback } from '../addresses.ts'
import type { Principal } from '../caller.ts'
import { GatewayError } from '../errors.ts'

export interface Visitor {
  /** Undefined if they could not prove who they are. */
  principal: Principal | undefined
  /** Whether nobody has to. */
  isOpen: boolean
  /** Whether the configuration says that others stand in front: then nobody can be told to sit here. */
  isFronted: boolean
  /** The address at the other end of the connection; undefined if that is gone. */
  peer: string | undefined
}

/** @throws {GatewayError} `unauthorized`, `forbidden` */
export function admit(request: Request, visitor: Visitor): void {
  const { principal } = visitor
  if (visitor.isOpen) admitNeighbour(request, visitor)
  else if (!principal || principal.kind === 'anonymous') throw STRANGER
  else if (!principal.isAdmin)
    throw new GatewayError('forbidden', 'this is for admins', { hint: HINT })
}

const HINT = 'use a token that has "admin": true in auth.tokens'

const STRANGER = new GatewayError('unauthorized', 'this is for admins', {
  hint: HINT,
  headers: { 'www-authenticate': 'Bearer' },
})

/** @throws {GatewayError} `forbidden` */
function admitNeighbour({ headers, url }: Request, { peer, isFronted }: Visitor): void {
  const refuse = (why: string) => {
    const hint = `ask from the machine that it runs on, or write tokens into auth.tokens and ${HINT}`
    throw new GatewayError('forbidden', `without tokens this is for this machine only: ${why}`, {
      hint,
    })
  }
  if (isFronted) refuse('the configuration names a proxy, or a URL elsewhere')
  if (peer === undefined || !isLoopback(peer)) refuse('the request comes from another one')
  const passedOn = [...headers.keys()].find((name) => FORWARDING.test(name))
  if (passedOn) refuse(`the request was passed on, as its header ${passedOn} shows`)
  const { hostname, origin: own } = new URL(url)
  // A proxy that says nothing of itself may at least keep Host, and so does a name that was rebound to us.
  if (!isLoopback(hostname)) refuse('the request is for another Host')
  const origin = headers.get('origin')
  if (origin !== null && origin !== own) refuse('the request comes from a web page elsewhere')
}

/** Headers by which proxies and tunnels say for whom they ask. */
const FORWARDING =
  /^(?:forwarded|via|cdn-loop|x-forwarded(?:-.*)?|x-(?:original|envoy|remote)-.*|cf-.*|tailscale-.*|.*(?:client|connecting|real)-?ip)$/
