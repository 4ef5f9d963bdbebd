/**
 * A headless Chromium, as people have it: the one that is named by `$CHROMIUM`, installed here, or downloaded by playwright.
 * `browser-install.ts` sees to it that there is one.
 */
import { type Browser, chromium } from 'playwright-core'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

/** Undefined if only playwright can know of one. */
export function installedBrowser(): string | undefined {
  const named = process.env.CHROMIUM
  if (named) return named
  for (const name of NAMES) {
    const path = Bun.which(name)
    if (path) return path
  }
  return undefined
}

/** @throws {Error} if there is none: what needs a browser fails without one. */
export function startBrowser(): Promise<Browser> {
  const executablePath = installedBrowser()
  return chromium.launch({ ...(executablePath && { executablePath }), timeout: 60_000 })
}
