/** Our pages behind a real port, with clients and codes that only these tests know. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import type { Client } from '../../src/auth/clients/client.ts'
import { Browsers } from '../../src/auth/dialog/browser.ts'
import { Consents } from '../../src/auth/dialog/consents.ts'
import { Forms } from '../../src/auth/dialog/forms.ts'
import { Login } from '../../src/auth/dialog/login.ts'
import { Pages } from '../../src/auth/dialog/pages.ts'
import { Dialog } from '../../src/auth/dialog.ts'
import type { Approval, Binding } from '../../src/auth/grants.ts'
import { Issuer } from '../../src/auth/issuer.ts'
import { People, type Verify } from '../../src/auth/people.ts'
import { type Config, ConfigSchema } from '../../src/config/schema.ts'
import type { GatewayEvent } from '../../src/events.ts'
import { Seal } from '../../src/store/seal.ts'
import { SqliteStore } from '../../src/store/sqlite.ts'

export type Written = v.InferInput<typeof ConfigSchema>

const public_ = { authentication: 'none', grantTypes: ['authorization_code'] } as const

export const CLIENTS: Record<string, Client> = Object.fromEntries(
  (
    [
      ['web', 'Web', 'registered', ['https://app.example/callback']],
      ['two', 'Two', 'registered', ['https://app.example/a', 'https://app.example/b']],
      ['local', 'Local', 'registered', ['http://localhost/callback']],
      ['app', 'App', 'registered', ['cursor://anysphere.cursor/callback']],
      ['stranger', 'stranger', 'unverified', ['http://127.0.0.1/callback']],
      ['evil', '<script>alert(1)</script>"\'{{.Name}}', 'registered', ['https://app.example/x']],
      ['https://doc.example/c.json', 'Doc', 'document', ['https://doc.example/callback']],
      ['config', 'Configured', 'configured', ['https://cfg.example/callback?keep=1']],
    ] as const
  ).map(([id, name, kind, redirectURIs]) => [id, { id, name, kind, redirectURIs, ...public_ }]),
)

export const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
export const PASSWORD = 'correct horse'

export function configOf(written: Partial<Written> = {}): Config {
  return v.parse(ConfigSchema, {
    mcpServers: { files: { url: 'https://m.example/' }, web: { url: 'https://m.example/' } },
    groups: { both: ['files', 'web'] },
    auth: {
      oauth: {
        users: {
          alice: PASSWORD,
          root: { password: PASSWORD, admin: true },
          bob: { password: PASSWORD, servers: ['web'] },
        },
      },
    },
    ...written,
  })
}

export interface DialogServer extends AsyncDisposable {
  url: string
  config: Config
  /** Moves forward as tests say. */
  clock: { now: number }
  templates: string
  approvals: (Approval & Binding)[]
  devices: Map<string, string>
  events: GatewayEvent[]
  notes: string[]
  verified: string[]
}

/** @param options.verify stands for the hash, which takes its time. */
export async function dialogServer(
  options: { written?: Partial<Written>; verify?: Verify } = {},
): Promise<DialogServer> {
  const directory = mkdtempSync(join(tmpdir(), 'dialog-'))
  const store = new SqliteStore(join(directory, 'data'))
  const clock = { now: Date.now() }
  const now = () => clock.now
  const events: GatewayEvent[] = []
  const notes: string[] = []
  const verified: string[] = []
  const approvals: (Approval & Binding)[] = []
  const devices = new Map<string, string>()
  const state = { config: configOf(options.written) }
  const config = () => state.config
  const observe = (event: GatewayEvent) => void events.push(event)
  const templates = join(directory, 'templates')
  const pages = new Pages(
    () => templates,
    (text) => void notes.push(text),
  )
  const people = new People(config, now, async (password, hash) => {
    verified.push(hash)
    return (await options.verify?.(password, hash)) ?? false
  })
  const forms = new Forms(new Seal(join(directory, 'data'), {}), now)
  const login = new Login(people, pages, forms, observe)
  const dialog = new Dialog({
    ...{ config, now, pages, forms, login, observe },
    browsers: new Browsers(store, people, now),
    consents: new Consents(store, now),
    clients: { find: async (id) => CLIENTS[id] },
    grants: {
      async approve(approval) {
        approvals.push(approval)
        return `code-${approvals.length}`
      },
    },
    devices: {
      async pending(code) {
        const client = { id: 'tv', name: 'TV <b>' }
        return devices.get(code) === 'waiting'
          ? { client, scopes: ['mcp', 'admin'], endpoint: '*' }
          : undefined
      },
      async approve(code, { name }) {
        const isWaiting = devices.get(code) === 'waiting'
        if (isWaiting) devices.set(code, `approved by ${name}`)
        return isWaiting
      },
      async deny(code) {
        const isWaiting = devices.get(code) === 'waiting'
        if (isWaiting) devices.set(code, 'denied')
        return isWaiting
      },
    },
  })
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url)
      const from = { issuer: Issuer.of(request, state.config), address: '192.0.2.1' }
      if (request.method === 'POST') return dialog.submit(request, from)
      return pathname.endsWith('/device')
        ? dialog.device(request, from)
        : dialog.authorize(request, from)
    },
  })
  return {
    url: server.url.origin,
    ...{ clock, templates, approvals, devices, events, notes, verified },
    get config() {
      return state.config
    },
    set config(next) {
      state.config = next
    },
    async [Symbol.asyncDispose]() {
      await server.stop(true)
      await store.close()
    },
  }
}
