/** Pages for newcomers and developers: the landing page, the API reference, and (not in production) demo and mailbox. */

import { fail } from '../server/kernel/errors.ts'
import type { PageHandler } from './page.ts'
import { render } from './render.ts'

export const home: PageHandler = async (koa, ctx) => {
  const { config } = ctx.out
  const base = ctx.tenant.mountPath
  const dev = !config.production
  render(koa, 'home', {
    issuer: ctx.tenant.issuer,
    links: {
      ...(dev && !base && { demo: '/demo', ...(!config.smtpUrl && { mailbox: '/dev/mailbox' }) }),
      docs: '/docs',
      discovery: `${base}/.well-known/openid-configuration`,
    },
  })
}

export const docs: PageHandler = async (koa) => {
  render(koa, 'docs', {
    documents: ['all', 'plain', 'v1', 'sso', 'admin'].map((name) => ({
      name,
      url: name === 'all' ? '/openapi.json' : `/openapi/${name}.json`,
    })),
    links: { home: '/' },
  })
}

export const demo: PageHandler = async (koa, ctx) => {
  if (ctx.out.config.production) throw fail('NOT_FOUND', 'No such page')
  render(koa, 'demo', { issuer: ctx.tenant.issuer, clientId: 'demo', scope: 'openid profile email roles' })
}

const MAILS = 100

export const mailbox: PageHandler = async (koa, ctx) => {
  onlyWithoutSmtp(ctx)
  const rows = await ctx.db('mailbox').orderBy('created_at', 'desc').limit(MAILS)
  render(koa, 'mailbox', {
    mails: rows.map((m) => ({
      id: m.id,
      to: m.recipient,
      subject: m.subject,
      date: m.created_at,
      preview: m.body.slice(0, 140),
    })),
    links: { home: '/' },
    path: '/dev/mailbox/',
  })
}

export const mail: PageHandler = async (koa, ctx) => {
  onlyWithoutSmtp(ctx)
  const id = String(koa.params.id)
  const row = /^[0-9a-f-]{36}$/.test(id) ? await ctx.db('mailbox').where({ id }).first() : undefined
  if (!row) throw fail('NOT_FOUND', 'No such mail')
  render(koa, 'mailbox-mail', {
    mail: {
      to: row.recipient,
      from: ctx.out.config.mailFrom,
      subject: row.subject,
      date: row.created_at,
      html: row.html,
      text: row.body,
    },
    links: { back: '/dev/mailbox' },
  })
}

function onlyWithoutSmtp(ctx: Parameters<PageHandler>[1]): void {
  if (ctx.out.config.production || ctx.out.config.smtpUrl) throw fail('NOT_FOUND', 'No such page')
}
