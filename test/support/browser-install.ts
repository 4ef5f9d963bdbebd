/**
 * Brings the browser that tests need, where there is none: Debian's package for root, playwright's own download elsewhere.
 *
 * It never fails itself: without a browser the tests that need one do, and everything else is still tested.
 */
import { dirname, join } from 'node:path'
import { chromium } from 'playwright-core'
import { installedBrowser, startBrowser } from './browser.ts'

const MINUTE = 60_000

async function hasBrowser(): Promise<boolean> {
  if (installedBrowser()) return true
  // Only playwright knows where it keeps its own.
  const browser = await startBrowser().catch(() => undefined)
  await browser?.close()
  return browser !== undefined
}

/** What it prints is shown only if it fails: that may be long. */
function run(command: string[]): boolean {
  console.log(`$ ${command.join(' ')}`)
  const { success, stdout, stderr, exitCode } = Bun.spawnSync(command, {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 3 * MINUTE,
    killSignal: 'SIGKILL',
  })
  if (!success) {
    const said = `${stdout}${stderr}`.trim().split('\n').slice(-15).join('\n')
    console.error(`${said}\n(${exitCode === null ? 'took too long' : `exit code ${exitCode}`})`)
  }
  return success
}

function install(): void {
  if (process.getuid?.() === 0 && Bun.which('apt-get')) {
    const apt = ['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=60', '-o', 'Acquire::Retries=2']
    // One list of several that cannot be had does not matter, if the package can.
    run([...apt, 'update'])
    if (run([...apt, 'install', '-y', '--no-install-recommends', 'chromium'])) return
  }
  // The package exports its description, but not its command.
  const description = Bun.resolveSync('playwright-core/package.json', import.meta.dir)
  const cli = join(dirname(description), 'cli.js')
  run([process.execPath, cli, 'install', 'chromium-headless-shell'])
}

if (!(await hasBrowser())) {
  install()
  if (!(await hasBrowser())) {
    console.error(
      `no browser: tests that need one will fail. Install Chromium, or name one in $CHROMIUM (playwright looks for ${chromium.executablePath()}).`,
    )
  }
}
