/** What clients need around them: a configuration, a store, and an internet of a few pages. */
import * as v from 'valibot'
import type { Network } from '../../src/auth/clients/public-fetch.ts'
import { Clients } from '../../src/auth/clients.ts'
import { Issuer } from '../../src/auth/issuer.ts'
import { type Config, ConfigSchema } from '../../src/config/schema.ts'
import { MemoryStore } from '../support/memory-store.ts'

export const PUBLIC_ADDRESS = '93.184.215.14'

/** @param oauth null for no logins. */
export function configOf(oauth: object | null = {}, gateway: object = {}): Config {
  return v.parse(ConfigSchema, {
    gateway: { baseURL: 'https://mcp.example.com', host: '0.0.0.0', ...gateway },
    auth: oauth ? { oauth } : {},
    mcpServers: {},
  })
}

export const ISSUER = Issuer.of(new Request('http://localhost/'), configOf())

/** Names, pages and how often they were asked for. */
export class Internet implements Network {
  readonly addresses = new Map<string, string[]>()
  readonly pages = new Map<string, () => Response | Promise<Response>>()
  readonly asked: string[] = []

  /** @param headers besides the type. */
  publish(url: string, json: unknown, headers: Record<string, string> = {}): void {
    this.pages.set(url, () => Response.json(json, { headers }))
  }

  async resolve(host: string): Promise<string[]> {
    return this.addresses.get(host) ?? [PUBLIC_ADDRESS]
  }

  async connect(url: URL, address: string): Promise<Response> {
    this.asked.push(`${url} at ${address}`)
    const page = this.pages.get(url.href)
    if (!page) throw new Error('nobody listens')
    return page()
  }
}

export interface Surroundings {
  clients: Clients
  store: MemoryStore
  internet: Internet
  notes: string[]
  /** What the configuration becomes. */
  configure(oauth: object | null, gateway?: object): void
}

export function surroundings(oauth: object = {}, gateway: object = {}): Surroundings {
  const store = new MemoryStore()
  const internet = new Internet()
  const notes: string[] = []
  let config = configOf(oauth, gateway)
  const onNote = (text: string) => void notes.push(text)
  const clients = new Clients({ store, config: () => config, onNote, network: internet })
  return {
    clients,
    store,
    internet,
    notes,
    configure: (next, around = gateway) => {
      config = configOf(next, around)
    },
  }
}

/** The parameters of a request. */
export function form(fields: Record<string, string>): URLSearchParams {
  return new URLSearchParams(fields)
}

export const HERE = { address: '192.0.2.1' }
