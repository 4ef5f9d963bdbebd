/** The prompts and resources that a session begins with, and the contents that tools answer with too. */
import * as mcp from '@modelcontextprotocol/sdk/types.js'

export const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC'
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA=='

export const text = (text: string) => ({ type: 'text' as const, text })
export const image = { type: 'image' as const, data: PNG, mimeType: 'image/png' }
export const audio = { type: 'audio' as const, data: WAV, mimeType: 'audio/wav' }
export const embedded = (uri: string, mimeType: string, text: string) => ({
  type: 'resource' as const,
  resource: { uri, mimeType, text },
})

/** Whatever may be said of a tool, a prompt, a resource or a template besides what it is. */
export const DECORATION = {
  title: 'A title',
  icons: [{ src: `data:image/png;base64,${PNG}`, mimeType: 'image/png', sizes: ['1x1'] }],
  _meta: { 'example.com/decoration': { nested: [1, 'two', null] } },
}

export interface Prompt {
  args: string[]
  contents(args: Record<string, string>): mcp.PromptMessage['content'][]
  details?: Partial<mcp.Prompt>
}

export interface Resource {
  contents: { mimeType: string } & ({ text: string } | { blob: string })
  details?: Partial<mcp.Resource>
}

interface Template {
  name: string
  read(value: string): Resource['contents']
  details?: Partial<mcp.ResourceTemplate>
}

const plain = (text: string) => ({ mimeType: 'text/plain', text })

/** By name; what is called `whoami` tells servers apart. */
export const prompts = (server: string): Record<string, Prompt> => ({
  test_simple_prompt: { args: [], contents: () => [text('This is a simple prompt for testing.')] },
  test_prompt_with_arguments: {
    args: ['arg1', 'arg2'],
    contents: ({ arg1, arg2 }) => [text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  },
  test_prompt_with_embedded_resource: {
    args: ['resourceUri'],
    contents: ({ resourceUri = '' }) => [
      embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.'),
      text('Please process the embedded resource above.'),
    ],
  },
  test_prompt_with_image: {
    args: [],
    contents: () => [image, text('Please analyze the image above.')],
  },
  whoami: { args: [], contents: () => [text(server)], details: DECORATION },
})

/** By URI. */
export const resources = (server: string): Record<string, Resource> => ({
  'test://static-text': { contents: plain('This is the content of the static text resource.') },
  'test://static-binary': { contents: { mimeType: 'image/png', blob: PNG } },
  'test://watched-resource': { contents: plain('Subscribe to me.') },
  [`test://${server}/whoami`]: {
    contents: plain(server),
    details: { ...DECORATION, size: server.length, annotations: { priority: 0.5 } },
  },
})

/** By URI template, of one expression each. */
export const templates = (server: string): Record<string, Template> => ({
  'test://template/{id}/data': {
    name: 'template',
    read(id) {
      const data = { id, templateTest: true, data: `Data for ID: ${id}` }
      return { mimeType: 'application/json', text: JSON.stringify(data) }
    },
  },
  [`test://${server}/words/{word}`]: {
    name: 'words',
    read: (word) => plain(`${server} says ${word}`),
    details: DECORATION,
  },
})

/** A resource of its own right, or one that a template makes. */
export function read(
  uri: string,
  resources: Record<string, Resource>,
  templates: Record<string, Template>,
): Resource['contents'] {
  if (resources[uri]) return resources[uri].contents
  for (const [template, { read }] of Object.entries(templates)) {
    const [before = '', after = ''] = template.split(/\{\w+\}/)
    const value = uri.slice(before.length, after ? -after.length : undefined)
    if (value && !value.includes('/') && uri === `${before}${value}${after}`) return read(value)
  }
  // -32002 is the code the revisions up to 2025-11-25 give to a resource that is not there.
  throw new mcp.McpError(-32002, 'Resource not found', { uri })
}
