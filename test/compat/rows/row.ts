/** What becomes of a key, and an input that proves it. */
export interface Row {
  /** One key, or several that share a fate. */
  key: string
  /** `kept`, `changed because …` or `refused because …`; kept means without a word. */
  is: string
  written: unknown
  env?: Record<string, string>
  /** What is in our words, among other things. */
  becomes?: Record<string, unknown>
  /** What the server `a` does not have. */
  lacks?: string
  warning?: RegExp
  fault?: RegExp
}

export const REMOTE = { url: 'https://a.example/mcp' }
export const COMMAND = { command: 'uvx', inheritEnv: true }

/** The server that most rows have. */
export const a = (becomes: object) => ({ mcpServers: { a: becomes } })
