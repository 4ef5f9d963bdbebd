/**
 * An MCP server with everything there is up to 2025-11-25: every feature the official conformance
 * suites ask for, and the tools by which our own tests steer it.
 *
 *     bun everything.ts                 speaks stdio
 *     bun everything.ts --http [port]   speaks Streamable HTTP with sessions, replay and Host/Origin checks
 *     bun everything.ts --sse [port]    speaks HTTP+SSE of 2024-11-05
 *       --name NAME                     what it is called, so that several can be told apart
 *       --page-size N                   how many entries a page of a list has; otherwise all
 *
 * The latter two print `listening URL`. Only `last_cancelled` is remembered for the whole process; the rest lives as
 * long as a session.
 */

import { parseArgs } from 'node:util'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { serveHttp, serveSse } from './everything/listen.ts'
import { everything } from './everything/session.ts'

const { values, positionals } = parseArgs({
  options: {
    http: { type: 'boolean' },
    sse: { type: 'boolean' },
    name: { type: 'string', default: 'everything' },
    'page-size': { type: 'string', default: 'Infinity' },
  },
  allowPositionals: true,
})
const port = Number(positionals[0] ?? 0)
const open = () => everything(values.name, Number(values['page-size']))

if (values.http) {
  console.log(`listening ${serveHttp(open, port)}`)
} else if (values.sse) {
  console.log(`listening ${serveSse(open, port)}`)
} else {
  const server = open()
  // Otherwise a question to a client that is gone keeps the process until it times out.
  process.stdin.on('end', () => server.close())
  await server.connect(new StdioServerTransport())
}
