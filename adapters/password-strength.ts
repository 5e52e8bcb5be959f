/**
 * How guessable a password is: the 49,000 most common ones, and zxcvbn's estimate. Both are read when first needed; the
 * list stays one string (0.5 MB), zxcvbn takes 30 MB and is loaded only where a tenant asks for a score.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { lazily } from './lazily.ts'

const zxcvbn = lazily<typeof import('@zxcvbn-ts/core')>('@zxcvbn-ts/core')
const language = lazily<typeof import('@zxcvbn-ts/language-common')>('@zxcvbn-ts/language-common')
/** zxcvbn's time grows faster than its input: 64 characters take 30 ms at most. */
const ESTIMATED_LENGTH = 64

let list: string | undefined
let estimator: { check(password: string, words: string[]): { score: number } } | undefined

/** Whether the password is on the list, whatever its case. */
export function isCommon(password: string): boolean {
  list ??= readFileSync(fileURLToPath(import.meta.resolve('@zxcvbn-ts/language-common/src/passwords.json')), 'utf8')
  return list.includes(JSON.stringify(password.normalize('NFKC').toLowerCase()))
}

/** 0 (guessed at once) to 4; `words` are known of the person and count as guessed. */
export function score(password: string, words: string[]): number {
  estimator ??= load()
  return estimator.check(password.slice(0, ESTIMATED_LENGTH), words).score
}

function load(): NonNullable<typeof estimator> {
  const { dictionary, adjacencyGraphs } = language()
  return new (zxcvbn().ZxcvbnFactory)({ dictionary, graphs: adjacencyGraphs })
}
