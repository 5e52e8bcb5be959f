/** Every tenant setting by key: its schema, default and meaning. Public ones may be read by anybody. */
import { anything, array, boolean, integer, oneOf, record, type Schema, type Static, string } from '../kernel/schema.ts'
import { schemaProblem } from './attribute-schema.ts'
import { FACTORS } from './login-policy.ts'

const define = <S extends Schema>(schema: S, fallback: Static<S>, description: string, isPublic = false) => ({
  schema,
  fallback,
  description,
  isPublic,
})

/** The origin of a browser's page; no pattern of many. */
export const ORIGIN = '^https?://[^\\s/?#*@]+$'

export const definitions = {
  registration_enabled: define(boolean(), true, 'People may create their own account', true),
  phone_registration_enabled: define(
    boolean(),
    true,
    'People may create it with a telephone number alone, where texts can be sent',
    true,
  ),
  enumeration_protection: define(
    boolean(),
    false,
    'Registering with a known address or number answers as if it were new, and tells its owner',
  ),
  require_verified_email: define(boolean(), false, 'Signing in asks for a verified e-mail address', true),
  password_min_length: define(integer({ minimum: 8, maximum: 64 }), 8, 'Shortest password allowed', true),
  password_common_check: define(boolean(), true, 'Refuse the most common passwords', true),
  password_context_words: define(
    array(string({ minLength: 4, maxLength: 64 }), { maxItems: 100 }),
    [] as string[],
    'Words of this organisation that make a password easy to guess',
  ),
  password_min_score: define(
    integer({ minimum: 0, maximum: 4 }),
    0,
    'Smallest zxcvbn score (0 to 4) of a new password; 0 does not ask for any',
    true,
  ),
  password_history: define(
    integer({ minimum: 0, maximum: 24 }),
    0,
    'A new password must differ from so many earlier ones, the current one included',
    true,
  ),
  mfa_policy: define(
    oneOf(['off', 'optional', 'required']),
    'optional',
    'Whether people may or must use a second factor',
    true,
  ),
  mfa_factors: define(
    array(oneOf(FACTORS), { minItems: 1, maxItems: FACTORS.length, uniqueItems: true }),
    [...FACTORS],
    'Second factors that count here; a client may narrow them',
    true,
  ),
  mfa_by_user_id: define(
    boolean(),
    true,
    'The second step of a sign-in may name the person by user_id alone, from the same address and program',
  ),
  device_trust_days: define(
    integer({ minimum: 0, maximum: 365 }),
    30,
    'Longest time a device may skip the second factor; 0 switches that off',
    true,
  ),
  magic_link_enabled: define(boolean(), true, 'Sign-in by mailed link is offered', true),
  access_token_lifetime: define(integer({ minimum: 60, maximum: 86_400 }), 900, 'Seconds an access token lives'),
  refresh_token_lifetime: define(
    integer({ minimum: 300, maximum: 31_536_000 }),
    2_592_000,
    'Seconds a refresh token lives without being used',
  ),
  session_lifetime: define(
    integer({ minimum: 300, maximum: 31_536_000 }),
    1_209_600,
    'Seconds a browser session lives without being used',
  ),
  email_link_lifetime: define(integer({ minimum: 300, maximum: 604_800 }), 86_400, 'Seconds a verification link lives'),
  reset_link_lifetime: define(integer({ minimum: 300, maximum: 86_400 }), 3600, 'Seconds a password reset link lives'),
  user_invitations: define(
    oneOf(['never', 'registration', 'always']),
    'registration',
    'Whether people without `invitations:write` may invite others (with the default role only): never, while registration is open, always',
  ),
  invitation_lifetime: define(
    integer({ minimum: 3600, maximum: 7_776_000 }),
    604_800,
    'Seconds an invitation can be accepted',
  ),
  invitations_per_day: define(
    integer({ minimum: 1, maximum: 100_000 }),
    100,
    'Invitations one person may send a day, those sent again included',
  ),
  key_rotation_days: define(
    integer({ minimum: 0, maximum: 3650 }),
    90,
    'Days after which new signing keys take over; 0 leaves that to administrators',
  ),
  key_publish_hours: define(
    integer({ minimum: 0, maximum: 720 }),
    24,
    'Hours a new signing key is published before it signs, for those who keep our keys that long',
  ),
  event_retention_days: define(
    integer({ minimum: 30, maximum: 3650 }),
    730,
    'Days after which events (audit log, login history) are deleted',
  ),
  user_attributes_schema: define(
    record(anything()),
    {} as Record<string, unknown>,
    'JSON Schema of the attributes of people; {} allows any',
  ),
  organization_mode: define(
    oneOf(['none', 'single', 'multi']),
    'multi',
    'Whether people belong to no organization, to one at most, or to many',
    true,
  ),
  organization_creation: define(
    oneOf(['off', 'verified', 'anyone']),
    'verified',
    'Whether people may make organizations themselves: not at all, with a verified address, or anyone who is signed in',
    true,
  ),
  organizations_per_person: define(
    integer({ minimum: 1, maximum: 1000 }),
    20,
    'Most organizations that somebody who makes them by themselves may be the Owner of',
  ),
  organization_roles: define(
    integer({ minimum: 0, maximum: 100 }),
    20,
    'Most roles of its own that an organization may have, made by those who manage it',
  ),
  allowed_origins: define(
    array(string({ format: 'uri', pattern: ORIGIN }), { maxItems: 100 }),
    [] as string[],
    'Browser origins that may call the API',
  ),
  client_requests_enabled: define(boolean(), true, 'Anybody may ask for an app, which an administrator approves', true),
  dynamic_registration: define(
    oneOf(['off', 'token', 'open']),
    'off',
    'Whether apps may register themselves (RFC 7591): with an initial access token, or anybody',
    true,
  ),
  dynamic_registration_quota: define(
    integer({ minimum: 0, maximum: 100_000 }),
    1000,
    'Most clients that registered themselves',
  ),
  dynamic_registration_scopes: define(
    array(string({ pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,200}$' }), { maxItems: 100 }),
    ['openid', 'profile', 'email', 'phone', 'address', 'offline_access'],
    'Scopes that clients which register themselves may get; permissions of this API are never among them',
  ),
  terms_version: define(
    string({ maxLength: 64, pattern: '^[\\w.-]*$' }),
    '',
    'Version of the terms that people must have accepted to sign in, such as 2026-01; empty asks for none',
    true,
  ),
  terms_url: define(string({ maxLength: 2000, pattern: '^(https?://.*)?$' }), '', 'Where the terms are', true),
  privacy_url: define(
    string({ maxLength: 2000, pattern: '^(https?://.*)?$' }),
    '',
    'Where it says what is done with personal data; shown beside the terms',
    true,
  ),
  support_url: define(
    string({ pattern: '^(https?://.*)?$' }),
    '',
    'Where people find help; shown on error pages',
    true,
  ),
} as const

/** What a JSON Schema cannot say of a value: answers what is wrong with it. */
export const checks: Partial<Record<keyof typeof definitions, (value: unknown) => string | undefined>> = {
  user_attributes_schema: schemaProblem,
}

export type SettingKey = keyof typeof definitions
export type Settings = { [K in SettingKey]: (typeof definitions)[K]['fallback'] }

/** Stored values over defaults. Unknown keys (of a newer version) are ignored. */
export function settle(stored: Record<string, unknown>): Settings {
  return Object.fromEntries(
    Object.entries(definitions).map(([key, { fallback }]) => [key, key in stored ? stored[key] : fallback]),
  ) as Settings
}
