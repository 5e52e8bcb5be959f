/** What a page's script posts after the browser was asked for a passkey, and which refusals of it can be mended. */
import { fail } from '../server/kernel/errors.ts'

export function credentialOf(value: string | undefined): unknown {
  try {
    return JSON.parse(value ?? '')
  } catch {
    throw fail('VALIDATION_ERROR', 'The browser sent no passkey')
  }
}

/** What the person can mend by trying again. */
export const mendable = new Set(['INVALID_TOKEN', 'INVALID_CREDENTIALS', 'INVALID_CODE', 'VALIDATION_ERROR'])
