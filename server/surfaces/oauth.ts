/** Rows that OAuth specifications define (RFC 7591, 7592): their names, bare bodies, failures by RFC 6749 5.2. */
import type { Code, Failure } from '../kernel/errors.ts'
import { type Row, type Surface, snake } from '../kernel/surface.ts'

const errors: Partial<Record<Code, string>> = {
  UNAUTHORIZED: 'invalid_token',
  ACCESS_DENIED: 'access_denied',
  NOT_FOUND: 'invalid_request',
  RATE_LIMITED: 'temporarily_unavailable',
  UNAVAILABLE: 'temporarily_unavailable',
  INTERNAL_ERROR: 'server_error',
}

/** RFC 7591 3.2.2 tells what is wrong with addresses from what is wrong with anything else. */
function errorOf({ code, message }: Failure): string {
  if (code === 'VALIDATION_ERROR')
    return /^redirect_uris\b/.test(message) ? 'invalid_redirect_uri' : 'invalid_client_metadata'
  return errors[code] ?? 'invalid_request'
}

export const oauth = (rows: Row[]): Surface => ({
  id: 'oauth',
  title: 'Gatehouse client registration',
  name: (_resource, key) => snake(key),
  ok: (data) => data,
  okSchema: (json) => json,
  fail: (failure) => ({
    type: 'application/json',
    body: { error: errorOf(failure), error_description: failure.message },
  }),
  failType: 'application/json',
  failSchema: {
    type: 'object',
    title: 'OAuthFailure',
    properties: { error: { type: 'string' }, error_description: { type: 'string' } },
    required: ['error'],
  },
  rows,
})
