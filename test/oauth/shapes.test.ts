/** Clients as they are in the field: how each registers or is documented, and where it sends its people back to. */
import { describe, expect, test } from 'bun:test'
import type { Client } from '../../src/auth/clients/client.ts'
import { allowsRedirect } from '../../src/auth/clients/redirects.ts'
import { registerClient } from '../../src/auth/clients/registration.ts'
import { documentAt } from '../../src/auth/metadata.ts'
import { form, ISSUER, surroundings } from './outside.ts'

const BOTH = ['authorization_code', 'refresh_token']
const CODE = { grant_types: BOTH, response_types: ['code'], token_endpoint_auth_method: 'none' }

interface Shape {
  name: string
  body: Record<string, unknown>
  /** Where it comes back to, some of them with a port that it did not register. */
  back: string[]
  /** Where nobody else may send its people. */
  never: string[]
}

const REGISTERING: Shape[] = [
  {
    name: 'Claude Code',
    body: {
      ...CODE,
      client_name: 'Claude Code (server)',
      redirect_uris: ['http://localhost:54545/callback'],
    },
    back: ['http://localhost:54545/callback', 'http://localhost:61000/callback'],
    never: ['http://localhost:54545/', 'http://127.0.0.1:54545/callback'],
  },
  {
    name: 'claude.ai',
    body: {
      ...CODE,
      client_name: 'Claude',
      client_uri: 'https://claude.ai',
      redirect_uris: ['https://claude.ai/api/mcp/auth_callback'],
      scope: 'mcp',
    },
    back: ['https://claude.ai/api/mcp/auth_callback'],
    never: [
      'https://claude.com/api/mcp/auth_callback',
      'https://claude.ai/api/mcp/auth_callback?x',
    ],
  },
  {
    name: 'claude.com',
    body: {
      ...CODE,
      client_name: 'Claude',
      redirect_uris: [
        'https://claude.ai/api/mcp/auth_callback',
        'https://claude.com/api/mcp/auth_callback',
      ],
      token_endpoint_auth_method: 'client_secret_post',
    },
    back: ['https://claude.com/api/mcp/auth_callback'],
    never: ['https://claude.com/other'],
  },
  {
    name: 'ChatGPT',
    body: {
      client_name: 'ChatGPT',
      redirect_uris: ['https://chatgpt.com/connector_platform_oauth_redirect'],
      grant_types: BOTH,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      logo_uri: 'https://persistent.oaistatic.com/sonic/misc/openai-logo.png',
    },
    back: ['https://chatgpt.com/connector_platform_oauth_redirect'],
    never: ['https://chatgpt.com/connector/oauth/x'],
  },
  {
    name: 'a connector of ChatGPT',
    body: {
      ...CODE,
      client_name: 'ChatGPT',
      redirect_uris: ['https://chatgpt.com/connector/oauth/aB3_-x'],
    },
    back: ['https://chatgpt.com/connector/oauth/aB3_-x'],
    never: ['https://chatgpt.com/connector/oauth/other'],
  },
  {
    name: 'Codex',
    body: {
      ...CODE,
      client_name: 'Codex',
      redirect_uris: ['http://127.0.0.1:40123/callback/Zm9vYmFyYmF6'],
    },
    back: [
      'http://127.0.0.1:40123/callback/Zm9vYmFyYmF6',
      'http://127.0.0.1:5/callback/Zm9vYmFyYmF6',
    ],
    never: ['http://127.0.0.1:40123/callback', 'http://127.0.0.1:40123/callback/other'],
  },
  {
    name: 'Cursor',
    body: {
      ...CODE,
      client_name: 'Cursor',
      redirect_uris: [
        'cursor://anysphere.cursor-mcp/oauth/callback',
        'https://www.cursor.com/agents/mcp/oauth/callback',
        'http://localhost:8787/callback',
      ],
    },
    back: [
      'cursor://anysphere.cursor-mcp/oauth/callback',
      'https://www.cursor.com/agents/mcp/oauth/callback',
      'http://localhost:8787/callback',
    ],
    never: ['cursor://other.extension/oauth/callback'],
  },
  {
    name: 'VS Code',
    body: {
      client_name: 'Visual Studio Code',
      client_uri: 'https://code.visualstudio.com',
      grant_types: [...BOTH, 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
      redirect_uris: [
        'https://insiders.vscode.dev/redirect',
        'https://vscode.dev/redirect',
        'http://127.0.0.1/',
        'http://127.0.0.1:33418/',
      ],
      scope: 'mcp',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
    },
    back: ['http://127.0.0.1:33418/', 'http://127.0.0.1:51234/', 'https://vscode.dev/redirect'],
    never: ['http://localhost:33418/', 'https://vscode.dev/'],
  },
  {
    name: 'Gemini CLI',
    body: {
      client_name: 'Gemini CLI MCP Client',
      redirect_uris: ['http://localhost:38475/oauth/callback'],
      grant_types: BOTH,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      scope: '',
    },
    back: ['http://localhost:7777/oauth/callback'],
    never: ['http://localhost:7777/callback'],
  },
  {
    name: 'opencode',
    body: {
      ...CODE,
      client_name: 'OpenCode',
      client_uri: 'https://opencode.ai',
      redirect_uris: ['http://127.0.0.1:19876/mcp/oauth/callback'],
    },
    back: ['http://127.0.0.1:19876/mcp/oauth/callback'],
    never: ['http://127.0.0.1:19876/oauth/callback'],
  },
  {
    name: 'Zed',
    body: { ...CODE, client_name: 'Zed', redirect_uris: ['http://127.0.0.1/callback'] },
    back: ['http://127.0.0.1:49152/callback'],
    never: ['http://[::1]:49152/callback'],
  },
  {
    name: 'Goose',
    body: {
      ...CODE,
      client_name: 'goose',
      redirect_uris: ['http://127.0.0.1:45678/oauth_callback'],
      application_type: 'native',
    },
    back: ['http://127.0.0.1:11111/oauth_callback'],
    never: ['http://127.0.0.1:11111/oauth/callback'],
  },
  {
    name: 'MCP Inspector',
    body: {
      ...CODE,
      client_name: 'MCP Inspector',
      client_uri: 'https://github.com/modelcontextprotocol/inspector',
      redirect_uris: [
        'http://localhost:6274/oauth/callback',
        'http://localhost:6274/oauth/callback/debug',
      ],
      scope: 'mcp',
    },
    back: ['http://localhost:6274/oauth/callback', 'http://localhost:6274/oauth/callback/debug'],
    never: ['http://127.0.0.1:6274/oauth/callback'],
  },
  {
    name: 'mcp-remote',
    body: {
      ...CODE,
      client_name: 'MCP CLI Proxy',
      client_uri: 'https://github.com/modelcontextprotocol/mcp-cli',
      software_id: '2e6dc280-f3c3-4e01-99a7-8181dbd1d23d',
      software_version: '0.1.37',
      redirect_uris: ['http://localhost:3334/oauth/callback'],
    },
    back: ['http://localhost:20145/oauth/callback'],
    never: ['https://localhost:3334/oauth/callback'],
  },
  {
    name: 'the SDK of 2026',
    body: {
      ...CODE,
      client_name: 'SDK',
      application_type: 'native',
      contacts: [],
      tos_uri: '',
      policy_uri: '',
      jwks_uri: '',
      software_statement: '',
      redirect_uris: ['http://[::1]:3000/callback'],
    },
    back: ['http://[::1]:4000/callback'],
    never: ['http://localhost:3000/callback'],
  },
]

describe('registers, comes back and gets its tokens as itself:', () => {
  test.each(REGISTERING)('$name', async ({ body, back, never }) => {
    const { clients } = surroundings()
    const request = new Request('http://localhost/oauth/register', {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
    const response = await registerClient(clients, request, '198.51.100.1')
    expect(response.status).toBe(201)
    const told = (await response.json()) as Record<string, string>
    expect(told).toMatchObject({
      client_name: body.client_name,
      redirect_uris: body.redirect_uris,
      grant_types: body.grant_types,
      response_types: ['code'],
      token_endpoint_auth_method: body.token_endpoint_auth_method,
    })
    const client = (await clients.find(told.client_id!))!
    expectPlaces(client, back, never)
    const fields = {
      client_id: told.client_id!,
      ...(told.client_secret && { client_secret: told.client_secret }),
    }
    const headers = new Headers()
    const come = { headers, form: form(fields), issuer: ISSUER }
    expect(await clients.authenticate(come)).toEqual(client)
  })
})

const DOCUMENTED: [id: string, back: string[], never: string[]][] = [
  [
    'https://claude.ai/oauth/claude-code-client-metadata',
    ['http://localhost:54545/callback', 'http://127.0.0.1:3118/callback'],
    ['https://claude.ai/api/mcp/auth_callback', 'http://localhost:54545/'],
  ],
  [
    'https://claude.ai/oauth/mcp-oauth-client-metadata',
    ['https://claude.ai/api/mcp/auth_callback'],
    ['http://localhost/callback', 'https://evil.example/api/mcp/auth_callback'],
  ],
  [
    'https://chatgpt.com/oauth/client.json',
    ['https://chatgpt.com/connector_platform_oauth_redirect'],
    ['https://chatgpt.com/connector/oauth/x', 'http://localhost/callback'],
  ],
  [
    'https://chatgpt.com/oauth/codex/client.json',
    ['http://127.0.0.1:1/callback', 'http://localhost:2/callback'],
    ['http://127.0.0.1:1/callback/Zm9vYmFyYmF6'],
  ],
  [
    'https://vscode.dev/oauth/client-metadata.json',
    ['http://127.0.0.1:33418/', 'http://127.0.0.1:50000/', 'https://vscode.dev/redirect'],
    ['https://insiders.vscode.dev/redirect'],
  ],
  [
    'https://zed.dev/oauth/client-metadata.json',
    ['http://127.0.0.1:9/callback'],
    ['http://localhost:9/callback'],
  ],
  [
    'https://opencode.ai/oauth/opencode/client.json',
    ['http://127.0.0.1:19876/callback', 'http://localhost:19876/callback'],
    ['http://127.0.0.1:19876/mcp/oauth/callback'],
  ],
]

describe('is known by its document:', () => {
  test.each(DOCUMENTED)('%s', async (id, back, never) => {
    const { clients } = surroundings()
    const client = (await clients.find(id))!
    expectPlaces(client, back, never)
    const come = { headers: new Headers(), form: form({ client_id: id }), issuer: ISSUER }
    expect(await clients.authenticate(come)).toEqual(client)
  })

  test('a connector of ChatGPT, with a document of its own', async () => {
    const { clients, internet } = surroundings()
    const id = 'https://chatgpt.com/oauth/cb_123/client.json'
    internet.publish(id, {
      client_id: id,
      client_uri: 'https://chatgpt.com/',
      redirect_uris: ['https://chatgpt.com/connector/oauth/cb_123'],
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
      token_endpoint_auth_signing_alg: 'RS256',
      grant_types: BOTH,
      response_types: ['code'],
      client_name: 'ChatGPT',
      logo_uri: 'https://persistent.oaistatic.com/sonic/misc/openai-logo.png',
      jwks_uri: 'https://chatgpt.com/oauth/jwks.json',
    })
    const client = (await clients.find(id))!
    expect(client).toMatchObject({ name: 'ChatGPT', authentication: 'private_key_jwt' })
    expectPlaces(
      client,
      ['https://chatgpt.com/connector/oauth/cb_123'],
      ['https://chatgpt.com/connector/oauth/x'],
    )
  })

  test('Claude, with a grant that we do not know', async () => {
    const { clients, internet } = surroundings()
    const id = 'https://claude.ai/oauth/mcp-oauth-client-metadata'
    internet.publish(id, {
      client_id: id,
      client_name: 'Claude',
      redirect_uris: ['https://claude.ai/api/mcp/auth_callback'],
      grant_types: [...BOTH, 'urn:ietf:params:oauth:grant-type:jwt-bearer'],
      token_endpoint_auth_method: 'none',
    })
    expect(await clients.find(id)).toMatchObject({ kind: 'document', grantTypes: BOTH })
  })
})

describe('finds what it looks for in our documents:', () => {
  const ways = { registration: true, clientDocuments: true }
  const at = (path: string) =>
    documentAt(`/.well-known/${path}`, ISSUER, ways) as Record<string, unknown>
  const server = at('oauth-authorization-server')
  const list = (name: string) => server[name] as string[]

  test('everybody PKCE, or they must stop', () => {
    expect(list('code_challenge_methods_supported')).toContain('S256')
    expect(at('openid-configuration')).toMatchObject(server)
  })

  test('the SDKs and ChatGPT an issuer that is the same bytes everywhere', () => {
    expect(server.issuer).toBe('https://mcp.example.com')
    expect(at('oauth-protected-resource/mcp').authorization_servers).toEqual([server.issuer])
  })

  test('Claude that it may come by its document, without a secret', () => {
    expect(server.client_id_metadata_document_supported).toBe(true)
    expect(list('token_endpoint_auth_methods_supported')).toContain('none')
  })

  test('ChatGPT that answers name their issuer, and that it may prove itself with its key', () => {
    expect(server.authorization_response_iss_parameter_supported).toBe(true)
    expect(list('token_endpoint_auth_methods_supported')).toContain('private_key_jwt')
    expect(list('token_endpoint_auth_signing_alg_values_supported')).toContain('RS256')
  })

  test('Cursor, VS Code, Gemini CLI, opencode and mcp-remote where to register', () => {
    expect(server.registration_endpoint).toBe('https://mcp.example.com/oauth/register')
    expect(server.token_endpoint).toBe('https://mcp.example.com/oauth/token')
  })

  test('Cursor and Gemini CLI, who ask for all scopes there are, none too many', () => {
    expect(list('scopes_supported')).toEqual(['mcp'])
    expect(at('oauth-protected-resource/mcp').scopes_supported).toEqual(['mcp'])
  })

  test.each(['/mcp', '/sse', '/files/mcp', '/files/sse'])(
    'Claude and Gemini CLI the very URL that was typed, for %s',
    (path) => {
      const { resource } = at(`oauth-protected-resource${path}`)
      expect(resource).toBe(`https://mcp.example.com${path}`)
    },
  )

  test('VS Code and Zed the document of the whole gateway, without a slash', () => {
    expect(at('oauth-protected-resource').resource).toBe('https://mcp.example.com')
  })
})

function expectPlaces(client: Client, back: string[], never: string[]): void {
  for (const uri of back) expect([uri, allowsRedirect(client, uri)]).toEqual([uri, true])
  for (const uri of never) expect([uri, allowsRedirect(client, uri)]).toEqual([uri, false])
}
