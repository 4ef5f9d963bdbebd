/** What is a JSON-RPC message, what is none, and that reading and writing one changes nothing in it. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Json } from '../../src/rpc/json.ts'
import {
  errorText,
  isId,
  MalformedMessage,
  type Message,
  notificationText,
  parseBody,
  parseMessage,
  requestText,
  resultText,
  seemingId,
} from '../../src/rpc/message.ts'
import { members, object, space, value } from './texts.ts'

/** A message with its payloads as plain text. */
function plain(message: Message): Record<string, string | undefined> {
  const read: Record<string, string | undefined> = {}
  for (const [key, part] of Object.entries(message)) read[key] = part?.text ?? part
  return read
}

const refusal = (text: string, read: (text: string) => unknown = parseMessage) => {
  try {
    read(text)
  } catch (error) {
    if (error instanceof MalformedMessage) return { code: error.code, message: error.message }
    throw error
  }
  throw new Error(`taken: ${text}`)
}

const invalid = (why: string) => ({ code: -32600 as const, message: expect.stringContaining(why) })

const IDS = [
  ...[
    '0',
    '1',
    '-1',
    '-0',
    '9007199254740993',
    '-9223372036854775808',
    '1.0',
    '1.5',
    '1e3',
    '1e400',
  ],
  ...['""', '"1"', '"a b"', '"null"', '"é\u2028"', '"__proto__"', String.raw`"\u0061\"\\\/\ud83d"`],
]
const NO_IDS = ['null', 'true', 'false', '{}', '[]', '[1]', '{"id":1}']

describe('a message is read:', () => {
  test.each(IDS)('a request with the id %s', (id) => {
    const text = `{"jsonrpc":"2.0","id":${id},"method":"m","params":{"a":1.0}}`
    const message = { kind: 'request', id, method: 'm', params: '{"a":1.0}' }
    expect(plain(parseMessage(text))).toEqual(message)
  })

  test.each(IDS)('a result for the id %s', (id) => {
    const text = `{"jsonrpc":"2.0","id":${id},"result":[1.0]}`
    expect(plain(parseMessage(text))).toEqual({ kind: 'result', id, result: '[1.0]' })
  })

  test.each([...IDS, 'null'])('an error for the id %s', (id) => {
    const text = `{"jsonrpc":"2.0","id":${id},"error":{"code":-1}}`
    expect(plain(parseMessage(text))).toEqual({ kind: 'error', id, error: '{"code":-1}' })
  })

  test.each([
    ['a string', `"${'x'.repeat(100_000)}"`],
    ['a number', '9'.repeat(100_000)],
  ])('whose id is %s of a hundred thousand characters', (_, id) => {
    expect(parseMessage(`{"jsonrpc":"2.0","id":${id},"result":0}`)).toMatchObject({ id })
    expect(parseMessage(requestText(id, 'm', undefined))).toMatchObject({ kind: 'request', id })
  })

  test.each<[string, string, Record<string, string | undefined>]>([
    [
      'a notification',
      '{"jsonrpc":"2.0","method":"n"}',
      { kind: 'notification', method: 'n', params: undefined },
    ],
    [
      'a request without params',
      '{"jsonrpc":"2.0","id":1,"method":"m"}',
      { kind: 'request', id: '1', method: 'm', params: undefined },
    ],
    [
      'members in any order',
      '{"params":{},"method":"m","id":1,"jsonrpc":"2.0"}',
      { kind: 'request', id: '1', method: 'm', params: '{}' },
    ],
    [
      'members that nobody knows',
      '{"jsonrpc":"2.0","x":{"id":2},"id":1,"method":"m","__proto__":{"id":3},"":[],"x":0}',
      { kind: 'request', id: '1', method: 'm', params: undefined },
    ],
    [
      'names with escapes',
      String.raw`{"json\u0072pc":"2.0","\u0069d":1,"\u006d\u0065thod":"m","par\u0061ms":{ }}`,
      { kind: 'request', id: '1', method: 'm', params: '{ }' },
    ],
    [
      'a result with escapes in its name',
      String.raw`{"jsonrpc":"2.0","id":1,"re\u0073ult":0}`,
      { kind: 'result', id: '1', result: '0' },
    ],
    [
      'a method with escapes',
      String.raw`{"jsonrpc":"2.0","method":"tools\/c\u0061ll\n\"\ud83d"}`,
      { kind: 'notification', method: 'tools/call\n"\ud83d', params: undefined },
    ],
    [
      'an empty method',
      '{"jsonrpc":"2.0","method":""}',
      { kind: 'notification', method: '', params: undefined },
    ],
    [
      'white space everywhere',
      ' \r\n{ "jsonrpc"\t: "2.0" , "id" : 1 ,\n"result" :\t{ "a" : 1 } } \n',
      { kind: 'result', id: '1', result: '{ "a" : 1 }' },
    ],
    [
      'a result that is null',
      '{"jsonrpc":"2.0","id":1,"result":null}',
      { kind: 'result', id: '1', result: 'null' },
    ],
    [
      'an error that is no object',
      '{"jsonrpc":"2.0","id":"a","error":"oops"}',
      { kind: 'error', id: '"a"', error: '"oops"' },
    ],
    [
      'params that repeat the envelope',
      '{"jsonrpc":"2.0","id":1,"method":"m","params":{"id":2,"method":"x","result":{},"id":3}}',
      { kind: 'request', id: '1', method: 'm', params: '{"id":2,"method":"x","result":{},"id":3}' },
    ],
  ])('%s', (_, text, message) => {
    expect(plain(parseMessage(text))).toEqual(message)
    expect(plain(parseBody(text) as Message)).toEqual(message)
  })
})

