/**
 * A stdio MCP server that writes its bytes itself, for what no SDK can be made to say: numbers
 * beyond a double, unknown members, lines that are not JSON, answers nobody asked for.
 *
 * The tool called decides what is written. Unless its comment says otherwise, a tool ends with an
 * honest answer, so that a test has something to wait for.
 */

import { writeSync } from 'node:fs'

/** The result of `tools/list`, byte for byte. */
export const TOOLS_LIST = `{"tools":[
{"name":"lossless","inputSchema":{"type":"object"},"x-foo": {"a":1.0}},
{"name":"hijack","inputSchema":{"type":"object","properties":{"variant":{"type":"string"}}}},
{"name":"noise","inputSchema":{"type":"object"}},
{"name":"crlf","inputSchema":{"type":"object"}},
{"name":"split","inputSchema":{"type":"object"}},
{"name":"big","inputSchema":{"type":"object","properties":{"bytes":{"type":"integer"}}}},
{"name":"late","inputSchema":{"type":"object"}},
{"name":"twice","inputSchema":{"type":"object"}},
{"name":"wrong_id","inputSchema":{"type":"object"}},
{"name":"ignore_term","inputSchema":{"type":"object"}},
{"name":"grandchild","inputSchema":{"type":"object"}},
{"name":"hang","inputSchema":{"type":"object"}},
{"name":"slow","inputSchema":{"type":"object","properties":{"ms":{"type":"integer"}}}},
{"name":"ask_late","inputSchema":{"type":"object"}},
{"name":"echo","inputSchema":{"type":"object"}},
{"name":"pid","inputSchema":{"type":"object"}}]}`.replaceAll('\n', '')

/** The result of the tool `lossless`, byte for byte. */
export const LOSSLESS = String.raw`{"content":[{"type":"x-unknown","value":1.0,"big":9007199254740993},{"type":"text","text":"\u0041\ud83d"}],"x-extra":1e400,"__proto__":{"a":1}}`

interface Request {
  /** A gateway numbers its requests; `hijack` counts on it. */
  id: number
  method: string
  params?: {
    name?: string
    arguments?: Record<string, unknown>
    requestId?: number
    protocolVersion?: string
  }
}

type Tool = (id: number, args: Record<string, unknown>, line: string) => void | Promise<void>

const write = (text: string) => process.stdout.write(text)
const line = (id: number, result: string) => `{"jsonrpc":"2.0","id":${id},"result":${result}}`
const text = (text: string) => `{"content":[{"type":"text","text":${JSON.stringify(text)}}]}`
const initialized = (version = '2025-11-25') =>
  `{"protocolVersion":"${version}","capabilities":{"tools":{}},"serverInfo":{"name":"raw","version":"1"}}`
const answer = (id: number, result: string) => write(`${line(id, result)}\n`)

/** Lines that answer one request and try to answer the next one too, or are not JSON at all. */
const HIJACKS: Record<string, (id: number) => string> = {
  'duplicate-members': (id) =>
    `{"jsonrpc":"2.0","id":${id},"result":{},"result":{},"id":${id + 1}}`,
  'duplicate-id': (id) => `{"jsonrpc":"2.0","id":${id},"result":{},"id":${id + 1}}`,
  'early-close': (id) => `{"jsonrpc":"2.0","id":${id},"result":{}},"id":${id + 1}}`,
  'two-values': (id) => `${line(id, '{}')} ${line(id + 1, '{}')}`,
  'bad-literal': (id) => line(id, '{"content":nul}'),
  'raw-control': (id) => line(id, '{"content":[{"type":"text","text":"a\tb"}]}'),
}

/** The id of the only question that this server asks. */
const QUESTION = -1

const onCancelled = new Map<number | undefined, () => void>()

const TOOLS: Record<string, Tool> = {
  lossless: (id) => void answer(id, LOSSLESS),
  hijack(id, { variant = 'duplicate-members' }) {
    write(`${HIJACKS[String(variant)]!(id)}\n`)
    answer(id, text('honest'))
  },
  noise(id) {
    write('Server listening on stdio\n\n{oops\n[]]\n')
    answer(id, text('after the noise'))
  },
  crlf: (id) => void write(`${line(id, text('crlf'))}\r\n`),
  async split(id) {
    const whole = `${line(id, text('in three parts'))}\n`
    for (const part of [whole.slice(0, 20), whole.slice(20, 40), whole.slice(40)]) {
      write(part)
      await new Promise(setImmediate)
    }
  },
  big: (id, { bytes }) => void answer(id, text('x'.repeat(Number(bytes)))),
  /** Answers only once it was cancelled. */
  late: (id) => void onCancelled.set(id, () => answer(id, text('too late'))),
  twice(id) {
    answer(id, text('first'))
    answer(id, text('second'))
  },
  wrong_id(id) {
    answer(id + 2 ** 31, text('nobody asked'))
    answer(id, text('right'))
  },
  /** From now on only SIGKILL ends this process. */
  ignore_term(id) {
    process.on('SIGTERM', () => {})
    setInterval(() => {}, 2 ** 30)
    answer(id, text('staying'))
  },
  /** The grandchild keeps our stdout open, as the server behind an `npx` does. */
  grandchild(id) {
    const child = Bun.spawn(['sleep', '1000'], { stdio: ['ignore', 'inherit', 'ignore'] })
    child.unref()
    answer(id, text(String(child.pid)))
  },
  /** Says so on stderr, and never does anything again. */
  hang() {
    writeSync(2, 'hanging\n')
    for (;;);
  },
  slow: (id, { ms }) => void setTimeout(() => answer(id, text('slow')), Number(ms)),
  /** Asks something when it gets SIGUSR2, and writes on stderr what it is answered. */
  ask_late(id) {
    const question = { jsonrpc: '2.0', id: QUESTION, method: 'roots/list' }
    process.on('SIGUSR2', () => write(`${JSON.stringify(question)}\n`))
    answer(id, text('waiting'))
  },
  pid: (id) => void answer(id, text(String(process.pid))),
  /** Answers the line it was asked with. */
  echo: (id, _, line) => void answer(id, text(line)),
}

async function serve() {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of Bun.stdin.stream()) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    // One after the other, so that nothing comes between the parts of a split answer.
    for (const line of lines) await handle(line)
  }
}

async function handle(line: string) {
  const { id, method, params = {} }: Request = JSON.parse(line)
  const tool = TOOLS[params.name ?? '']
  if (method === 'notifications/cancelled') onCancelled.get(params.requestId)?.()
  else if (id === undefined) return
  else if (id === QUESTION) writeSync(2, `${line}\n`)
  else if (method === 'initialize') answer(id, initialized(params.protocolVersion))
  else if (method === 'ping') answer(id, '{}')
  else if (method === 'tools/list') answer(id, TOOLS_LIST)
  else if (method === 'tools/call' && tool) await tool(id, params.arguments ?? {}, line)
  else write(`{"jsonrpc":"2.0","id":${id},"error":{"code":-32601,"message":"Method not found"}}\n`)
}

if (import.meta.main) await serve()
