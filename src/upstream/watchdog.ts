/**
 * Ends the child processes of a gateway that cannot do so any more, because it was killed or crashed.
 *
 * A shell in a session of its own is told which process groups there are. When its input ends, those that are left get
 * SIGTERM and, a second later, SIGKILL. Where there is no shell, nothing is guarded, and that is noted once.
 */

/** One for each gateway, closed by it when its children are gone. Nothing here throws, or keeps the process alive. */
export class Watchdog {
  readonly #onNote: (text: string) => void
  readonly #shell: string
  readonly #groups = new Set<number>()
  #process: Bun.Subprocess<'pipe', 'ignore', 'ignore'> | undefined
  #restart: Timer | undefined
  #isNoted = false
  #isClosed = false

  /** @param onNote told, once at most, why children may survive. */
  constructor(onNote: (text: string) => void = () => {}, shell = SHELL) {
    this.#onNote = onNote
    this.#shell = shell
  }

  /** From now on the group ends with this process. To be called as soon as its leader was started. */
  guard(group: number): void {
    if (this.#isClosed || this.#groups.has(group)) return
    this.#groups.add(group)
    if (this.#process) this.#tell(`+${group}\n`)
    else this.#start()
  }

  /** The group is gone. To be called as soon as that is known: its number may be given to somebody else. */
  release(group: number): void {
    if (this.#groups.delete(group)) this.#tell(`-${group}\n`)
  }

  /** Ends the groups that are still guarded, and guards no more. Idempotent. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#restart)
    try {
      ignored(this.#process?.stdin.end())
    } catch {
      // It is gone.
    }
  }

  #start(): void {
    clearTimeout(this.#restart)
    const begun = performance.now()
    try {
      const child = Bun.spawn([this.#shell, '-c', SCRIPT, NAME], {
        // Not ours: it would keep a directory from being unmounted.
        cwd: '/',
        env: { PATH: process.env.PATH || '/usr/bin:/bin' },
        stdio: ['pipe', 'ignore', 'ignore'],
        // What a terminal sends to all processes in front of it does not come here.
        detached: true,
        onExit: () => this.#ended(begun),
      })
      child.unref()
      this.#process = child
    } catch (error) {
      // The next group is another attempt: there may just be too many processes now.
      this.#note(error instanceof Error ? error.message : String(error))
    }
    this.#tell([...this.#groups].map((group) => `+${group}\n`).join(''))
  }

  #tell(text: string): void {
    try {
      // Sent at once: what is not said when we are killed is never said.
      ignored(this.#process?.stdin.write(text))
      ignored(this.#process?.stdin.flush())
    } catch {
      // It is gone. The next one is told of all groups.
    }
  }

  /** Somebody killed it, or it cannot run here. */
  #ended(begun: number): void {
    this.#process = undefined
    if (this.#isClosed || this.#groups.size === 0) return
    const isShort = performance.now() - begun < SHORT
    if (isShort) this.#note('it ended at once')
    this.#restart = setTimeout(() => this.#start(), isShort ? SHORT : 0).unref()
  }

  #note(why: string): void {
    if (this.#isNoted) return
    this.#isNoted = true
    this.#onNote(`no watchdog: if this process is killed, its children may survive: ${why}`)
  }
}

const SHELL = '/bin/sh'
/** How it is called in lists of processes. Not by our name: who ends us with `pkill -9 -f mcp-gateway` would end both. */
const NAME = 'mcp-watchdog'
/** One that lived no longer, in ms, is not started again at once. */
const SHORT = 1_000

/**
 * For any POSIX shell. Between the two signals it looks who is gone, so that a number that is given to somebody else is
 * not used. A `sleep` that knows no fractions sleeps once; without any, the second signal follows the first. Of all ways to
 * write `kill` only this one suits every shell: busybox knows no `--` after `-s`, and dash needs one.
 */
const SCRIPT = `
trap '' INT TERM HUP
groups=' '
while read -r line; do
  group=\${line#?}
  case $line in
    +*) groups="$groups$group " ;;
    -*) case $groups in
          *" $group "*) groups="\${groups%%" $group "*} \${groups#*" $group "}" ;;
        esac ;;
  esac
done
send() {
  left=
  for group in $groups; do kill "-$1" "-$group" && left="$left $group"; done
  groups=$left
}
send TERM
for step in 1 2 3 4 5 6 7 8 9 10; do
  send 0
  [ -n "$groups" ] || exit 0
  sleep 0.1 || { sleep 1; break; }
done
send KILL
`

/** A promise of Bun that nobody awaits ends this process when it is rejected. */
function ignored(written: number | Promise<number> | undefined): void {
  if (written instanceof Promise) written.catch(() => {})
}
