/** One person as an import brings them: the fields there are, other names for them, and what makes a row unfit. */
import { isKnownHash } from '../../../adapters/passwords.ts'
import { knownSecret } from '../../../adapters/totp.ts'
import {
  anything,
  array,
  boolean,
  email,
  nullable,
  object,
  oneOf,
  optional,
  record,
  string,
  text,
  timeZone,
  uri,
  uuid,
} from '../../kernel/schema.ts'
import { bodyCheck, type Problem } from '../../kernel/validate.ts'
import { REQUIRED_ACTIONS, type RequiredAction } from '../required-actions.ts'
import { MAX_ATTRIBUTES, PHONE } from '../users.ts'

/** As it is sent; names are those of the wire, since files have them. */
export const ImportedUser = object(
  {
    id: optional(nullable(uuid({ description: 'Of a new person; kept, so that apps go on knowing them' }))),
    email: optional(nullable(email({ description: 'Or phone_number, of who signs in with nothing else' }))),
    email_verified: optional(nullable(boolean({ description: 'You vouch for the address' }))),
    given_name: optional(nullable(text(100))),
    family_name: optional(nullable(text(100))),
    nickname: optional(nullable(text(100))),
    phone_number: optional(nullable(text(32, { pattern: PHONE.source }))),
    phone_number_verified: optional(nullable(boolean())),
    picture: optional(nullable(uri({ pattern: '^https://' }))),
    locale: optional(nullable(text(35, { pattern: '^[A-Za-z0-9-]+$' }))),
    zoneinfo: optional(nullable(timeZone())),
    status: optional(nullable(oneOf(['active', 'disabled']))),
    enabled: optional(nullable(boolean({ description: 'The same as status' }))),
    roles: optional(nullable(array(text(512), { maxItems: 50, description: 'ids, names, or client_id/name' }))),
    organizations: optional(nullable(array(text(63), { maxItems: 50, description: 'Slugs; people become members' }))),
    attributes: optional(nullable(record(anything(), { maxProperties: 100 }))),
    password: optional(nullable(text(1024, { description: 'Of a new person, in the clear' }))),
    password_hash: optional(nullable(text(512, { description: 'Of a new person: argon2, bcrypt, PBKDF2 or scrypt' }))),
    totp_secret: optional(nullable(text(128, { description: 'Of a new person: Base32, for SHA-1, 6 digits, 30 s' }))),
    required_actions: optional(
      nullable(
        array(oneOf(REQUIRED_ACTIONS), { maxItems: 4, description: 'Of a new person: what the next sign-in asks for' }),
      ),
    ),
    created_at: optional(nullable(string({ format: 'date-time' }))),
  },
  { title: 'ImportedUser' },
)

/** Other names that files have. */
const aliases = new Map(
  Object.entries({
    first_name: 'given_name',
    firstname: 'given_name',
    forename: 'given_name',
    last_name: 'family_name',
    lastname: 'family_name',
    surname: 'family_name',
    is_email_verified: 'email_verified',
    mail: 'email',
    e_mail: 'email',
    email_address: 'email',
    phone: 'phone_number',
    language: 'locale',
    timezone: 'zoneinfo',
    time_zone: 'zoneinfo',
    role: 'roles',
  }),
)
/** What our own export has and nobody can bring along. */
const IGNORED = new Set(['updated_at', 'last_login_at', 'name'])

/** `E-Mail`, `firstName` and `First Name` are email and given_name. Undefined for what is to be ignored. */
export function fieldOf(name: string): string | undefined {
  const plain = name
    .trim()
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .replace(/[\s-]+/g, '_')
    .toLowerCase()
  if (IGNORED.has(plain)) return undefined
  return aliases.get(plain) ?? plain
}

export const FIELDS = new Set(Object.keys(ImportedUser.properties))

