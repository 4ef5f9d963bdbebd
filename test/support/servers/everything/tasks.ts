/**
 * The tasks of one session, by hand: the SDK's own are looked after by polling, and cancel without a word.
 *
 * The client is told when a task ends. Tasks are kept as long as the session, whatever their `ttl`.
 *
 * @see [Tasks, 2025-11-25](https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks)
 */

import * as mcp from '@modelcontextprotocol/sdk/types.js'

type Work = (taskId: string, signal: AbortSignal) => Promise<mcp.CallToolResult>

interface Entry {
  task: mcp.Task
  outcome: Promise<mcp.CallToolResult>
  stop: AbortController
}

export class Tasks {
  #entries = new Map<string, Entry>()
  #onChange: (task: mcp.Task) => Promise<void>

  constructor(onChange: (task: mcp.Task) => Promise<void>) {
    this.#onChange = onChange
  }

  start(ttl: number | null, work: Work): mcp.Task {
    const taskId = crypto.randomUUID()
    const stop = new AbortController()
    const outcome = work(taskId, stop.signal).then(async (result) => {
      if (stop.signal.aborted) throw invalid(`Task was cancelled: ${taskId}`)
      await this.#end(taskId, result.isError ? 'failed' : 'completed')
      return result
    })
    // Nobody has to ask for it.
    outcome.catch(() => {})
    const createdAt = new Date().toISOString()
    const times = { createdAt, lastUpdatedAt: createdAt, pollInterval: 50, ttl }
    const task: mcp.Task = { taskId, status: 'working', ...times }
    this.#entries.set(taskId, { task, outcome, stop })
    return task
  }

  list(): mcp.Task[] {
    return [...this.#entries.values()].map(({ task }) => task)
  }

  get(taskId: string): mcp.Task {
    return this.#entry(taskId).task
  }

  /** Waits for the end of the task. */
  async result(taskId: string): Promise<mcp.CallToolResult> {
    const result = await this.#entry(taskId).outcome
    const _meta = { ...result._meta, [mcp.RELATED_TASK_META_KEY]: { taskId } }
    return { ...result, _meta }
  }

  async cancel(taskId: string): Promise<mcp.Task> {
    const { task, stop } = this.#entry(taskId)
    if (task.status !== 'working') throw invalid(`Task is ${task.status}: ${taskId}`)
    stop.abort()
    return this.#end(taskId, 'cancelled')
  }

  close(): void {
    for (const { stop } of this.#entries.values()) stop.abort()
  }

  async #end(taskId: string, status: mcp.Task['status']): Promise<mcp.Task> {
    const entry = this.#entry(taskId)
    entry.task = { ...entry.task, status, lastUpdatedAt: new Date().toISOString() }
    await this.#onChange(entry.task)
    return entry.task
  }

  #entry(taskId: string): Entry {
    const entry = this.#entries.get(taskId)
    if (!entry) throw invalid(`Unknown task: ${taskId}`)
    return entry
  }
}

const invalid = (message: string) => new mcp.McpError(mcp.ErrorCode.InvalidParams, message)
