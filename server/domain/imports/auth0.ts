/** Users as Auth0 exports them, with password hashes and factors where its support has added them. */
import { isKnownHash } from '../../../adapters/passwords.ts'
import { locale, type Mapper, phone, picture, timeOf } from './foreign-values.ts'
import type { Report } from './report.ts'

export const auth0User: Mapper = (raw, report) => {
  const id: unknown = raw.user_id ?? raw.Id ?? raw._id?.$oid
  if (raw.identities?.some((one: any) => one.provider !== 'auth0')) report.note('links to accounts elsewhere')
  const number = phone(raw.phone_number, report)
  return {
    email: raw.email ?? raw.Email,
    email_verified: raw.email_verified ?? raw['Email Verified'],
    given_name: raw.given_name ?? (raw.family_name === undefined && raw.name !== raw.email ? raw.name : undefined),
    family_name: raw.family_name,
    nickname: raw.nickname,
    picture: picture(raw.picture, report),
    phone_number: number,
    phone_number_verified: number ? raw.phone_verified : undefined,
    locale: locale(raw.locale),
    status: raw.blocked === true ? 'disabled' : undefined,
    created_at: timeOf(raw.created_at?.$date ?? raw.created_at),
    password_hash: passwordOf(raw, report),
    totp_secret: totpOf(raw.mfa_factors, report),
    attributes: {
      ...(typeof id === 'string' && { auth0_user_id: id }),
      ...(raw.username && { username: raw.username }),
      ...(raw.user_metadata && { user_metadata: raw.user_metadata }),
      ...(raw.app_metadata && { app_metadata: raw.app_metadata }),
    },
  }
}

/** `passwordHash` of an export, or `custom_password_hash` of a file for its import. */
function passwordOf(raw: any, report: Report): string | undefined {
  const hash = raw.passwordHash ?? raw.password_hash ?? raw.custom_password_hash?.hash?.value
  if (hash === undefined || hash === null) return undefined
  if (typeof hash === 'string' && isKnownHash(hash)) return hash
  report.note(`passwords hashed by ${raw.custom_password_hash?.algorithm ?? 'an unknown algorithm'}`)
  return undefined
}

function totpOf(factors: any[] | undefined, report: Report): string | undefined {
  for (const factor of factors ?? []) if (!factor.totp) report.note(`factors: ${Object.keys(factor)[0]}`)
  return factors?.find((factor) => factor.totp?.secret)?.totp.secret
}