/** A row that may be written: absent leaves, null clears. */
export interface Candidate {
  id?: string
  /** Absent for who signs in with the number. */
  email?: string
  emailVerified?: boolean
  phoneVerified?: boolean
  enabled?: boolean
  /** Columns of users. */
  profile: Partial<Record<(typeof PROFILE)[number], string | null>>
  attributes: Record<string, unknown>
  roles: string[]
  /** Slugs. */
  organizations: string[]
  password?: string
  passwordHash?: string
  totpSecret?: string
  requiredActions: RequiredAction[]
  createdAt?: Date
}
export const PROFILE = [
  'given_name',
  'family_name',
  'nickname',
  'phone_number',
  'picture',
  'locale',
  'zoneinfo',
] as const

const check = bodyCheck(ImportedUser)

/** The row as a candidate, or what is wrong with it. */
export function candidateOf(row: unknown, ignoreUnknown: boolean): Candidate | Problem[] {
  if (typeof row !== 'object' || row === null || Array.isArray(row))
    return [{ field: '', message: 'must be an object' }]
  const fields: Record<string, any> = {}
  for (const [name, value] of Object.entries(row)) {
    const field = fieldOf(name)
    if (field === undefined || (ignoreUnknown && !FIELDS.has(field))) continue
    if (Object.hasOwn(fields, field)) return [{ field: name, message: `is there twice, as ${field}` }]
    Object.defineProperty(fields, field, { value, enumerable: true, configurable: true, writable: true })
  }
  if (typeof fields.email === 'string') fields.email = fields.email.trim()
  return check(fields) ?? contradictions(fields) ?? candidate(fields)
}

function contradictions(row: Record<string, any>): Problem[] | undefined {
  const found: Problem[] = []
  const wrong = (field: string, message: string) => void found.push({ field, message })
  if (row.password && row.password_hash) wrong('password', 'and password_hash exclude each other')
  if (row.password_hash && !isKnownHash(row.password_hash))
    wrong('password_hash', 'is no hash by argon2, bcrypt, PBKDF2 or scrypt that this server would compute')
  if (row.totp_secret && !knownSecret(row.totp_secret)) wrong('totp_secret', 'is not Base32 of 10 to 64 bytes')
  if (row.enabled != null && row.status != null && row.enabled !== (row.status === 'active'))
    wrong('enabled', `and status ${row.status} contradict each other`)
  if (!row.email && !row.phone_number) wrong('email', 'or phone_number must be there')
  if (row.email_verified && !row.email) wrong('email_verified', 'needs an email')
  if (row.phone_number_verified && !row.phone_number) wrong('phone_number_verified', 'needs a phone_number')
  const created = row.created_at ? Date.parse(row.created_at) : 0
  if (!(created >= 0 && created <= Date.now())) wrong('created_at', 'must be in the past, and not before 1970')
  if (JSON.stringify(row.attributes ?? {}).length > MAX_ATTRIBUTES) wrong('attributes', 'are larger than 16 KiB')
  return found.length > 0 ? found : undefined
}

function candidate(row: Record<string, any>): Candidate {
  const enabled = row.enabled ?? (row.status == null ? undefined : row.status === 'active')
  const given = <T>(value: T | null | undefined) => value ?? undefined
  const all = {
    id: given(row.id)?.toLowerCase().replace('urn:uuid:', ''),
    email: given(row.email),
    emailVerified: given(row.email_verified),
    phoneVerified: given(row.phone_number_verified),
    enabled,
    profile: Object.fromEntries(PROFILE.filter((name) => row[name] !== undefined).map((name) => [name, row[name]])),
    attributes: row.attributes ?? {},
    roles: row.roles ?? [],
    organizations: row.organizations ?? [],
    password: given(row.password),
    passwordHash: given(row.password_hash),
    totpSecret: row.totp_secret ? knownSecret(row.totp_secret) : undefined,
    requiredActions: [...new Set(row.required_actions ?? [])],
    createdAt: row.created_at ? new Date(row.created_at) : undefined,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as unknown as Candidate
}
