/** Event streams: who hears what, from where one can resume, and what is forgotten. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  MAX_REPLAY_EVENTS,
  MAX_REPLAY_SIZE,
  parseEventId,
  Replay,
  ResumableStream,
} from '../../src/downstream/stream.ts'
import { COMMENT, eventText, primingText } from '../../src/rpc/eventstream.ts'

interface Event {
  id: string | undefined
  data: string
}

/** The events of a text, read as the standard says (WHATWG HTML §9.2.6), which knows nothing of how they were written. */
function parsed(text: string): { events: Event[]; comments: number; retry: number | undefined } {
  const events: Event[] = []
  let comments = 0
  let retry: number | undefined
  let id: string | undefined
  let data: string[] = []
  for (const line of text.split(/\r\n|\r|\n/)) {
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!
    if (line === '') {
      if (data.length > 0) events.push({ id, data: data.join('\n') })
      id = undefined
      data = []
    } else if (field === '') comments++
    else if (field === 'id') id = value
    else if (field === 'retry') retry = Number(value)
    else if (field === 'data') data.push(value ?? '')
    else throw new Error(`an unknown field: ${line}`)
  }
  return { events, comments, retry }
}

/** Until what was written has been read. */
const quiet = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Someone who listens to a stream, and reads at once what comes. */
class Listener {
  text = ''
  ended = false
  readonly leave: () => Promise<void>

  constructor(body: ReadableStream<Uint8Array>) {
    const reader = body.getReader()
    this.leave = () => reader.cancel()
    void this.#listen(() => reader.read())
  }

  async #listen(
    read: () => Promise<{ done: boolean; value?: Uint8Array | undefined }>,
  ): Promise<void> {
    for (let part = await read(); !part.done; part = await read()) {
      this.text += Buffer.from(part.value!).toString()
    }
    this.ended = true
  }

  /** What was said, priming left out. */
  get heard(): string[] {
    return this.events.flatMap(({ data }) => (data === '' ? [] : data))
  }

  get events(): Event[] {
    return parsed(this.text).events
  }

  /** As in `Last-Event-ID`. */
  get lastId(): string | undefined {
    return this.events.findLast(({ id }) => id !== undefined)?.id
  }
}

function stream({ priming = true, number = 3, replay = new Replay() } = {}) {
  const stream = new ResumableStream(number, replay, priming)
  return {
    stream,
    listen: (after?: number) => new Listener(stream.open(after)),
    /** Comes back to where somebody was. */
    resume(listener: Listener) {
      const position = parseEventId(listener.lastId!)!
      expect(position.stream).toBe(number)
      return new Listener(stream.open(position.sequence))
    },
    say(...data: string[]) {
      for (const one of data) stream.send(one)
      return quiet()
    },
  }
}

describe('an event', () => {
  const text = fc
    .array(
      fc.constantFrom('a', 'é', ' ', ':', '\n', '\r', '\r\n', '\u2028', 'data:', 'id: 9', ': '),
    )
    .map((parts) => parts.join(''))

  test('is read as it was written, whatever is in it; line ends become line feeds', () => {
    fc.assert(
      fc.property(fc.array(text), (all) => {
        const written = all.map((data, i) => eventText(data, `1-${i}`)).join('')
        expect(parsed(written)).toEqual({
          events: all.map((data, i) => ({ id: `1-${i}`, data: data.replace(/\r\n|\r/g, '\n') })),
          comments: 0,
          retry: undefined,
        })
      }),
      { numRuns: 500 },
    )
  })

  test('needs no id', () => {
    expect(eventText('{}')).toBe('data: {}\n\n')
    expect(eventText('a\nb', '')).toBe('id: \ndata: a\ndata: b\n\n')
  })

  test('without data says from where to resume, and when; a comment says nothing', () => {
    expect(parsed(primingText('3-0', 1234))).toEqual({
      events: [{ id: '3-0', data: '' }],
      comments: 0,
      retry: 1234,
    })
    expect(parsed(COMMENT)).toEqual({ events: [], comments: 1, retry: undefined })
  })
})

describe('the id of an event', () => {
  test.each([
    ['0-0', 0, 0],
    ['3-12', 3, 12],
    ['999999999-999999999', 999999999, 999999999],
  ])('%s is a position', (text, stream, sequence) => {
    expect(parseEventId(text)).toEqual({ stream, sequence })
  })

  test.each([
    ...[
      '',
      '-',
      '1',
      '1-',
      '-1',
      '1-2-3',
      '-1-2',
      '1--2',
      '1- 2',
      ' 1-2',
      '1-2\n',
      '1.0-2',
      '1e3-2',
    ],
    ...['0x1-2', '１-２', 'a-b', '1234567890-1', '1-1234567890', '1-2,3-4'],
  ])('is not %j', (text) => {
    expect(parseEventId(text)).toBeUndefined()
  })
})

