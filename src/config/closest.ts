/** What somebody probably meant who wrote something unknown. */

/** The known word that an unknown one is likely to stand for. */
export function closest(word: string, known: string[]): string | undefined {
  const [near] = known
    .map((candidate) => ({ candidate, by: farness(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.by - b.by)
  return near && near.by <= Math.max(2, word.length / 3) ? near.candidate : undefined
}

/** Levenshtein's distance; what is merely too short (`cmd`, `servers`) or too long (`environment`) is nearer than a typo. */
function farness(word: string, known: string): number {
  if (word.length >= 3 && (known.includes(word) || abbreviates(word, known))) return 0.5
  if (word.startsWith(known)) return 0.5
  let row = Array.from({ length: known.length + 1 }, (_, i) => i)
  for (let i = 1; i <= word.length; i++) {
    const next = [i]
    for (let j = 1; j <= known.length; j++) {
      const change = row[j - 1]! + (word[i - 1] === known[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[known.length]!
}

function abbreviates(word: string, known: string): boolean {
  const letters = known[Symbol.iterator]()
  const isInside = [...word].every((letter) => letters.some((other) => other === letter))
  return isInside && word[0] === known[0] && word.at(-1) === known.at(-1)
}
