/** What an invitation's mail carries: a link, and a code to type into an app. Only hashes are stored. */
import { randomInt } from 'node:crypto'
import type { Db } from '../../../adapters/knex.ts'
import { randomToken, sha256 } from '../../../adapters/sealing.ts'

/** Without signs that look alike. */
const ALPHABET = 'abcdefghjkmnpqrstuvwxyz23456789'
const CODE_LENGTH = 12

export const tokenHash = (token: string): Buffer => sha256(token)

/** People type codes in their own way. */
export const codeHash = (tenantId: string, code: string): Buffer =>
  sha256(`${tenantId} ${code.toLowerCase().replace(/[^a-z0-9]/g, '')}`)

export interface Secrets {
  token: string
  code: string
  /** Seconds. */
  expires: number
}

/** Makes link and code of the mail with this number; what an earlier mail carried is dead. Undefined when it is over. */
export async function mint(
  db: Db,
  tenantId: string,
  { invitationId, number }: { invitationId: string; number: number },
): Promise<Secrets | undefined> {
  const token = randomToken()
  const code = Array.from({ length: CODE_LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
  const [row] = await db('invitations')
    .where({ tenant_id: tenantId, id: invitationId, sends: number, accepted_at: null, revoked_at: null })
    .where('expires_at', '>', db.fn.now())
    .update({ token_hash: tokenHash(token), code_hash: codeHash(tenantId, code), sent_at: db.fn.now() })
    .returning(db.raw('ceil(extract(epoch from expires_at - now()))::int as expires'))
  return row && { token, code: code.replace(/(.{4})(?=.)/g, '$1-'), expires: row.expires }
}
