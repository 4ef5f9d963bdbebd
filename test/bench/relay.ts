/**
 * What a gateway costs that does nothing but its one duty the ordinary way: both directions are
 * parsed and serialised again, ids and progress tokens are replaced by its own. No sessions, no
 * checks, no routing, no limits. Arguments: the port.
 */
import { openPipe } from './pipe.ts'

interface Message {
  id?: number | string
  params?: { progressToken?: unknown; _meta?: { progressToken?: unknown } }
}

interface Pending {
  tell(progress: Message): void
  answer(answer: Message): void
}

const stream = { headers: { 'content-type': 'text/event-stream' } }
const pending = new Map<number, Pending>()
let lastId = 0

const pipe = openPipe((line) => {
  const message: Message = JSON.parse(line.toString())
  if (message.id === undefined) {
    pending.get(message.params?.progressToken as number)?.tell(message)
    return
  }
  const id = message.id as number
  pending.get(id)?.answer(message)
  pending.delete(id)
})

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.argv[2]),
  development: false,
  async fetch(request) {
    if (request.method !== 'POST') return new Response('ok')
    const message = (await request.json()) as Message
    const { id } = message
    if (id === undefined) {
      pipe.send(JSON.stringify(message))
      return new Response(null, { status: 202 })
    }
    const own = ++lastId
    message.id = own
    const token = message.params?._meta?.progressToken
    if (token !== undefined) {
      const response = new Response(events(own, id, token), stream)
      message.params!._meta!.progressToken = own
      pipe.send(JSON.stringify(message))
      return response
    }
    const { promise, resolve } = Promise.withResolvers<Message>()
    pending.set(own, { answer: resolve, tell() {} })
    pipe.send(JSON.stringify(message))
    const answer = await promise
    answer.id = id
    return Response.json(answer)
  },
})

/** What comes for the request `own`, as the client is to hear it. */
function events(own: number, id: number | string, token: unknown): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      const say = (message: Message) =>
        controller.enqueue(Buffer.from(`data: ${JSON.stringify(message)}\n\n`))
      pending.set(own, {
        tell(progress) {
          progress.params!.progressToken = token
          say(progress)
        },
        answer(answer) {
          say({ ...answer, id })
          controller.close()
        },
      })
    },
  })
}