describe('what is kept for replay', () => {
  const sequences = (replay: Replay, stream: number, after: number) =>
    replay.after(stream, after).map(({ sequence }) => sequence)

  test('is what a stream said after an event, and no other stream', () => {
    const replay = new Replay()
    for (let i = 1; i <= 6; i++) replay.keep(i % 2, Math.ceil(i / 2), `${i}`, true)
    expect(replay.after(1, 0).map(({ sequence, data }) => [sequence, data])).toEqual([
      [1, '1'],
      [2, '3'],
      [3, '5'],
    ])
    expect(sequences(replay, 0, 2)).toEqual([3])
    expect(sequences(replay, 0, 3)).toEqual([])
    expect(sequences(replay, 0, 99)).toEqual([])
    expect(sequences(replay, 7, 0)).toEqual([])
  })

  test('are so many events, of all streams together', () => {
    const replay = new Replay()
    replay.keep(1, 1, 'first', true)
    for (let i = 1; i < MAX_REPLAY_EVENTS; i++) replay.keep(0, i, '', true)
    expect(sequences(replay, 1, 0)).toEqual([1])
    replay.keep(0, MAX_REPLAY_EVENTS, '', true)
    expect(sequences(replay, 1, 0)).toEqual([])
    expect(sequences(replay, 0, 0)).toHaveLength(MAX_REPLAY_EVENTS)
    replay.keep(0, MAX_REPLAY_EVENTS + 1, '', true)
    expect(sequences(replay, 0, 0)[0]).toBe(2)
  })

  test('is so much, and not a character more', () => {
    const replay = new Replay()
    const quarter = 'x'.repeat(MAX_REPLAY_SIZE / 4)
    for (let i = 1; i <= 4; i++) replay.keep(0, i, quarter, true)
    expect(sequences(replay, 0, 0)).toEqual([1, 2, 3, 4])
    replay.keep(0, 5, '', true)
    expect(sequences(replay, 0, 0)).toEqual([1, 2, 3, 4, 5])
    replay.keep(0, 6, 'x', true)
    expect(sequences(replay, 0, 0)).toEqual([2, 3, 4, 5, 6])
  })

  test('is nothing of an event that is too big, and again of those after it', () => {
    const replay = new Replay()
    replay.keep(0, 1, 'before', true)
    replay.keep(0, 2, 'x'.repeat(MAX_REPLAY_SIZE + 1), true)
    expect(sequences(replay, 0, 0)).toEqual([])
    replay.keep(0, 3, 'x'.repeat(MAX_REPLAY_SIZE), true)
    expect(sequences(replay, 0, 0)).toEqual([3])
    replay.keep(0, 4, 'after', true)
    expect(sequences(replay, 0, 0)).toEqual([4])
  })

  test('is the newest, whatever comes', () => {
    const size = fc.oneof(fc.nat(100), fc.nat(MAX_REPLAY_SIZE), fc.constant(MAX_REPLAY_SIZE / 2))
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), size), { maxLength: 40 }), (all) => {
        const replay = new Replay()
        for (const [i, [stream, size]] of all.entries())
          replay.keep(stream, i, 'x'.repeat(size), true)
        let room = MAX_REPLAY_SIZE
        let first = all.length
        while (first > 0 && all[first - 1]![1] <= room) room -= all[--first]![1]
        // An empty event costs nothing, but what is older than something forgotten is forgotten too.
        const kept = [0, 1, 2]
          .flatMap((stream) => sequences(replay, stream, -1))
          .sort((a, b) => a - b)
        expect(kept).toEqual(all.map((_, i) => i).slice(first))
      }),
      { numRuns: 200 },
    )
  })
})

