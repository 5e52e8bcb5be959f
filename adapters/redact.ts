/** Takes secrets out of whatever is about to be logged: by the name of the key, and inside URLs and header-like strings. */

const MASK = '[redacted]'
const MAX_DEPTH = 8

// Names are compared without case, "-" and "_": client_secret, clientSecret and Client-Secret are one name.
const secretEnding =
  /(password|passwd|passphrase|secret|token|cookie|authorization|assertion|apikey|privatekey|secretkey|hash)s?$/
const secretNames = new Set(
  'code codes codeverifier usercode devicecode backupcode backupcodes recoverycode recoverycodes totpcode smscode emailcode otp idtokenhint dpop ticket samlresponse jwk databaseurl redisurl smtpurl smsurl'.split(
    ' ',
  ),
)
const inText =
  /([?&#;\s](?:code|token|access_token|refresh_token|id_token|id_token_hint|client_secret|password|secret|code_verifier|user_code|device_code|client_assertion|mfa_token|logout_token|ticket)=)[^&\s"'#]+/gi
const credentials = /\b(Bearer|Basic|DPoP)\s+[\w.~+/=-]{6,}/gi
const userInfo = /\b([a-z][a-z0-9+.-]*:\/\/[^\s/:@]*):[^\s/@]+@/gi

/** Each of the three needs one of these; most of what is logged has none. */
const suspicious = /[=\s]|:\/\//

const known = new Map<string, boolean>()

function isSecret(key: string): boolean {
  const cached = known.get(key)
  if (cached !== undefined) return cached
  const name = key.toLowerCase().replace(/[-_]/g, '')
  const secret = secretNames.has(name) || secretEnding.test(name)
  if (known.size < 2000) known.set(key, secret)
  return secret
}

/** A string without credentials in query parameters, authorization schemes and user:password@ of URLs. */
export function redactText(text: string): string {
  if (text.length < 8 || !suspicious.test(text)) return text
  return text.replace(inText, `$1${MASK}`).replace(credentials, `$1 ${MASK}`).replace(userInfo, `$1:${MASK}@`)
}

/** A copy of the value without secrets. Error objects stay as they are (the `err` serializer handles them). */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value !== 'object' || value === null || value instanceof Error || value instanceof Date) return value
  if (Buffer.isBuffer(value)) return `[${value.length} bytes]`
  if (depth >= MAX_DEPTH) return '[deep]'
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1))
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return value
  const out: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    const hide = item !== undefined && item !== null && typeof item !== 'boolean' && isSecret(key)
    out[key] = hide ? MASK : redact(item, depth + 1)
  }
  return out
}

/** An error as data: type, message, stack, SQLSTATE or system code, cause. No rows of the database (`detail`) leave here. */
export function errorFields(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return redact(error)
  const { code, status, constraint, table, errno, syscall } = error as Error & Record<string, unknown>
  return {
    type: error.constructor?.name ?? error.name,
    message: redactText(error.message),
    stack: redactText(error.stack ?? ''),
    ...definedOf({ code, status, constraint, table, errno, syscall }),
    ...(error.cause !== undefined && depth < 3 ? { cause: errorFields(error.cause, depth + 1) } : {}),
    ...(error instanceof AggregateError && depth < 2
      ? { errors: error.errors.slice(0, 5).map((e) => errorFields(e, depth + 1)) }
      : {}),
  }
}

function definedOf(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, v]) => typeof v === 'string' || typeof v === 'number'))
}
