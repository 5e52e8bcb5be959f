/** Users of a Keycloak realm export, with their credentials; what they hold by their groups is given to them directly. */
import { isKnownHash } from '../../../adapters/passwords.ts'
import { base32 } from '../../../adapters/totp.ts'
import type { RequiredAction } from '../required-actions.ts'
import { locale, type Mapper, phone, picture, timeOf, uuidOf } from './foreign-values.ts'
import { isBuiltInClient, isBuiltInRole, isOurs } from './keycloak-names.ts'
import type { Report } from './report.ts'

export interface Group {
  /** Those of the groups above it included. */
  roles: string[]
  /** Slug of the organization that the topmost group has become. */
  organization: string
}
/** By path. */
export type Groups = Map<string, Group>

/** What Keycloak asks for at the next sign-in, and what is the same here. */
const ACTIONS = new Map<string, RequiredAction>([
  ['UPDATE_PASSWORD', 'set_password'],
  ['VERIFY_EMAIL', 'verify_email'],
  ['CONFIGURE_TOTP', 'enrol_mfa'],
  ['webauthn-register', 'enrol_mfa'],
  ['TERMS_AND_CONDITIONS', 'accept_terms'],
])

export const keycloakUser =
  (groups: Groups): Mapper =>
  (raw, report) => {
    if (raw.serviceAccountClientId) return void report.note('service accounts')
    const attributes = attributesOf(raw.attributes)
    const asked: string[] = raw.requiredActions ?? []
    for (const action of asked) if (!ACTIONS.has(action)) report.note(`required actions: ${action}`)
    if (raw.federatedIdentities?.length) report.note('links to accounts elsewhere', raw.federatedIdentities.length)
    for (const name of raw.realmRoles?.filter(isOurs) ?? [])
      report.note(`holders of ${name}, which is a system role here`)
    const { phoneNumber, phone_number, locale: language, picture: image, ...others } = attributes
    return {
      id: uuidOf(raw.id),
      email: raw.email,
      email_verified: raw.emailVerified,
      given_name: raw.firstName,
      family_name: raw.lastName,
      phone_number: phone(phoneNumber ?? phone_number, report),
      picture: picture(image, report),
      locale: locale(language),
      status: raw.enabled === false ? 'disabled' : undefined,
      required_actions: asked.flatMap((action) => ACTIONS.get(action) ?? []),
      created_at: timeOf(raw.createdTimestamp),
      roles: rolesOf(raw, groups),
      organizations: organizationsOf(raw, groups, report),
      attributes: { ...(raw.username && raw.username !== raw.email && { username: raw.username }), ...others },
      ...credentialsOf(raw.credentials ?? [], report),
    }
  }

/** Keycloak keeps a list for each; one value is that value. */
function attributesOf(attributes: Record<string, unknown> | undefined): Record<string, unknown> {
  const single = (value: unknown) => (Array.isArray(value) && value.length === 1 ? value[0] : value)
  return Object.fromEntries(Object.entries(attributes ?? {}).map(([name, value]) => [name, single(value)]))
}

/** Names as an import has them: `role`, `client/role`. */
export function roleNames(of: { realmRoles?: string[]; clientRoles?: Record<string, string[]> }): string[] {
  const ofClients = Object.entries(of.clientRoles ?? {}).filter(([client]) => !isBuiltInClient(client))
  return [
    ...(of.realmRoles ?? []).filter((name) => !isBuiltInRole(name) && !isOurs(name)),
    ...ofClients.flatMap(([client, names]) => names.map((name) => `${client}/${name}`)),
  ]
}

function rolesOf(raw: any, groups: Groups): string[] {
  const byGroups = (raw.groups ?? []).flatMap((path: string) => groups.get(path)?.roles ?? [])
  return [...new Set([...roleNames(raw), ...byGroups])]
}

function organizationsOf(raw: any, groups: Groups, report: Report): string[] {
  const found = (raw.groups ?? []).flatMap((path: string) => groups.get(path)?.organization ?? [])
  const unknown = (raw.groups ?? []).filter((path: string) => !groups.has(path))
  if (unknown.length > 0) report.note('memberships of groups that stand behind the users, or nowhere', unknown.length)
  return [...new Set<string>(found)]
}

function credentialsOf(credentials: any[], report: Report): { password_hash?: string; totp_secret?: string } {
  const found: { password_hash?: string; totp_secret?: string } = {}
  for (const { type, secretData, credentialData, value } of credentials) {
    const [secret, how] = [JSON.parse(secretData ?? '{}'), JSON.parse(credentialData ?? '{}')]
    if (type === 'password' && value !== undefined) {
      report.note('passwords in the clear')
    } else if (type === 'password') {
      const hash = hashOf(secret, how)
      if (hash && isKnownHash(hash)) found.password_hash = hash
      else report.note(`passwords hashed by ${how.algorithm}`)
    } else if (
      type === 'otp' &&
      how.subType === 'totp' &&
      how.digits === 6 &&
      how.period === 30 &&
      how.algorithm === 'HmacSHA1'
    ) {
      if (found.totp_secret) report.note('second authenticator apps')
      else found.totp_secret = how.secretEncoding === 'BASE32' ? secret.value : base32(Buffer.from(secret.value))
    } else report.note(`credentials: ${type}`)
  }
  return found
}

/** In PHC form. Iterations, and for argon2 memory, are as Keycloak has stored them. */
function hashOf(secret: { value: string; salt: string }, how: any): string | undefined {
  const bare = (base64: string) => base64.replaceAll('=', '')
  const pbkdf2 = /^pbkdf2(?:-(sha256|sha512))?$/.exec(how.algorithm)
  if (pbkdf2) {
    const length = Buffer.from(secret.value, 'base64').length
    return `$pbkdf2-${pbkdf2[1] ?? 'sha1'}$i=${how.hashIterations},l=${length}$${bare(secret.salt)}$${bare(secret.value)}`
  }
  if (how.algorithm !== 'argon2') return undefined
  const { type = ['id'], version = ['1.3'], memory, parallelism = ['1'] } = how.additionalParameters ?? {}
  const v = version[0] === '1.3' ? 19 : 16
  return `$argon2${type[0]}$v=${v}$m=${memory?.[0]},t=${how.hashIterations},p=${parallelism[0]}$${bare(secret.salt)}$${bare(secret.value)}`
}
