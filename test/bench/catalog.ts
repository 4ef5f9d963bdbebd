/**
 * Tools as servers in the field list them: most are told in a sentence or two and take two to six arguments, which makes
 * 300 B to 1 KB of JSON each. Always the same ones.
 */
import { picker } from './picker.ts'

export interface Tool {
  name: string
  description: string
  inputSchema: { type: 'object'; properties: Record<string, object>; required: string[] }
  annotations: { readOnlyHint: boolean; openWorldHint: boolean }
}

/** The servers that are merged, all with the same tools. */
export const merged = {
  servers: Array.from({ length: 20 }, (_, index) => `s${index + 1}`),
  tools: 25,
}

/** The one that is called, by a name of choice, and others that make up the number: 26 at most. */
export function toolsOf(called: string, count: number): Tool[] {
  const pick = picker()
  const first: Tool = {
    name: called,
    description: 'Reads a file of the project, as text or as rows, up to the size asked for.',
    inputSchema: {
      type: 'object',
      properties: {
        path: { type: 'string', description: 'Absolute path of the file' },
        shape: { type: 'string', enum: ['text', 'structured'] },
        bytes: { type: 'integer', minimum: 60 },
      },
      required: ['path'],
    },
    annotations: { readOnlyHint: true, openWorldHint: false },
  }
  const all = verbs.flatMap((verb) => nouns.map((noun) => tool(verb, noun, pick)))
  return [first, ...all].slice(0, count)
}

const verbs = ['list', 'search', 'get', 'create', 'update']
const nouns = ['issues', 'commits', 'branches', 'reviews', 'releases']

const sentences = [
  'Results are sorted by the time of the last change, the newest first.',
  'Needs read access to the repository; what cannot be seen is left out without a word.',
  'Ask for the next page with the cursor of the one before.',
  'Names are matched without regard to case, and may hold `*`.',
]

const properties: [name: string, schema: object][] = [
  ['owner', { type: 'string', description: 'Account or organisation that owns the repository' }],
  ['repo', { type: 'string', description: 'Name of the repository, without its owner' }],
  [
    'query',
    { type: 'string', minLength: 1, description: 'Words to look for, "in quotes" exactly' },
  ],
  ['state', { type: 'string', enum: ['open', 'closed', 'all'], default: 'open' }],
  ['labels', { type: 'array', items: { type: 'string' }, description: 'All of these must be set' }],
  ['since', { type: 'string', format: 'date-time', description: 'Leave out what is older' }],
  ['perPage', { type: 'integer', minimum: 1, maximum: 100, default: 30 }],
  ['cursor', { type: 'string', description: 'Where the page before has ended' }],
  ['draft', { type: 'boolean', default: false, description: 'Whether drafts are meant, too' }],
]

function tool(verb: string, noun: string, pick: (below: number) => number): Tool {
  const first = pick(properties.length)
  const shown = Array.from({ length: 2 + pick(5) }, (_, index) => {
    return properties[(first + index) % properties.length]!
  })
  const told = sentences.slice(0, pick(sentences.length))
  return {
    name: `${verb}_${noun}`,
    description: [
      `${verb[0]!.toUpperCase()}${verb.slice(1)} ${noun} of a repository.`,
      ...told,
    ].join(' '),
    inputSchema: {
      type: 'object',
      properties: Object.fromEntries(shown),
      required: shown.slice(0, 2).map(([name]) => name),
    },
    annotations: { readOnlyHint: !['create', 'update'].includes(verb), openWorldHint: true },
  }
}
