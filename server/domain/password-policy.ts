/** What a good password is here: length, the list of common ones, words of the person and the tenant, an optional score. */
import { isCommon, score } from '../../adapters/password-strength.ts'
import type { Tenant } from './directory.ts'

const MAX_LENGTH = 256
/** What must be left of a password besides a word that everybody can guess. */
const LEFT_OVER = 6

/** What is known of the person, as row or as input. */
export interface About {
  email?: string | null | undefined
  givenName?: string | null | undefined
  familyName?: string | null | undefined
  given_name?: string | null
  family_name?: string | null
  phoneNumber?: string | null | undefined
  phone_number?: string | null
}

export type Weakness =
  | 'too_short'
  | 'too_long'
  | 'too_simple'
  | 'too_common'
  | 'contains_context'
  | 'too_guessable'
  | 'reused'

export const explanations: Record<Weakness, string> = {
  too_short: 'is too short',
  too_long: 'is too long',
  too_simple: 'repeats very few characters',
  too_common: 'is one of the most common passwords',
  contains_context: 'is little more than your name, your address or the name of this service',
  too_guessable: 'is too easy to guess',
  reused: 'was used before',
}

/** Rules the password breaks; empty when it is fine. Looks at the words only, so it tells nothing about any account. */
export function weaknesses({ tenant }: { tenant: Tenant }, password: string, about: About): Weakness[] {
  const { settings } = tenant
  const found: Weakness[] = []
  if ([...password].length < settings.password_min_length) found.push('too_short')
  if (password.length > MAX_LENGTH) found.push('too_long')
  if (new Set(password).size < 4) found.push('too_simple')
  if (found.length > 0) return found
  if (settings.password_common_check && isCommon(password)) found.push('too_common')
  const words = contextOf(tenant, about)
  if (words.some((word) => leftOver(password, word) < LEFT_OVER)) found.push('contains_context')
  if (settings.password_min_score > 0 && score(password, words) < settings.password_min_score)
    found.push('too_guessable')
  return found
}

/** For a meter: zxcvbn's score, 0 (guessed at once) to 4, and why the password would be refused, if it would. */
export function strength(
  ctx: { tenant: Tenant },
  password: string,
  about: About,
): { score: number; weakness: Weakness | undefined } {
  const [weakness] = weaknesses(ctx, password, about)
  const estimated = score(password, contextOf(ctx.tenant, about))
  return { score: weakness ? Math.min(estimated, 1) : estimated, weakness }
}

const letters = (text: string) =>
  text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]/gu, '')

function contextOf(tenant: Tenant, about: About): string[] {
  const [local = '', host = ''] = (about.email ?? '').split('@')
  return [
    ...[local, ...local.split(/[._+-]/), ...host.split('.').slice(0, -1)],
    ...[about.givenName, about.familyName, about.given_name, about.family_name],
    ...[about.phoneNumber, about.phone_number],
    ...[tenant.name, tenant.slug, ...tenant.settings.password_context_words],
  ]
    .map((word) => letters(word ?? ''))
    .filter((word, i, all) => word.length >= 4 && all.indexOf(word) === i)
}

/** Letters and digits besides the word; as many as there are where it is not in there. */
function leftOver(password: string, word: string): number {
  const plain = letters(password)
  return plain.includes(word) ? plain.replaceAll(word, '').length : Number.POSITIVE_INFINITY
}