describe('a text is refused that is no JSON:', () => {
  test.each([
    '',
    ' ',
    '\ufeff{"jsonrpc":"2.0","id":1,"result":{}}',
    '{"jsonrpc":"2.0","id":1,"result":{}}\0',
    '{"jsonrpc":"2.0","id":01,"result":{}}',
    '{"jsonrpc":"2.0","id":1,"result":{}},"id":7}',
    '{"jsonrpc":"2.0","id":1,"result":nul}',
    '{"jsonrpc":"2.0","id":1,"result":"a\tb"}',
    '{"jsonrpc":"2.0","id":1,"result":{}} {"jsonrpc":"2.0","id":2,"result":{}}',
    '{"jsonrpc":"2.0","id":1,"result":{}}\n{"jsonrpc":"2.0","id":2,"result":{}}',
    '[{"jsonrpc":"2.0","id":1,"result":{}}',
    'Server listening on stdio',
    `{"jsonrpc":"2.0","id":1,"result":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
  ])('%j', (text) => {
    for (const read of [parseMessage, parseBody]) {
      expect(refusal(text, read)).toMatchObject({
        code: -32700,
        message: expect.stringMatching(/^not JSON: /),
      })
    }
  })
})

describe('JSON is refused that is no message:', () => {
  const members = {
    jsonrpc: '"jsonrpc":"2.0"',
    id: '"id":1',
    method: '"method":"m"',
    params: '"params":{}',
    result: '"result":{}',
    error: '"error":{}',
  }

  test.each<[string, string, string]>([
    ['the version is missing', '"id":1,"method":"m"', '"jsonrpc": "2.0"'],
    ['the version is a number', '"jsonrpc":2.0,"id":1,"method":"m"', '"jsonrpc": "2.0"'],
    ['the version is another one', '"jsonrpc":"1.0","id":1,"method":"m"', '"jsonrpc": "2.0"'],
    ['the version is an object', '"jsonrpc":{"jsonrpc":"2.0"},"method":"m"', '"jsonrpc": "2.0"'],
    ['the method is null', '"jsonrpc":"2.0","id":1,"method":null', '"method" to be a string'],
    ['the method is a list', '"jsonrpc":"2.0","method":["m"]', '"method" to be a string'],
    ['params are a list', '"jsonrpc":"2.0","method":"m","params":[]', '"params" to be an object'],
    ['params are null', '"jsonrpc":"2.0","method":"m","params":null', '"params" to be an object'],
    ['params are a text', '"jsonrpc":"2.0","method":"m","params":"{}"', '"params" to be an object'],
    ['it is empty', '', '"jsonrpc": "2.0"'],
    ['there is but a version', '"jsonrpc":"2.0"', 'neither "method" nor "id"'],
    ['an answer has no id', '"jsonrpc":"2.0","result":{}', 'neither "method" nor "id"'],
    ['an error has no id', '"jsonrpc":"2.0","error":{}', 'neither "method" nor "id"'],
    ['there is but an id', '"jsonrpc":"2.0","id":1', 'either "result" or "error"'],
    ['there are params alone', '"jsonrpc":"2.0","id":1,"params":{}', 'either "result" or "error"'],
    ['it is a result and an error', '"jsonrpc":"2.0","id":1,"result":0,"error":{}', 'either'],
    ['the error beside it is null', '"jsonrpc":"2.0","id":1,"result":0,"error":null', 'either'],
    ['a result is for nobody', '"jsonrpc":"2.0","id":null,"result":{}', 'either'],
    ['it asks and answers', '"jsonrpc":"2.0","id":1,"method":"m","result":{}', 'both a question'],
    ['it asks and fails', '"jsonrpc":"2.0","id":1,"method":"m","error":{}', 'both a question'],
    ['it tells and answers', '"jsonrpc":"2.0","method":"m","result":null', 'both a question'],
  ])('%s', (_, inside, why) => {
    expect(refusal(`{${inside}}`)).toEqual(invalid(why))
  })

  test.each(NO_IDS)('its id is %s', (id) => {
    const wanted = invalid('"id"')
    expect(refusal(`{"jsonrpc":"2.0","id":${id},"method":"m"}`)).toEqual(wanted)
    expect(refusal(`{"jsonrpc":"2.0","id":${id},"result":{}}`)).toEqual(wanted)
    if (id !== 'null') expect(refusal(`{"jsonrpc":"2.0","id":${id},"error":{}}`)).toEqual(wanted)
  })

  test.each(Object.entries(members))('the member "%s" is there twice', (name, member) => {
    const { jsonrpc, id, method, params, result } = members
    const request = [jsonrpc, id, method, params]
    const whole = request.includes(member)
      ? request
      : [jsonrpc, id, name === 'error' ? member : result]
    expect(parseMessage(`{${whole.join()}}`).kind).not.toBe('notification')

    const spelled = member.replace(name[0]!, `\\u00${name.charCodeAt(0).toString(16)}`)
    for (const again of [member, spelled, member.replace(/:.*/, ':null')]) {
      for (const all of [
        [...whole, again],
        [again, ...whole],
      ]) {
        const { code, message } = refusal(`{${all.join()}}`)
        expect(code).toBe(-32600)
        // Where the odd one comes first it may be refused for what it is.
        if (again !== member.replace(/:.*/, ':null')) {
          expect(message).toContain(`"${name}" is there twice`)
        }
      }
    }
  })

  test.each(['1', '"{}"', 'null', 'true', '[]', '[{"jsonrpc":"2.0","method":"m"}]'])(
    'it is %s',
    (text) => {
      const wanted = {
        code: -32600,
        message: 'not a JSON-RPC message: expected an object',
      } as const
      expect(refusal(text)).toEqual(wanted)
      if (!text.startsWith('[')) expect(refusal(text, parseBody)).toEqual(wanted)
    },
  )
})

describe('a batch', () => {
  const REQUEST = '{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":[1, 2]}}'
  const NEWS = '{ "jsonrpc":"2.0","method":"n" }'
  const RESULT = '{"jsonrpc":"2.0","id":"a","result":[]}'
  const FAILURE = '{"jsonrpc":"2.0","id":null,"error":{}}'

  test('is read in its order, whatever it mixes', () => {
    const batch = parseBody(` [ ${REQUEST},${NEWS}\n, ${RESULT} ,${FAILURE}] `)
    expect((batch as Message[]).map(plain)).toEqual([
      { kind: 'request', id: '1', method: 'm', params: '{"a":[1, 2]}' },
      { kind: 'notification', method: 'n', params: undefined },
      { kind: 'result', id: '"a"', result: '[]' },
      { kind: 'error', id: 'null', error: '{}' },
    ])
  })

  test('of one stays a batch, one message is none', () => {
    expect(parseBody(`[${NEWS}]`)).toHaveLength(1)
    expect(Array.isArray(parseBody(NEWS))).toBe(false)
  })

  test('of a thousand is read whole', () => {
    const batch = Array.from({ length: 1000 }, (_, i) => resultText(String(i), Json.of({ i })))
    const read = parseBody(`[${batch.join()}]`) as Message[]
    expect(read.map((message) => message.kind === 'result' && message.id)).toEqual(
      batch.map((_, i) => String(i)),
    )
  })

  test.each([
    ['nothing', '[]', 'an empty batch'],
    ['nothing, with white space', ' [ ] ', 'an empty batch'],
    ['another batch', `[[${REQUEST}]]`, 'expected an object'],
    ['a number', `[${REQUEST},1]`, 'expected an object'],
    ['a text', `["${NEWS.replaceAll('"', '\\"')}"]`, 'expected an object'],
    ['a message without version', `[${REQUEST},{"id":2,"method":"m"}]`, '"jsonrpc": "2.0"'],
    [
      'a message with two ids',
      `[{"jsonrpc":"2.0","id":1,"result":0,"id":2}]`,
      '"id" is there twice',
    ],
  ])('of %s is refused', (_, text, why) => {
    expect(refusal(text, parseBody)).toEqual(invalid(why))
  })

  test.each([`[${REQUEST},]`, `[${REQUEST} ${NEWS}]`, `[${REQUEST}],${NEWS}`, `[,${NEWS}]`])(
    'that is no JSON is refused as such: %s',
    (text) => {
      expect(refusal(text, parseBody).code).toBe(-32700)
    },
  )
})

describe('a message that is written', () => {
  const id = fc.constantFrom(...IDS)
  const method = fc.string({ unit: 'binary' })
  const params = fc.option(members.map(object).map(Json.parse), { nil: undefined })
  const payload = fc.tuple(space, value, space).map((parts) => Json.parse(parts.join('')))
  const text = (json: Json | undefined) => json?.text.trim()

  test('is one that can be read, and says the same', () => {
    fc.assert(
      fc.property(id, method, params, payload, (id, method, params, payload) => {
        const request = requestText(id, method, params)
        expect(JSON.parse(request).method).toBe(JSON.parse(JSON.stringify(method)))
        expect(plain(parseMessage(request))).toEqual({
          kind: 'request',
          id,
          method,
          params: text(params),
        })
        expect(plain(parseMessage(notificationText(method, params)))).toEqual({
          kind: 'notification',
          method,
          params: text(params),
        })
        expect(plain(parseMessage(resultText(id, payload)))).toEqual({
          kind: 'result',
          id,
          result: text(payload),
        })
        expect(plain(parseMessage(errorText('null', payload)))).toEqual({
          kind: 'error',
          id: 'null',
          error: text(payload),
        })
      }),
      { numRuns: 300 },
    )
  })

  test('begins with its version and id, and carries its payload as it is', () => {
    const json = Json.parse(' {"a": 1.0} ')
    const head = '{"jsonrpc":"2.0","id":"x"'
    expect(requestText('"x"', 'a/b"', json)).toBe(
      `${head},"method":"a/b\\"","params": {"a": 1.0} }`,
    )
    expect(requestText('"x"', 'm', undefined)).toBe(`${head},"method":"m"}`)
    expect(notificationText('n', json)).toBe('{"jsonrpc":"2.0","method":"n","params": {"a": 1.0} }')
    expect(notificationText('n', undefined)).toBe('{"jsonrpc":"2.0","method":"n"}')
    expect(resultText('"x"', json)).toBe(`${head},"result": {"a": 1.0} }`)
    expect(errorText('"x"', json)).toBe(`${head},"error": {"a": 1.0} }`)
  })
})

