/** Templates in Go's spelling: what they say, and that no value can ever be more than a value. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Target, type Value } from '../../src/auth/dialog/escaping.ts'
import { compile, type Data, TemplateError } from '../../src/auth/dialog/template.ts'

const names = ['A', 'B', 'C', 'L', 'U']
const surroundings = { nonce: 'n0nce', fields: { form: 'f"1' }, base: '/gw' }

function render(source: string, data: Data = {}): string {
  return compile(source, { names })(data, surroundings)
}

function refusal(source: string): string {
  try {
    compile(source, { names })
  } catch (error) {
    expect(error).toBeInstanceOf(TemplateError)
    return (error as Error).message
  }
  throw new Error('it was taken')
}

describe('says', () => {
  test.each<[string, Data, string]>([
    ['{{.A}}', { A: 'a' }, 'a'],
    ['{{ .A }}|{{$.A}}', { A: 'a' }, 'a|a'],
    ['{{.A}}', {}, ''],
    ['x {{- .A -}} y', { A: 'a' }, 'xay'],
    ['x {{- /* nothing */ -}} y{{/* {{.Z}} */}}', {}, 'xy'],
    ['{{if .A}}yes{{else}}no{{end}}', { A: 'a' }, 'yes'],
    ['{{if .A}}yes{{else}}no{{end}}', { A: '' }, 'no'],
    ['{{if .A}}a{{else if .B}}b{{else}}c{{end}}', { B: true }, 'b'],
    ['{{if .A}}a{{else if .B}}b{{else}}c{{end}}', { B: false }, 'c'],
    ['{{if not .A}}no{{end}}', {}, 'no'],
    ['{{if eq .A "x" "y"}}1{{end}}{{if ne .A "x"}}2{{end}}', { A: 'y' }, '12'],
    ['{{if and .A (or .B .C)}}1{{end}}', { A: 'a', C: 'c' }, '1'],
    ['{{with .A}}[{{.}}]{{else}}none{{end}}', { A: 'a' }, '[a]'],
    ['{{with .A}}[{{.}}]{{else}}none{{end}}', {}, 'none'],
    ['{{range .L}}({{.}}{{$.A}}){{else}}none{{end}}', { L: ['1', '2'], A: '!' }, '(1!)(2!)'],
    ['{{range .L}}({{.}}){{else}}none{{end}}', { L: [] }, 'none'],
    ['{{.A | html}} {{len .L}} {{"a}}b"}} {{`raw`}}', { A: 'a', L: ['x'] }, 'a 1 a}}b raw'],
    ['<!-- {{.A}} -->x<!doctype html>', { A: 'secret' }, 'x<!doctype html>'],
  ])('%p of %p as %p', (source, data, expected) => {
    expect(render(source, data)).toBe(expected)
  })

  test('another file where it is named', () => {
    const include = (file: string) => (file === 'style.css' ? 'a{color:red}' : undefined)
    const page = compile('<style>{{template "style.css"}}</style>', { names, include })
    expect(page({}, surroundings)).toBe('<style nonce="n0nce">a{color:red}</style>')
    expect(() => compile('{{template "other"}}', { names, include })).toThrow('no such file')
  })
})

describe('adds', () => {
  test('the nonce to scripts and styles, and nothing to what only looks like one', () => {
    expect(render('<script src="/x"></script><SCRIPT>1</SCRIPT><p>&lt;script></p>')).toBe(
      '<script nonce="n0nce" src="/x"></script><SCRIPT nonce="n0nce">1</SCRIPT><p>&lt;script></p>',
    )
  })

  test('the hidden fields to forms that are posted, and to no others', () => {
    const hidden = '<input type="hidden" name="form" value="f&#34;1">'
    expect(render('<form method="POST" class=x>')).toBe(`<form method="POST" class=x>${hidden}`)
    expect(render('<form><form method="get">')).toBe('<form><form method="get">')
  })

  test('the path that the gateway is at to its own URLs', () => {
    expect(render('<form action="/oauth/authorize"><a href="/other">')).toBe(
      '<form action="/gw/oauth/authorize"><a href="/other">',
    )
  })
})

