/** Bodies that are read while they come in, however long: by type, up to a limit, never held as a whole. */
import type { IncomingMessage } from 'node:http'
import { Failure, fail } from './errors.ts'
import { patience } from './patience.ts'

export interface Upload {
  /** The media type it was sent as, one of those the operation takes. */
  type: string
  /** The bytes as they come. PAYLOAD_TOO_LARGE past so many. */
  bytes(limit: number): AsyncGenerator<Buffer>
}

/** The body of the request, unread. Fails with UNSUPPORTED_MEDIA_TYPE. */
export function uploadOf(req: IncomingMessage, types: string[]): Upload {
  const type = (req.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  if (!types.includes(type)) throw fail('UNSUPPORTED_MEDIA_TYPE', `Send the body as ${types.join(' or ')}`)
  if ((req.headers['content-encoding'] ?? 'identity') !== 'identity')
    throw fail('UNSUPPORTED_MEDIA_TYPE', 'Send the body without Content-Encoding')
  return { type, bytes: (limit) => bytesOf(req, limit) }
}

async function* bytesOf(req: IncomingMessage, limit: number): AsyncGenerator<Buffer> {
  const tooLarge = () => fail('PAYLOAD_TOO_LARGE', `The body is larger than ${limit} bytes`)
  if (Number(req.headers['content-length'] ?? 0) > limit) throw tooLarge()
  let size = 0
  req.setTimeout(patience.upload)
  try {
    for await (const chunk of req.iterator({ destroyOnReturn: false })) {
      size += chunk.length
      if (size > limit) throw tooLarge()
      yield chunk
    }
  } catch (error) {
    // Nobody is there to read this.
    throw error instanceof Failure ? error : fail('VALIDATION_ERROR', 'The body was cut off')
  } finally {
    req.setTimeout(0)
  }
}
