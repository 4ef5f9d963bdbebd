/** `hash-password`: what to write for a password into `auth.oauth.users`. */
import { readFlags, UsageError } from './flags.ts'

const HELP = `Usage: mcp-gateway hash-password

  Asks for a password, twice and without showing it, and prints a hash of it
  for auth.oauth.users. What is piped in is taken as it is, without the new
  line at its end:  printf %s "$PASSWORD" | mcp-gateway hash-password

  --help              print this and exit
`

const LONGEST = 1024

export async function hashPassword(argv: readonly string[]): Promise<void> {
  const { flags } = readFlags(argv, { help: { type: 'boolean', short: 'h' } })
  if (flags.help) return void process.stdout.write(HELP)
  const password = process.stdin.isTTY ? await askedTwice() : await piped()
  if (password === '') throw new UsageError('the password is empty')
  if (password.length > LONGEST) {
    throw new UsageError(`the password has more than ${LONGEST} characters`)
  }
  // 64 MB and a tenth of a second: more than who guesses can afford, and no more than a gateway can.
  const cost = { algorithm: 'argon2id', memoryCost: 65_536, timeCost: 2 } as const
  process.stdout.write(`${await Bun.password.hash(password, cost)}\n`)
}

async function piped(): Promise<string> {
  return (await Bun.stdin.text()).replace(/\r?\n$/, '')
}

async function askedTwice(): Promise<string> {
  const password = await asked('Password: ')
  if (password !== (await asked('Again: '))) throw new UsageError('the two are not the same')
  return password
}

/** One line from the terminal, which shows nothing of it. */
async function asked(question: string): Promise<string> {
  const { stdin, stderr } = process
  stderr.write(question)
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  stdin.resume()
  try {
    return await new Promise<string>((resolve, reject) => {
      let line = ''
      const read = (typed: string) => {
        const { text, end } = edited(line, typed)
        line = text
        if (!end) return
        stdin.off('data', read)
        if (end === 'line') resolve(line)
        else reject(new UsageError('nothing was read'))
      }
      stdin.on('data', read)
    })
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}

/** What a terminal would make of keys, were it not told to leave them alone. */
export function edited(line: string, typed: string): { text: string; end?: 'line' | 'abandoned' } {
  let text = line
  for (const key of typed) {
    if (key === '\r' || key === '\n') return { text, end: 'line' }
    // Ctrl-C, Ctrl-D
    if (key === '\x03' || key === '\x04') return { text, end: 'abandoned' }
    if (key === '\x7f' || key === '\b') text = [...text].slice(0, -1).join('')
    // Ctrl-U
    else if (key === '\x15') text = ''
    else if (key >= ' ') text += key
  }
  return { text }
}
