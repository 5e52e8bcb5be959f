/** Standard Webhooks (https://www.standardwebhooks.com): how a message is signed with a shared secret. */
import { createHmac, randomBytes } from 'node:crypto'

const PREFIX = 'whsec_'

/** A secret of 256 random bits as the specification spells it. */
export const newSecret = (): string => PREFIX + randomBytes(32).toString('base64')

/**
 * The headers that name a message and prove its origin. `timestamp` in Unix seconds. With several secrets there are several
 * signatures, any of which is enough.
 */
export function signedHeaders(id: string, timestamp: number, body: string, secrets: string[]): Record<string, string> {
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(PREFIX.length), 'base64')
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
  })
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signatures.join(' '),
  }
}
