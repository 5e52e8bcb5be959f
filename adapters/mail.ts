/** Mail out: nodemailer over SMTP, or a table shown at /dev/mailbox where there is no SMTP server. */

import type { Knex } from 'knex'
import type { Transporter } from 'nodemailer'
import { v7 } from 'uuid'
import { lazily } from './lazily.ts'

const nodemailer = lazily<typeof import('nodemailer')>('nodemailer')

export interface Mail {
  tenantId: string
  to: string
  subject: string
  text: string
  html: string
}
export interface Mailer {
  send(mail: Mail): Promise<void>
  close(): void
}

/** Time-outs are short: a job that fails is tried again later. */
export function createMailer({ smtpUrl, from, db }: { smtpUrl?: string | undefined; from: string; db: Knex }): Mailer {
  if (!smtpUrl) {
    return {
      async send({ tenantId, to, subject, text, html }) {
        await db('mailbox').insert({ id: v7(), tenant_id: tenantId, recipient: to, subject, html, body: text })
      },
      close() {},
    }
  }
  let transport: Transporter | undefined
  const connect = (): Transporter =>
    nodemailer().createTransport(smtpUrl, {
      pool: true,
      maxConnections: 3,
      connectionTimeout: 10_000,
      greetingTimeout: 10_000,
      socketTimeout: 30_000,
      disableFileAccess: true,
      disableUrlAccess: true,
    } as any)
  return {
    async send({ to, subject, text, html }) {
      transport ??= connect()
      await transport.sendMail({
        from,
        to: { name: '', address: to },
        subject,
        text,
        html,
        headers: { 'Auto-Submitted': 'auto-generated' },
      })
    },
    close: () => transport?.close(),
  }
}
