/** How well texts of a page can be read, as browsers paint them. */
import type { Page } from 'playwright-core'

/** As much as is needed here of what there is in a page and nowhere else. */
interface Element {
  parentElement: Element | null
  checkVisibility(): boolean
}
interface Text {
  textContent: string
  parentElement: Element
}
declare const document: {
  body: Element
  createTreeWalker(root: Element, show: number): { nextNode(): Text | null }
}
declare const NodeFilter: { SHOW_TEXT: number }
declare function getComputedStyle(element: Element): { color: string; backgroundColor: string }

export interface Legible {
  text: string
  /** Of its color with what is behind it, from 1 to 21. */
  contrast: number
}

/**
 * Of every text that can be seen.
 *
 * @see [WCAG 2.2, contrast ratio](https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)
 */
export function legibilityOf(page: Page): Promise<Legible[]> {
  return page.evaluate(() => {
    type Color = [number, number, number, number]
    const colorOf = (css: string): Color => {
      const [r = 0, g = 0, b = 0, a = 1] = (css.match(/[\d.]+/g) ?? []).map(Number)
      return [r, g, b, a]
    }
    const over = (under: Color, [r, g, b, a]: Color): Color => {
      const mixed = [r, g, b].map((one, i) => one * a + under[i]! * (1 - a))
      return [mixed[0]!, mixed[1]!, mixed[2]!, 1]
    }
    const luminance = ([r, g, b]: Color) => {
      const [x, y, z] = [r, g, b].map((one) => {
        const part = one / 255
        return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * x! + 0.7152 * y! + 0.0722 * z!
    }
    const behind = (element: Element | null): Color =>
      element
        ? over(behind(element.parentElement), colorOf(getComputedStyle(element).backgroundColor))
        : [255, 255, 255, 1]
    const found: { text: string; contrast: number }[] = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const text = node.textContent.trim()
      const element = node.parentElement
      if (text === '' || !element.checkVisibility()) continue
      const background = behind(element)
      const color = over(background, colorOf(getComputedStyle(element).color))
      const [dark, light] = [luminance(color), luminance(background)].sort((a, b) => a - b)
      found.push({ text, contrast: (light! + 0.05) / (dark! + 0.05) })
    }
    return found
  })
}
