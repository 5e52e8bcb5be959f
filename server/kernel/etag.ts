/** Entity tags (RFC 9110 8.8.3): a change made to what somebody else has changed meanwhile is refused, if the caller asks. */
import { createHash } from 'node:crypto'
import { fail } from './errors.ts'

export const etagOf = (version: string): string =>
  `"${createHash('sha256').update(version).digest('base64url').slice(0, 22)}"`

/** Whether a list of tags, or *, names this one. If-None-Match compares weakly (RFC 9110 13.1.2). */
export const names = (header: string, etag: string): boolean =>
  header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)

/** PRECONDITION_FAILED unless If-Match allows a change of this version. */
export function assertMatch(header: string, version: string): void {
  if (header && (header.includes('W/') || !names(header, etagOf(version))))
    throw fail('PRECONDITION_FAILED', 'It was changed since you read it. Read it again')
}