describe('a stream', () => {
  test('opens with an empty event, from which a client can resume before anything was said', async () => {
    const { listen, resume, say } = stream({ number: 7 })
    const listener = listen()
    await quiet()
    expect(listener.events).toEqual([{ id: '7-0', data: '' }])
    expect(parsed(listener.text).retry).toBeGreaterThan(0)
    await listener.leave()
    await say('a', 'b')
    const back = resume(listener)
    await quiet()
    expect(back.heard).toEqual(['a', 'b'])
  })

  test('opens with a comment for a client that resumes, or is too old for empty events', async () => {
    const old = stream({ priming: false }).listen()
    const primed = stream()
    const resumed = primed.listen(0)
    await quiet()
    expect(old.text).toBe(COMMENT)
    expect(resumed.text).toBe(COMMENT)
  })

  test('numbers its events from one', async () => {
    const { listen, say } = stream({ number: 12 })
    const listener = listen()
    await say('a', '{"b":\n1}')
    expect(listener.events.slice(1)).toEqual([
      { id: '12-1', data: 'a' },
      { id: '12-2', data: '{"b":\n1}' },
    ])
  })

  test('tells the next listener what nobody has heard yet, once', async () => {
    const { listen, say, stream: it } = stream()
    expect(it.isOpen).toBe(false)
    await say('a', 'b')
    const first = listen()
    expect(it.isOpen).toBe(true)
    await say('c')
    expect(first.heard).toEqual(['a', 'b', 'c'])
    await first.leave()
    expect(it.isOpen).toBe(false)
    await say('d')
    const second = listen()
    await quiet()
    expect(second.heard).toEqual(['d'])
  })

  test('tells one who resumes all that came after, though others have heard it', async () => {
    const { listen, say } = stream()
    const first = listen()
    await say('a', 'b', 'c')
    await first.leave()
    for (const [after, heard] of [
      [0, ['a', 'b', 'c']],
      [2, ['c']],
      [3, []],
      [99, []],
    ] as const) {
      const listener = listen(after)
      await quiet()
      expect(listener.heard).toEqual([...heard])
    }
  })

  test('opens for a newcomer at what is new to all: what others have heard is not told again', async () => {
    const { listen, resume, say } = stream()
    const first = listen()
    await say('a', 'b')
    await first.leave()
    const second = listen()
    await quiet()
    expect(second.lastId).toBe('3-2')
    await second.leave()
    await say('c')
    const third = resume(second)
    await quiet()
    expect(third.heard).toEqual(['c'])
  })

  test('gives what it says to the newest listener alone; the one before takes over when that leaves', async () => {
    const { listen, say } = stream()
    const [first, second, third] = [listen(), listen(), listen()]
    await say('a')
    await second.leave()
    await say('b')
    await third.leave()
    await say('c')
    expect([first, second, third].map(({ heard }) => heard)).toEqual([['c'], [], ['a', 'b']])
    expect(first.ended).toBe(false)
  })

  test('has room for four listeners; the fifth takes the place of the oldest', async () => {
    const { listen, say, stream: it } = stream()
    const all = Array.from({ length: 5 }, () => listen())
    await say('a')
    expect(all.map(({ ended }) => ended)).toEqual([true, false, false, false, false])
    expect(all.map(({ heard }) => heard)).toEqual([[], [], [], [], ['a']])
    for (const listener of all.slice(1)) await listener.leave()
    expect(it.isOpen).toBe(false)
  })

  test('that is closed ends for all who listen; what is said then waits for who comes back', async () => {
    const { listen, resume, say, stream: it } = stream()
    const [first, second] = [listen(), listen()]
    await say('a')
    it.close()
    it.close()
    expect(it.isOpen).toBe(false)
    await say('b')
    expect([first.ended, second.ended]).toEqual([true, true])
    expect(second.heard).toEqual(['a'])
    await first.leave()
    const back = resume(second)
    await say('c')
    expect(back.heard).toEqual(['b', 'c'])
  })

  test('shares its replay with others, and tells only its own', async () => {
    const replay = new Replay()
    const one = stream({ number: 1, replay })
    const two = stream({ number: 2, replay })
    await one.say('a')
    await two.say('b')
    await one.say('c')
    const [first, second] = [one.listen(), two.listen()]
    await quiet()
    expect([first.heard, second.heard]).toEqual([['a', 'c'], ['b']])
    expect(first.lastId).toBe('1-2')
  })

  test('tells who comes late the newest that is kept', async () => {
    const { listen, say } = stream()
    await say(...Array.from({ length: MAX_REPLAY_EVENTS + 2 }, (_, i) => `${i}`))
    const listener = listen()
    await quiet()
    expect(listener.heard).toHaveLength(MAX_REPLAY_EVENTS)
    expect([listener.heard[0], listener.lastId]).toEqual(['2', `3-${MAX_REPLAY_EVENTS + 2}`])
  })
})