describe('is refused, with the line', () => {
  test.each([
    ['a name that does not exist', '\n{{.Nope}}', 'line 2: {{.Nope}}: there is no Nope here'],
    ['an unknown function', '{{printf "x" .A}}', '"printf" is not known here'],
    ['a definition', '{{define "x"}}{{end}}', '"define" is not known'],
    ['a variable', '{{$x := .A}}', 'did not expect'],
    ['what is not ended', '{{if .A}}', '{{end}} is missing'],
    ['what ends nothing', '{{end}}', 'ends nothing'],
    ['half an action', 'a\n{{.A', 'line 2: a "}}" is missing'],
    ['a name in the wrong scope', '{{with .A}}{{.B}}{{end}}', 'write $.B'],
    ['a value as a tag', '<{{.A}}>', 'in text and in attributes only'],
    ['a value in a tag', '<p {{.A}}>', 'in text and in attributes only'],
    ['a value without quotes', '<p title={{.A}}>', 'in quotes'],
    ['a value behind one without quotes', '<p title=a{{.A}}>', 'in quotes'],
    ['a value in a style', '<style>a{color:{{.A}}}</style>', 'no value can stand in <style>'],
    ['a value in a style attribute', '<p style="{{.A}}">', 'attribute style'],
    ['a value in a handler', '\n\n<p onclick="{{.A}}">', 'line 3: no value can stand'],
    ['a value in srcdoc', '<iframe srcdoc="{{.A}}">', 'attribute srcdoc'],
    ['a value in a frame', '<iframe>{{.A}}</iframe>', 'no value can stand in <iframe>'],
    ['a value as a type', '<script type="{{.A}}">', 'attribute type'],
    ['a value in any content', '<meta content="{{.A}}">', '0; url='],
    ['a value behind a scheme that runs', '<a href="javascript:{{.A}}">', 'href'],
    ['a value behind the beginning of a scheme', '<a href="j{{.A}}">', 'href'],
    ['two values that could be a scheme', '<a href="{{.A}}{{.B}}">', 'href'],
    ['a value in a regular expression', '<script>/{{.A}}/</script>', 'in code and in quoted'],
    ['a value in a template literal', '<script>`{{.A}}`</script>', 'in code and in quoted'],
    ['a value in a comment of a script', '<script>// {{.A}}\n</script>', 'in code and in quoted'],
    ['half an end tag', '<script>"</scr{{.A}}ipt>"</script>', '"<" at the end'],
    ['an HTML comment in a script', '<script><!-- {{.A}}</script>', '<!--'],
    ['a name of a tag in halves', '<scr{{if .A}}ipt{{end}}>', 'cut'],
    ['a name of an attribute in halves', '<p {{if .A}}on{{end}}click="{{.B}}">', 'attribute ?'],
    ['branches that end elsewhere', '{{if .A}}<p title="{{end}}', 'not in the same place'],
    ['a loop that ends elsewhere', '{{range .L}}<script>{{end}}', 'not in the same place'],
    ['an end within a tag', '<p title="x', 'in the middle'],
    ['another base for URLs', '<base href="https://evil.example/">', '<base>'],
  ])('%s', (_, source, why) => {
    expect(refusal(source)).toContain(why)
  })
})

const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' onmouseover='alert(1)",
  '</title></textarea></script><b>',
  'javascript:alert(1)',
  ' JaVaScript:alert(1)',
  'java\nscript:alert(1)',
  '\u0001javascript:alert(1)',
  'data:text/html,<script>alert(1)</script>',
  'vbscript:x',
  'javascript&colon;alert(1)',
  '"-alert(1)-"',
  "\\'-alert(1)//",
  '`${alert(1)}`',
  '<!--',
  ']]>',
  '{{.A}}',
  '\u2028\u2029\0\ufeff\ud800',
  '//evil.example',
  '\\\\evil.example',
]

interface Shape {
  elements: string[]
  texts: string[]
  hrefs: string[]
}

