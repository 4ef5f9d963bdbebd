/**
 * What is asked over and over, and the one right answer to it. Plain data, which can be sent to another process.
 */
import { merged, toolsOf } from './catalog.ts'
import { type Call, resultOf } from './result.ts'

export interface Question {
  /** In the tables. */
  title: string
  /** The request, with `idPlace` where its id belongs. */
  text: string
  result: object
}

/** As long as the ids that wrk counts, see `load.lua`. */
export const idPlace = '999999999'

export function calling(call: Call): Question {
  const params = {
    name: 'read',
    arguments: { path: '/home/dev/project/src/upstream/pool.ts', ...call },
  }
  return {
    title: sizeText(call),
    text: requestText('tools/call', params),
    result: resultOf(call),
  }
}

/** All tools of all servers, where those are merged. */
export function listing(): Question {
  const tools = merged.servers.flatMap((server) =>
    toolsOf('read', merged.tools).map((tool) => ({ ...tool, name: `${server}_${tool.name}` })),
  )
  const size = Math.round(JSON.stringify({ tools }).length / 1024)
  return {
    title: `${tools.length} tools, ${size} KB`,
    text: requestText('tools/list', {}),
    result: { tools },
  }
}

function requestText(method: string, params: object): string {
  return `{"jsonrpc":"2.0","id":${idPlace},"method":"${method}","params":${JSON.stringify(params)}}`
}

function sizeText({ shape, bytes }: Call): string {
  if (bytes < 1024) return `${bytes} B`
  const size = bytes < 2 ** 20 ? `${bytes / 1024} KB` : `${bytes / 2 ** 20} MB`
  return `${size} ${shape}`
}
