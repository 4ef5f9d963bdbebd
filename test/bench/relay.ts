/**
 * What a gateway costs that does nothing but its one duty the ordinary way: both directions are
 * parsed and serialised again, ids are replaced by its own. No sessions, no checks, no routing, no
 * limits. Arguments: the port.
 */
import { openPipe } from './pipe.ts'

interface Message {
  id?: number | string
}

const pending = new Map<number, (answer: Message) => void>()
let lastId = 0

const pipe = openPipe((line) => {
  const answer: Message = JSON.parse(line.toString())
  const id = answer.id as number
  pending.get(id)?.(answer)
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
    const { promise, resolve } = Promise.withResolvers<Message>()
    pending.set(own, resolve)
    message.id = own
    pipe.send(JSON.stringify(message))
    const answer = await promise
    answer.id = id
    return Response.json(answer)
  },
})
