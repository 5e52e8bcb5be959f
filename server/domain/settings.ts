/** Every tenant setting by key: its schema, default and meaning. Public ones may be read by anybody. */
import { anything, array, boolean, integer, oneOf, record, type Schema, type Static, string } from '../kernel/schema.ts'
import { schemaProblem } from './attribute-schema.ts'

const define = <S extends Schema>(schema: S, fallback: Static<S>, description: string, isPublic = false) => ({
  schema,
  fallback,
  description,
  isPublic,
})

export const definitions = {
  registration_enabled: define(boolean(), true, 'People may create their own account', true),
  enumeration_protection: define(
    boolean(),
    false,
    'Registering with a known address answers as if it were new, and mails its owner',
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
  allowed_origins: define(
    array(string({ format: 'uri', pattern: '^https?://[^/]+$' }), { maxItems: 100 }),
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
