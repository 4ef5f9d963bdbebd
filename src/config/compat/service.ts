/** Where a service is that is named by a path: at the URL of all services, and nowhere else. */

/** A dot, slash or backslash in disguise, however often that was encoded. */
const DISGUISED = /%(25)*(2e|2f|5c)/i

/**
 * The URL of a service. Its path is written behind that of the base.
 *
 * Tokens are sent there. So a path that could be read as another host, or as leading out of the base, is refused, and
 * never mended.
 *
 * @param base of all services: http or https, without user, query and fragment.
 * @throws {Error} that says what is wrong, and does not repeat it.
 */
export function serviceURL(path: string, base: URL | string): URL {
  const root = typeof base === 'string' ? URL.parse(base) : base
  if (!root || !isBase(root)) {
    throw new Error(
      'the URL of the services must begin with http:// or https:// and have no user, "?" or "#"',
    )
  }
  const refused = fault(path)
  if (refused) throw new Error(`the path of a service ${refused}`)
  const url = URL.parse(root.origin + root.pathname.replace(/\/+$/, '') + path)
  const isInside = url?.pathname.startsWith(root.pathname.replace(/\/*$/, '/'))
  if (!url || url.origin !== root.origin || url.username || url.password || !isInside) {
    throw new Error('the path of a service must stay at the URL of the services')
  }
  return url
}

function isBase({ protocol, username, password, search, hash }: URL): boolean {
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === ''
}

function fault(path: string): string | undefined {
  const [way = ''] = path.split('?')
  if (!/^\/(?!\/)/.test(path)) return 'must begin with a single "/", as in "/mcp/ecs"'
  if (/[\x00-\x20\x7f-\x9f]/.test(path)) return 'must have no spaces or control characters'
  if (path.includes('\\')) return 'must have no backslash'
  if (path.includes('#')) return 'must have no "#"'
  if (way.includes('..') || way.split('/').includes('.')) return 'must have no ".." and no "."'
  if (DISGUISED.test(way)) return 'must have no encoded ".", "/" or backslash'
  return undefined
}
