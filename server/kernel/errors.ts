/** Every failure a caller can see, with its HTTP status. Surfaces decide how it is spelled on the wire. */
export const statusOf = {
  VALIDATION_ERROR: 400,
  INVALID_TOKEN: 400,
  INVALID_CODE: 400,
  INVITATION_EXPIRED: 400,
  WEAK_PASSWORD: 400,
  UNAUTHORIZED: 401,
  INVALID_CREDENTIALS: 401,
  INSUFFICIENT_AUTHENTICATION: 401,
  ACCESS_DENIED: 403,
  EMAIL_VERIFICATION_REQUIRED: 403,
  EMAIL_MISMATCH: 403,
  ACCOUNT_DISABLED: 403,
  REGISTRATION_DISABLED: 403,
  TENANT_SUSPENDED: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  CONFLICT: 409,
  SINGLE_ORGANIZATION_MODE: 409,
  PRECONDITION_FAILED: 412,
  PAYLOAD_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  IDEMPOTENCY_KEY_REUSED: 422,
  ACCOUNT_LOCKED: 423,
  RATE_LIMITED: 429,
  INTERNAL_ERROR: 500,
  UNAVAILABLE: 503,
} as const
export type Code = keyof typeof statusOf

export interface FailureOptions {
  details?: unknown
  /** Commit what was written before this was thrown (a failed login must still count). */
  keepWrites?: boolean
  /** Seconds after which a retry makes sense. */
  retryAfter?: number
  headers?: Record<string, string>
}

/** Said with UNAVAILABLE. */
export const OUTAGE = 'The database is not reachable, or has too much to do. Try again shortly'

export class Failure extends Error {
  override name = 'Failure'
  readonly code: Code
  readonly details: unknown
  readonly keepWrites: boolean
  readonly retryAfter: number | undefined
  readonly headers: Record<string, string>
  constructor(code: Code, message: string, options: FailureOptions = {}) {
    super(message)
    this.code = code
    this.details = options.details
    this.keepWrites = options.keepWrites ?? false
    this.retryAfter = options.retryAfter
    this.headers = options.headers ?? {}
  }
  get status(): number {
    return statusOf[this.code]
  }
}

export const fail = (code: Code, message: string, options?: FailureOptions) => new Failure(code, message, options)
