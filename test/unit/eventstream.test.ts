/** The reading of event streams: as the standard has it, in whatever portions they come, and never without bound. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  type Bookmark,
  COMMENT,
  EventReader,
  eventText,
  primingText,
} from '../../src/rpc/eventstream.ts'

interface Read extends Bookmark {
  /** `type: data` */
  events: string[]
  refused: { ends: string; why: string }[]
}

/** What is read from bytes that come in the given portions. */
function read(portions: readonly Uint8Array[], limit = 1 << 20): Read {
  const events: string[] = []
  const refused: Read['refused'] = []
  const bookmark: Bookmark = { lastId: '', retry: undefined }
  const sink = {
    event: (data: string, type: string) => void events.push(`${type}: ${data}`),
    refused: (ends: string, why: string) => void refused.push({ ends, why }),
  }
  const reader = new EventReader(sink, bookmark, limit)
  for (const portion of portions) reader.push(portion)
  return { events, refused, ...bookmark }
}

const readText = (text: string, limit?: number) => read([Buffer.from(text)], limit)
const bytewise = (text: string, limit?: number) =>
  read(
    [...Buffer.from(text)].map((byte) => Uint8Array.of(byte)),
    limit,
  )

const heard = (text: string) => {
  const whole = readText(text)
  expect(bytewise(text)).toEqual(whole)
  return whole
}

describe('an event', () => {
  test('is what stands before an empty line', () => {
    expect(heard('data: one\n\ndata:two\n\ndata:  three\n\n').events).toEqual([
      'message: one',
      'message: two',
      'message:  three',
    ])
    expect(heard('data: never ended\n').events).toEqual([])
    expect(heard('data: never ended').events).toEqual([])
  })

  test('has the lines of its data joined by line feeds', () => {
    expect(heard('data: a\ndata\ndata:\ndata: b\n\n').events).toEqual(['message: a\n\n\nb'])
  })

  test('may be empty, but not absent', () => {
    expect(heard('data\n\ndata:\n\n\n\n').events).toEqual(['message: ', 'message: '])
    expect(heard('event: ping\nid: 1\n\ndata: x\n\n').events).toEqual(['message: x'])
  })

  test('has a type, and the next one has it not', () => {
    expect(heard('event: endpoint\ndata: /m\n\ndata: x\n\nevent:\ndata: y\n\n').events).toEqual([
      'endpoint: /m',
      'message: x',
      'message: y',
    ])
  })

  test('goes without comments, unknown fields, and fields that only look like known ones', () => {
    expect(heard(': hello\n:\nx: y\nDATA: no\n data: no\ndata : no\ndata: yes\n\n').events).toEqual(
      ['message: yes'],
    )
  })
})

describe('lines', () => {
  test('end in a line feed, a carriage return, or both', () => {
    const expected = ['message: a\nb', 'message: c']
    for (const end of ['\n', '\r', '\r\n']) {
      expect(heard(`data: a\ndata: b\n\ndata: c\n\n`.replaceAll('\n', end)).events).toEqual(
        expected,
      )
    }
    expect(heard('data: a\r\ndata: b\r\r\ndata: c\n\r').events).toEqual(expected)
  })

  test('end at the carriage return, whether or not a line feed follows', () => {
    expect(readText('data: a\r\n\r').events).toEqual(['message: a'])
    expect(read([Buffer.from('data: a\r\r'), Buffer.from('\ndata: b\n\n')]).events).toEqual([
      'message: a',
      'message: b',
    ])
  })

  test('do not end at what else looks like it', () => {
    expect(heard('data: a\u2028b\u0085c\vd\fe\0\n\n').events).toEqual([
      'message: a\u2028b\u0085c\vd\fe\0',
    ])
  })

  test('may follow one byte order mark', () => {
    expect(heard('\ufeffdata: a\n\n').events).toEqual(['message: a'])
    expect(heard('\ufeff\ufeffdata: a\n\n').events).toEqual([])
  })
})

describe('where one is', () => {
  test('is the id of the last event that ended, be it without data', () => {
    expect(heard('id: 1\ndata: a\n\nid: 2\n\nid: 3\ndata: cut').lastId).toBe('2')
    expect(heard('id: 1\ndata: a\n\ndata: b\n\n').lastId).toBe('1')
  })

  test('is nowhere after an empty id, and not moved by one with a NUL', () => {
    expect(heard('id: 1\n\nid\n\n').lastId).toBe('')
    expect(heard('id: 1\n\nid: 2\0\n\n').lastId).toBe('1')
  })

  test('is kept where a connection says nothing about it', () => {
    const bookmark: Bookmark = { lastId: '7', retry: 10 }
    const sink = { event: () => {}, refused: () => {} }
    new EventReader(sink, bookmark, 100).push(Buffer.from('data: x\n\n'))
    expect(bookmark).toEqual({ lastId: '7', retry: 10 })
  })

  test('comes with a time to come back, if it is all digits', () => {
    expect(heard('retry: 25\n').retry).toBe(25)
    for (const not of ['-1', '1.5', '1e3', '', ' ', '٣', '10 ms']) {
      expect(heard(`retry: 7\nretry: ${not}\n`).retry).toBe(7)
    }
  })
})

