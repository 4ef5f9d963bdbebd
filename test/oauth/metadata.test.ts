/** The documents by which clients find out how to log in, and the challenges that lead to them. */
import { describe, expect, test } from 'bun:test'
import { challenge, withMetadata } from '../../src/auth/challenge.ts'
import { documentAt, metadataURL, publish } from '../../src/auth/metadata.ts'
import { GatewayError } from '../../src/errors.ts'
import { issuerAt } from './approvals.ts'

const ways = { registration: true, clientDocuments: true }
const plain = issuerAt('https://mcp.example.com')
const below = issuerAt('https://mcp.example.com/gw')
type Document = Record<string, unknown> | undefined
const at = (path: string, issuer = plain, some = ways) =>
  documentAt(`/.well-known/${path}`, issuer, some) as Document

describe('the authorization server', () => {
  test('says of itself what strict clients look for', () => {
    expect(at('oauth-authorization-server')).toEqual({
      issuer: 'https://mcp.example.com',
      authorization_endpoint: 'https://mcp.example.com/oauth/authorize',
      token_endpoint: 'https://mcp.example.com/oauth/token',
      revocation_endpoint: 'https://mcp.example.com/oauth/revoke',
      introspection_endpoint: 'https://mcp.example.com/oauth/introspect',
      device_authorization_endpoint: 'https://mcp.example.com/oauth/device_authorization',
      registration_endpoint: 'https://mcp.example.com/oauth/register',
      scopes_supported: ['mcp'],
      response_types_supported: ['code'],
      response_modes_supported: ['query'],
      grant_types_supported: [
        'authorization_code',
        'refresh_token',
        'urn:ietf:params:oauth:grant-type:device_code',
      ],
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: [
        'none',
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
      ],
      token_endpoint_auth_signing_alg_values_supported: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      revocation_endpoint_auth_methods_supported: [
        'none',
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
      ],
      revocation_endpoint_auth_signing_alg_values_supported: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      authorization_response_iss_parameter_supported: true,
      client_id_metadata_document_supported: true,
    })
  })

  test('is said by its OpenID alias to be the same, and what parsers of OpenID insist on', () => {
    const { jwks_uri, subject_types_supported, id_token_signing_alg_values_supported, ...same } =
      at('openid-configuration')!
    expect(same).toEqual(at('oauth-authorization-server')!)
    expect(subject_types_supported).toEqual(['public'])
    expect(id_token_signing_alg_values_supported).toEqual(['RS256'])
    const { pathname } = new URL(jwks_uri as string)
    expect(documentAt(pathname, plain, ways)).toEqual({ keys: [] })
  })

  test.each([
    ['https://mcp.example.com', 'https://mcp.example.com/oauth/token'],
    ['https://mcp.example.com/', 'https://mcp.example.com/oauth/token'],
    ['https://mcp.example.com/gw/', 'https://mcp.example.com/gw/oauth/token'],
  ])('is issuer %s to the byte, and its endpoints have no double slash', (baseURL, token) => {
    const document = at('oauth-authorization-server', issuerAt(baseURL))
    expect(document).toMatchObject({ issuer: baseURL, token_endpoint: token })
    expect(JSON.stringify(document)).not.toMatch(/[^:]\/\//)
  })

  test('offers no registration and no documents where there are none', () => {
    const none = { registration: false, clientDocuments: false }
    const document = at('oauth-authorization-server', plain, none)!
    expect(document).not.toHaveProperty('registration_endpoint')
    expect(document.client_id_metadata_document_supported).toBe(false)
  })

  test.each([
    ['oauth-authorization-server', true],
    ['oauth-authorization-server/', true],
    ['oauth-authorization-server/gw', true],
    ['openid-configuration', true],
    ['openid-configuration/gw', true],
    ['oauth-authorization-server/other', false],
    ['oauth-authorization-server/gw/files', false],
    ['oauth-authorization-server/gwx', false],
    ['openid-configuration/mcp', false],
    ['oauth-authorization-serverx', false],
    ['something', false],
  ])('below a path is at %s: %p', (path, isThere) => {
    expect(at(path, below)?.issuer).toBe(isThere ? 'https://mcp.example.com/gw' : undefined)
  })
})

describe('a protected resource', () => {
  test.each([
    ['oauth-protected-resource', '', 'https://mcp.example.com'],
    ['oauth-protected-resource/mcp', '', 'https://mcp.example.com/mcp'],
    ['oauth-protected-resource/sse', '', 'https://mcp.example.com/sse'],
    ['oauth-protected-resource/files/mcp', '', 'https://mcp.example.com/files/mcp'],
    ['oauth-protected-resource/files/sse', '', 'https://mcp.example.com/files/sse'],
    ['oauth-protected-resource/a%20b/mcp', '', 'https://mcp.example.com/a%20b/mcp'],
    ['oauth-protected-resource', '/gw', 'https://mcp.example.com/gw'],
    ['oauth-protected-resource/gw', '/gw', 'https://mcp.example.com/gw'],
    ['oauth-protected-resource/gw/mcp', '/gw', 'https://mcp.example.com/gw/mcp'],
    ['oauth-protected-resource/gw/files/mcp', '/gw', 'https://mcp.example.com/gw/files/mcp'],
    ['oauth-protected-resource/files/mcp', '/gw', 'https://mcp.example.com/gw/files/mcp'],
  ])('%s below %j is exactly the URL that was typed', (path, base, resource) => {
    const issuer = base ? below : plain
    expect(at(path, issuer)).toEqual({
      resource,
      authorization_servers: [issuer.id],
      scopes_supported: ['mcp'],
      bearer_methods_supported: ['header'],
      resource_name: 'mcp-gateway',
    })
  })

  test.each(['files', 'files/token/mcp', 'files/messages', '/mcp', 'mcp/mcp/mcp'])(
    'is not at oauth-protected-resource/%s',
    (path) => {
      expect(at(`oauth-protected-resource/${path}`)).toBeUndefined()
    },
  )

  test('is where its challenge leads', () => {
    for (const issuer of [plain, below]) {
      for (const [endpoint, kind] of [
        ['', 'mcp'],
        ['files', 'sse'],
        ['a b', 'mcp'],
      ] as const) {
        const url = metadataURL(issuer, endpoint, kind)
        const path = new URL(url).pathname.slice(issuer.path.length)
        const name = endpoint && `/${encodeURIComponent(endpoint)}`
        expect(documentAt(path, issuer, ways)).toMatchObject({
          resource: issuer.at(`${name}/${kind}`),
        })
      }
      expect(new URL(metadataURL(issuer, '')).pathname).toEndWith('/oauth-protected-resource')
    }
  })

  test('may be kept for five minutes by whoever reads it', () => {
    const { headers, status } = publish(at('oauth-protected-resource')!)
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('public, max-age=300')
    expect(headers.get('content-type')).toMatch(/^application\/json/)
  })
})

describe('a challenge', () => {
  test.each([
    [{}, 'Bearer'],
    [{ scope: 'mcp' }, 'Bearer scope="mcp"'],
    [
      { error: 'invalid_token', error_description: 'no "such" \\ token' } as const,
      'Bearer error="invalid_token", error_description="no \\"such\\" \\\\ token"',
    ],
    [
      { resource_metadata: 'https://a.example/\r\nX: y' },
      'Bearer resource_metadata="https://a.example/X: y"',
    ],
  ])('%j', (parameters, expected) => {
    expect(challenge(parameters)).toBe(expected)
  })

  const url = 'https://mcp.example.com/.well-known/oauth-protected-resource/mcp'
  const refused = (header?: string) =>
    new GatewayError('unauthorized', 'no', {
      hint: 'do',
      ...(header && { headers: { 'www-authenticate': header, 'x-other': '1' } }),
    })

  test.each([
    ['Bearer', `Bearer resource_metadata="${url}"`],
    ['Bearer error="invalid_token"', `Bearer error="invalid_token", resource_metadata="${url}"`],
  ])('%s is led to the document, and the error stays what it was', (bare, expected) => {
    const { code, message, hint, headers } = withMetadata(refused(bare), url)
    expect({ code, message, hint }).toEqual({ code: 'unauthorized', message: 'no', hint: 'do' })
    expect(headers).toEqual({ 'www-authenticate': expected, 'x-other': '1' })
  })

  test('is not made where there was none', () => {
    for (const error of [refused(), refused('Basic realm="a"')]) {
      expect(withMetadata(error, url)).toBe(error)
    }
  })
})
