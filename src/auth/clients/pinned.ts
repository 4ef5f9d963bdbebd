/**
 * What the documents of well-known clients say, for when they cannot be fetched: some answer to clouds with 403, and some
 * gateways reach nothing outside. Only the very same URL is meant: other documents may stand on the same host.
 */

const CODE = { grant_types: ['authorization_code', 'refresh_token'] }
const LOOPBACK = ['http://127.0.0.1/callback', 'http://localhost/callback']

const DOCUMENTS = [
  {
    client_id: 'https://claude.ai/oauth/claude-code-client-metadata',
    client_name: 'Claude Code',
    redirect_uris: ['http://localhost/callback', 'http://127.0.0.1/callback'],
    token_endpoint_auth_method: 'none',
  },
  {
    client_id: 'https://claude.ai/oauth/mcp-oauth-client-metadata',
    client_name: 'Claude',
    redirect_uris: ['https://claude.ai/api/mcp/auth_callback'],
    token_endpoint_auth_method: 'none',
  },
  {
    client_id: 'https://chatgpt.com/oauth/client.json',
    client_name: 'ChatGPT',
    redirect_uris: ['https://chatgpt.com/connector_platform_oauth_redirect'],
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
    jwks_uri: 'https://chatgpt.com/oauth/jwks.json',
  },
  {
    client_id: 'https://chatgpt.com/oauth/codex/client.json',
    client_name: 'Codex',
    redirect_uris: LOOPBACK,
    token_endpoint_auth_method: 'none',
  },
  {
    client_id: 'https://vscode.dev/oauth/client-metadata.json',
    client_name: 'Visual Studio Code',
    redirect_uris: ['http://127.0.0.1:33418/', 'https://vscode.dev/redirect'],
    token_endpoint_auth_method: 'none',
  },
  {
    client_id: 'https://zed.dev/oauth/client-metadata.json',
    client_name: 'Zed',
    redirect_uris: ['http://127.0.0.1/callback'],
    token_endpoint_auth_method: 'none',
  },
  {
    client_id: 'https://opencode.ai/oauth/opencode/client.json',
    client_name: 'OpenCode',
    redirect_uris: LOOPBACK,
    token_endpoint_auth_method: 'none',
  },
]

/** By the URLs where they stand. */
export const PINNED: ReadonlyMap<string, unknown> = new Map(
  DOCUMENTS.map((document) => [document.client_id, { ...CODE, ...document }]),
)