describe('an event over the limit', () => {
  const long = `{"jsonrpc":"2.0","id":7,"result":"${'x'.repeat(5_000)}"}`

  test('is told by its ends, and the next one is read', () => {
    for (const reading of [readText, bytewise]) {
      const { events, refused } = reading(`data: ${long}\n\ndata: next\n\n`, 4_000)
      expect(events).toEqual(['message: next'])
      expect(refused).toHaveLength(1)
      const { ends, why } = refused[0]!
      expect(why).toBe(`an event of ${long.length} characters, over 4000`)
      expect(ends.length).toBeLessThan(1_200)
      expect(ends.startsWith(long.slice(0, 1_000))).toBe(true)
      expect(ends.endsWith(long.slice(-64))).toBe(true)
    }
  })

  test('is read if it is not over it by one character', () => {
    for (const prefix of ['data:', 'data: ']) {
      for (const reading of [readText, bytewise]) {
        const at = reading(`${prefix}${long}\n\n`, long.length)
        expect(at).toMatchObject({ events: [`message: ${long}`], refused: [] })
        const over = reading(`${prefix}${long}\n\n`, long.length - 1)
        expect(over).toMatchObject({ events: [], refused: [{ ends: expect.any(String) }] })
      }
    }
  })

  test('may be so by many lines', () => {
    const { events, refused } = bytewise(`${'data: abc\n'.repeat(2_000)}\n`, 4_000)
    expect(events).toEqual([])
    expect(refused[0]!.why).toBe('an event of 7999 characters, over 4000')
    expect(refused[0]!.ends).toHaveLength(1024 + 64)
  })

  test('is none if what is long is a comment', () => {
    expect(bytewise(`:${'x'.repeat(9_000)}\ndata: a\n\n`, 4_000)).toMatchObject({
      events: ['message: a'],
      refused: [],
    })
  })
})

describe('any text', () => {
  const line = fc.oneof(
    fc.constantFrom('', '', 'data', 'data:', 'data: x', 'id: é', 'id', 'event: e', 'retry: 5', ':'),
    fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => `data:${text}`),
    fc.string({ unit: 'grapheme', maxLength: 20 }),
  )
  const text = fc
    .array(fc.tuple(line, fc.constantFrom('\n', '\r', '\r\n', '\n\n')), { maxLength: 30 })
    .map((parts) => parts.flat().join(''))
  const places = fc.array(fc.nat(), { maxLength: 30 })

  test('is read as the standard has it, wherever the portions end', () => {
    fc.assert(
      fc.property(text, places, (text, places) => {
        const bytes = Buffer.from(text)
        const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length]
        ends.sort((a, b) => a - b)
        const portions = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
        expect(read(portions)).toEqual({ refused: [], ...byTheBook(text) })
      }),
      { numRuns: 500 },
    )
  })

  test('written by us says what was meant', () => {
    const data = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', ''))
    fc.assert(
      fc.property(fc.array(data), (all) => {
        const text = all.map((data, i) => eventText(data, String(i))).join(COMMENT)
        const expected = all.map((data) => `message: ${data.replace(/\r\n?/g, '\n')}`)
        expect(heard(primingText('first', 9) + text)).toEqual({
          events: ['message: ', ...expected],
          refused: [],
          lastId: all.length > 0 ? String(all.length - 1) : 'first',
          retry: 9,
        })
      }),
    )
  })
})

/** WHATWG HTML §9.2.6, sentence by sentence. */
function byTheBook(text: string): Omit<Read, 'refused'> {
  const events: string[] = []
  let [data, type, id, lastId] = ['', '', '', '']
  let retry: number | undefined
  const lines = text.replace(/^\ufeff/, '').split(/\r\n|\r|\n/)
  lines.pop()
  for (const line of lines) {
    if (line === '') {
      lastId = id
      if (data !== '') events.push(`${type || 'message'}: ${data.replace(/\n$/, '')}`)
      data = type = ''
      continue
    }
    if (line.startsWith(':')) continue
    const [, field, value = ''] = /^([^:]*)(?::[ ]?(.*))?$/su.exec(line)!
    if (field === 'event') type = value
    else if (field === 'data') data += `${value}\n`
    else if (field === 'id' && !value.includes('\0')) id = value
    else if (field === 'retry' && /^[0-9]+$/.test(value)) retry = Number(value)
  }
  return { events, lastId, retry }
}
