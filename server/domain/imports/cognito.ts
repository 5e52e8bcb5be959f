/** Users as Amazon Cognito has them: answers of ListUsers, and files by the header of a user pool. It gives out no passwords. */
import { locale, type Mapper, phone, picture, timeOf, uuidOf } from './foreign-values.ts'
import type { Report } from './report.ts'

/** One of `{"Users": […]}`. */
export const cognitoUser: Mapper = (raw, report) => {
  const attributes = Object.fromEntries(raw.Attributes.map(({ Name, Value }: any) => [Name, Value]))
  if (raw.UserStatus === 'EXTERNAL_PROVIDER') report.note('links to accounts elsewhere')
  return {
    ...userOf({ 'cognito:username': raw.Username, ...attributes }, report),
    status: raw.Enabled === false ? 'disabled' : undefined,
    created_at: timeOf(typeof raw.UserCreateDate === 'number' ? raw.UserCreateDate * 1000 : raw.UserCreateDate),
  }
}

/** A line of CSV, by the names of its columns. */
export const cognitoCsvUser: Mapper = (raw, report) => userOf(raw, report)

/** Standard claims that have a place of their own; others become attributes. */
const PLACED = new Set([
  'sub',
  'email',
  'email_verified',
  'name',
  'given_name',
  'family_name',
  'nickname',
  'picture',
  'phone_number',
  'phone_number_verified',
  'locale',
  'zoneinfo',
  'updated_at',
  'identities',
  'cognito:username',
  'cognito:mfa_enabled',
  'cognito:user_status',
])

function userOf(raw: Record<string, string>, report: Report): Record<string, unknown> {
  const number = phone(raw.phone_number, report)
  const isMfa = flag(raw['cognito:mfa_enabled'])
  if (isMfa) report.note('second factors')
  const username = raw['cognito:username']
  const others = Object.entries(raw).filter(([name, value]) => !PLACED.has(name) && value)
  return {
    id: uuidOf(raw.sub),
    email: raw.email,
    email_verified: flag(raw.email_verified),
    given_name: raw.given_name || (raw.family_name ? undefined : raw.name),
    family_name: raw.family_name,
    nickname: raw.nickname,
    picture: picture(raw.picture, report),
    phone_number: number,
    phone_number_verified: number ? flag(raw.phone_number_verified) : undefined,
    locale: locale(raw.locale),
    zoneinfo: raw.zoneinfo,
    attributes: {
      ...(username && username !== raw.sub && username !== raw.email && { username }),
      ...Object.fromEntries(others.map(([name, value]) => [name.replace(/^custom:/, ''), value])),
    },
  }
}

const flag = (value: unknown): boolean | undefined =>
  value === undefined || value === '' ? undefined : /^true$/i.test(String(value))
