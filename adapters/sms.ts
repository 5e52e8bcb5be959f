/**
 * Text messages out: any HTTP gateway that takes JSON, or Twilio's API; the table shown at /dev/mailbox where there is
 * neither. SMS_URL is https://user:password@gateway.example/path or twilio://SID:TOKEN@sender[?base=https://…].
 */
import type { Knex } from 'knex'
import { v7 } from 'uuid'

export interface Text {
  tenantId: string
  /** E.164, such as +4915112345678. */
  to: string
  text: string
}
export interface Texter {
  /** False where nothing can be sent. */
  available: boolean
  /** Throws when the gateway does not take it; the job is tried again. */
  send(text: Text): Promise<void>
}
type Fetch = (url: string, init: any) => Promise<Response>

export function createTexter(options: {
  smsUrl: string | undefined
  production: boolean
  fetch: Fetch
  db: Knex
}): Texter {
  const { smsUrl, production, fetch, db } = options
  if (!smsUrl) {
    return {
      available: !production,
      async send({ tenantId, to, text }) {
        if (production) throw new Error('SMS_URL is not set')
        const html = `<p style="font:16px sans-serif;white-space:pre-line">${escaped(text)}</p>`
        await db('mailbox').insert({ id: v7(), tenant_id: tenantId, recipient: to, subject: 'SMS', html, body: text })
      },
    }
  }
  const request = smsUrl.startsWith('twilio:') ? twilio(smsUrl) : gateway(smsUrl)
  return {
    available: true,
    async send(text) {
      const { url, ...init } = request(text)
      const response = await fetch(url, { method: 'POST', redirect: 'error', maxBytes: 65_536, ...init })
      // Its answer may repeat the text, which holds a code: only the status is told.
      if (!response.ok) throw new Error(`The SMS gateway answers ${response.status}`)
    },
  }
}

const basic = (url: URL): Record<string, string> =>
  url.username || url.password
    ? {
        authorization: `Basic ${Buffer.from(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`).toString('base64')}`,
      }
    : {}

function gateway(smsUrl: string) {
  const url = new URL(smsUrl)
  const headers = { 'content-type': 'application/json', ...basic(url) }
  url.username = ''
  url.password = ''
  return ({ to, text }: Text) => ({ url: url.href, headers, body: JSON.stringify({ to, text }) })
}

/** https://www.twilio.com/docs/messaging/api/message-resource */
function twilio(smsUrl: string) {
  const url = new URL(smsUrl)
  const base = (url.searchParams.get('base') ?? 'https://api.twilio.com').replace(/\/+$/, '')
  const from = decodeURIComponent(url.host)
  const sender: Record<string, string> = from.startsWith('MG') ? { MessagingServiceSid: from } : { From: from }
  const address = `${base}/2010-04-01/Accounts/${url.username}/Messages.json`
  const headers = { 'content-type': 'application/x-www-form-urlencoded', ...basic(url) }
  return ({ to, text }: Text) => ({
    url: address,
    headers,
    body: new URLSearchParams({ To: to, Body: text, ...sender }).toString(),
  })
}

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