test.each([...IDS.map((id) => [id, true] as const), ...NO_IDS.map((id) => [id, false] as const)])(
  'is %s an id? %p',
  (text, is) => {
    expect(isId(text)).toBe(is)
  },
)

describe('the request that a broken text seems to answer', () => {
  test.each([
    ['{"jsonrpc":"2.0","id":7,"result":{"a":', '7'],
    ['{"jsonrpc":"2.0","id":7,"result":{},"result":{},"id":8}', '7'],
    [' { "jsonrpc" : "2.0" , "id" : 12345678901234567890 , "error":', '12345678901234567890'],
    ['{"jsonrpc":"2.0","id":7,"Result":{}}', '7'],
    ['{"id":7,"jsonrpc":"2.0","result":nul}', '7'],
    ['{"result":nul,"jsonrpc":"2.0","id":7}', '7'],
    ['{"result":nul,"id":7,"jsonrpc":"2.0"}', '7'],
    ['{"result":nul,"jsonrpc":"2.0","id" : 7 } \r', '7'],
    ['{"jsonrpc":"2.0","id":7}', '7'],
    [`{"jsonrpc":"2.0","id":7,"result":"${'x'.repeat(10_000)}`, '7'],
    [`{"result":"${'x'.repeat(10_000)}\t","jsonrpc":"2.0","id":7}`, '7'],
  ])('is found: %s', (text, id) => {
    expect(seemingId(text)).toBe(id)
  })

  test.each([
    ['noise', 'Server listening on stdio'],
    ['nothing', ''],
    ['an id in a text', String.raw`{"jsonrpc":"2.0","result":"{\"id\":7}`],
    ['a string id', '{"jsonrpc":"2.0","id":"7","result":nul}'],
    ['a negative id', '{"jsonrpc":"2.0","id":-7,"result":nul}'],
    ['a fraction', '{"jsonrpc":"2.0","id":7.5,"result":nul}'],
    ['a batch', '[{"jsonrpc":"2.0","id":7,"result":nul}]'],
    ['an id that may go on', '{"jsonrpc":"2.0","id":7'],
    ["a question, whose id is the asker's", '{"jsonrpc":"2.0","id":7,"method":"m","params":[]}'],
    ['a question with the id last', '{"method":"m","params":[],"jsonrpc":"2.0","id":7}'],
    ['a question in another order', '{"id":7,"jsonrpc":"2.0","method":"m","params":nul}'],
    ['a question with a string id', '{"jsonrpc":"2.0","id":"a","method":"m","x":nul,"id":7}'],
  ])('is nobody: %s', (_, text) => {
    expect(seemingId(text)).toBeUndefined()
  })
})
