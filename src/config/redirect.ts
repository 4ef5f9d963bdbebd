/** What a URI to which people are sent back may look like at all, whoever names it. */

const LONGEST = 2048

/** They run what is written in them, or open what is not ours to open. */
const DANGEROUS = [
  'about:',
  'blob:',
  'chrome:',
  'data:',
  'file:',
  'filesystem:',
  'ftp:',
  'intent:',
  'javascript:',
  'mailto:',
  'ms-msdt:',
  'search-ms:',
  'ssh:',
  'tel:',
  'vbscript:',
  'view-source:',
  'ws:',
  'wss:',
]

/** `https:`, or a private one such as `cursor:`; nothing in lower case is anything else. */
export function isScheme(text: string): boolean {
  return /^[a-z][a-z\d+.-]{0,62}:$/.test(text) && !DANGEROUS.includes(text)
}

/**
 * Why it may not be one; undefined if it may.
 *
 * It must be written as URL parsers write it. So whoever reads it sees the same host and path as we do: no upper case, dot
 * segments, numbers for addresses, backslashes, line breaks or letters of other scripts that are something else to others.
 */
export function redirectFault(text: string): string | undefined {
  if (text.length > LONGEST) return `has more than ${LONGEST} characters`
  if (!/^[\x21-\x7e]+$/.test(text)) return 'has a space, a control character, or one beyond ASCII'
  if (/[\\<>"`{|}^]/.test(text)) return 'has a character that must be percent-encoded'
  const url = URL.parse(text)
  if (!url) return 'is not an absolute URI'
  if (!isScheme(url.protocol)) return `${url.protocol.slice(0, 63)} is not for this`
  if (text.includes('#')) return 'has a fragment'
  if (url.username || url.password || /^[^:]+:\/*[^/?]*@/.test(text))
    return 'has a user or password'
  if (text.includes('*')) return 'has a wildcard'
  // Parsers add only the path that was left out.
  if (url.href !== text && !(url.pathname === '/' && url.href === `${text}/`))
    return `is another one as parsers read it: ${url.href}`
  if (/\.$/.test(url.hostname)) return 'has a host name that ends with a dot'
  if (/^[^?]*%(?:2e|2f|5c|00)/i.test(text)) return 'has an encoded dot, slash, backslash or NUL'
  return undefined
}