describe('a listener that does not read', () => {
  const MEGABYTE = 'x'.repeat(2 ** 20)

  test('is let go when too much waits for it; it finds all that waited, and can come back for more', async () => {
    const { listen, stream: it } = stream()
    const older = listen()
    const body = it.open()
    let sent = 0
    while (it.isOpen && older.heard.length === 0 && sent < 40) {
      it.send(`${++sent} ${MEGABYTE}`)
      await quiet()
    }
    // The last one went to the listener who was there before.
    expect(sent).toBe(17)
    expect(older.heard.map((data) => Number.parseInt(data, 10))).toEqual([17])
    const late = new Listener(body)
    while (!late.ended) await quiet()
    expect(late.heard.map((data) => Number.parseInt(data, 10))).toEqual(
      Array.from({ length: 16 }, (_, i) => i + 1),
    )
    const back = new Listener(it.open(parseEventId(late.lastId!)!.sequence))
    await quiet()
    expect(back.heard.map((data) => Number.parseInt(data, 10))).toEqual([17])
  })

  test('is let go by comments too', () => {
    const { stream: it } = stream()
    it.open()
    it.send('x'.repeat(2 ** 24 - 1000))
    const now = performance.now() + 1
    let written = 0
    while (it.isOpen && written < 1000) it.keepAlive(now + written++, 0)
    expect(written).toBeGreaterThan(1)
    expect(it.isOpen).toBe(false)
  })

  test('gets one big answer whole', async () => {
    const { stream: it } = stream()
    const body = it.open()
    const big = MEGABYTE.repeat(20)
    it.send(big)
    const late = new Listener(body)
    while (late.heard.length === 0) await quiet()
    expect(late.heard[0] === big).toBe(true)
    expect(it.isOpen).toBe(true)
  })
})

test('what nobody has heard is kept until the next event, however big', async () => {
  const { stream: it } = stream()
  const big = 'x'.repeat(MAX_REPLAY_SIZE + 1)
  it.send(big)
  const late = new Listener(it.open(0))
  while (late.heard.length === 0) await quiet()
  expect(late.heard[0] === big).toBe(true)
})

describe('keeping alive', () => {
  test('writes a comment to every listener, after so much silence', async () => {
    const { listen, say, stream: it } = stream({ priming: false })
    const all = [listen(), listen()]
    await say('a')
    const comments = () => all.map(({ text }) => parsed(text).comments)
    const now = performance.now()
    // The clock's zero is longer ago than this, what was said is not.
    const silence = now / 2
    it.keepAlive(now, silence)
    await quiet()
    expect(comments()).toEqual([1, 1])
    it.keepAlive(now + silence, silence)
    await quiet()
    expect(comments()).toEqual([2, 2])
    it.keepAlive(now + 1.9 * silence, silence)
    await quiet()
    expect(comments()).toEqual([2, 2])
    it.keepAlive(now + 2.1 * silence, silence)
    await quiet()
    expect(comments()).toEqual([3, 3])
    expect(all.map(({ heard }) => heard)).toEqual([[], ['a']])
  })

  test('writes to nobody where nobody listens', async () => {
    const { listen, stream: it } = stream({ priming: false })
    const gone = listen()
    await gone.leave()
    it.keepAlive(performance.now() + 1000, 10)
    const listener = listen()
    await quiet()
    expect(listener.text).toBe(COMMENT)
  })
})

describe('whatever breaks,', () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constant('say' as const) },
    fc.constantFrom('break' as const, 'close' as const, 'come back' as const),
  )

  test('a client that comes back with the last id it saw hears everything once, in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), async (steps, patient) => {
        const { listen, say, stream: it } = stream()
        let said = 0
        const heard: string[] = []
        let listener = listen()
        await quiet()
        let last = listener.lastId!
        const comeBack = async () => {
          await listener.leave()
          await quiet()
          heard.push(...listener.heard)
          last = listener.lastId ?? last
          listener = listen(parseEventId(last)!.sequence)
        }
        for (const step of steps) {
          if (step === 'say') it.send(`${++said}`)
          else if (step === 'break') await listener.leave()
          else if (step === 'close') it.close()
          else await comeBack()
          if (patient) await quiet()
        }
        await comeBack()
        await say('end')
        heard.push(...listener.heard)
        const all = Array.from({ length: said }, (_, i) => `${i + 1}`)
        expect(heard).toEqual([...all, 'end'])
      }),
      { numRuns: 300 },
    )
  })

  test('clients that never say where they were hear everything once between them, in order', async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant('say' as const) },
      fc.constantFrom(
        'join' as const,
        'leave first' as const,
        'leave last' as const,
        'close' as const,
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), async (steps, priming) => {
        const { listen, stream: it } = stream({ priming })
        const listening: Listener[] = []
        const all: Listener[] = []
        let said = 0
        for (const step of steps) {
          if (step === 'say') it.send(`${++said}`)
          else if (step === 'join') {
            all.push(listen())
            listening.push(all.at(-1)!)
          } else if (step === 'leave first') await listening.shift()?.leave()
          else if (step === 'leave last') await listening.pop()?.leave()
          else it.close()
          await quiet()
        }
        all.push(listen())
        await quiet()
        const heard = all.flatMap((listener) => listener.heard.map(Number))
        expect(heard.sort((a, b) => a - b)).toEqual(Array.from({ length: said }, (_, i) => i + 1))
        for (const listener of all) {
          const own = listener.heard.map(Number)
          expect(own).toEqual([...own].sort((a, b) => a - b))
        }
      }),
      { numRuns: 300 },
    )
  })
})
