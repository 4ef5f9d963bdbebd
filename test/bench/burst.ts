/** One call that reports its progress as fast as it can, and what is said meanwhile. */

export interface Burst {
  /** How many notifications come before the answer. */
  events: number
}

export const burstTool = 'burst'

export function burstCall(id: number, events: number) {
  const params = { _meta: { progressToken: id }, name: burstTool, arguments: { events } }
  return { jsonrpc: '2.0', id, method: 'tools/call', params }
}

/** The member order of the TypeScript SDK. */
export function progressText(token: unknown, progress: number, total: number): string {
  const params = { progressToken: token, progress, total, message: 'src/upstream/pool.ts' }
  return `{"method":"notifications/progress","params":${JSON.stringify(params)},"jsonrpc":"2.0"}`
}

export function burstResult({ events }: Burst): object {
  return { content: [{ type: 'text', text: `${events} events` }] }
}