/** As a browser would see it: elements with the names of their attributes. */
async function shapeOf(page: string): Promise<Shape> {
  const elements: string[] = []
  const hrefs: string[] = []
  const texts: string[] = []
  const rewriter = new HTMLRewriter().on('*', {
    element(element) {
      const attributes = [...element.attributes]
      elements.push(`${element.tagName} ${attributes.map(([name]) => name).join(' ')}`)
      for (const [name, value] of attributes) {
        if (name === 'href' || name === 'action') hrefs.push(value)
      }
    },
  })
  rewriter.onDocument({
    comments: (comment) => void elements.push(`comment ${comment.text}`),
    text: (text) => void texts.push(text.text),
  })
  await rewriter.transform(new Response(page)).text()
  return { elements, texts, hrefs }
}

const PAGE = `<!doctype html><title>{{.A}}</title><h1 title="{{.A}}" data-x='{{.B}}'>{{.A}}</h1>
<a href="{{.A}}">1</a><a href="/p/{{.A}}?q={{.B}}#{{.A}}">2</a><textarea>{{.B}}</textarea>
<form method="post" action="/oauth/authorize"><input name="n" value="{{.A}}"></form>
<script>var a = {{.A}}; var b = "{{.B}}", c = '{{.A}}'; var re = /["']/; go({{.B}})</script>
{{if .C}}<p{{if .A}} title="{{.A}}"{{end}}>{{with .A}}{{.}}{{end}}</p>{{end}}{{range .L}}<li>{{.}}</li>{{end}}`

describe('whatever a value is', () => {
  const page = compile(PAGE, { names })
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(...HOSTILE),
    fc
      .array(fc.constantFrom(...HOSTILE, '&', '<', '"', "'", '\\', '/', 'a'), { maxLength: 4 })
      .map((parts) => parts.join('')),
  )

  test('the document has the same elements and attributes as with a harmless one', async () => {
    const plain = await shapeOf(page({ A: 'a', B: 'b', C: true, L: ['x'] }, surroundings))
    await fc.assert(
      fc.asyncProperty(value, value, value, async (a, b, item) => {
        const data = { A: `a${a}`, B: b, C: true, L: [item] }
        const { elements } = await shapeOf(page(data, surroundings))
        expect(elements).toEqual(plain.elements)
      }),
      { numRuns: 500 },
    )
  })

  test('no link leads to a scheme that runs', async () => {
    await fc.assert(
      fc.asyncProperty(value, value, async (a, b) => {
        const { hrefs } = await shapeOf(page({ A: a, B: b, C: false, L: [] }, surroundings))
        for (const href of hrefs) {
          const said = href.replace(/&[a-z]+;|&#\d+;/gi, 'x')
          expect(URL.parse(said, 'https://gateway.example/')?.protocol ?? '').toMatch(
            /^(https?|mailto|):?$/,
          )
        }
      }),
      { numRuns: 500 },
    )
  })

  test('a script holds it as the text that it is, and nothing else', () => {
    const script = compile('<script>return [{{.A}}, "{{.A}}", \'{{.A}}\']</script>', { names })
    fc.assert(
      fc.property(value, (a) => {
        const text = script({ A: a }, surroundings)
        const [, code = ''] = /<script nonce="n0nce">([^<]*)<\/script>$/.exec(text) ?? []
        expect(new Function(code)()).toEqual([a, a, a])
      }),
      { numRuns: 500 },
    )
  })
})

describe('a URL', () => {
  const href = (value: Value) => /"(.*)"/.exec(render('<a href="{{.U}}">', { U: value }))![1]

  test.each(HOSTILE.slice(4, 9))('of a scheme that runs is blocked: %p', (url) => {
    expect(href(url)).not.toMatch(/^\s*(javascript|data|vbscript):/i)
    expect(href(new Target(url.trim()))).not.toMatch(/^\s*(javascript|data|vbscript):/i)
  })

  test('of an app is blocked, unless it was judged', () => {
    expect(href('cursor://x/y?code=1')).toBe('#blocked')
    expect(href(new Target('cursor://x/y?code=1&state=a'))).toBe('cursor://x/y?code=1&amp;state=a')
  })

  test('keeps what it is', () => {
    const url = 'http://[::1]:8080/a%20b/?q=1&r=%C3%A4#f'
    expect(href(url)).toBe(url.replaceAll('&', '&amp;'))
    expect(render('<meta http-equiv="refresh" content="0; url={{.U}}">', { U: url })).toContain(
      `content="0; url=${url.replaceAll('&', '&amp;')}"`,
    )
  })
})
