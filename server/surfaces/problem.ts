/** RFC 9457 problem details, the failure shape of plain, v1 and everything that is not sso or OAuth. */
import { STATUS_CODES } from 'node:http'
import type { Failure } from '../kernel/errors.ts'
import type { Json } from '../kernel/surface.ts'

export const problem = (failure: Failure, requestId: string) => ({
  type: 'application/problem+json',
  body: {
    type: `urn:gatehouse:error:${failure.code.toLowerCase().replaceAll('_', '-')}`,
    title: STATUS_CODES[failure.status],
    status: failure.status,
    detail: failure.message,
    code: failure.code,
    ...(failure.details !== undefined && { errors: failure.details }),
    request_id: requestId,
  },
})

export const problemSchema: Json = {
  type: 'object',
  title: 'Problem',
  description: 'RFC 9457 problem details',
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', description: 'Stable code to branch on' },
    errors: { description: 'What exactly was wrong, field by field' },
    request_id: { type: 'string' },
  },
  required: ['type', 'title', 'status', 'detail', 'code'],
}
