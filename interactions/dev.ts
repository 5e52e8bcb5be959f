/** Pages for newcomers and developers: the landing page, the API reference, and (not in production) demo and mailbox. */

import { newUnit, units } from '../adapters/oidc.ts'
import { fail } from '../server/kernel/errors.ts'
import type { Providers } from '../server/oidc/providers.ts'
import type { PageHandler } from './page.ts'
import { render } from './render.ts'
import { accountView } from './step.ts'

type Handled = Parameters<PageHandler>

export const home = (providers: Providers) => async (koa: Handled[0], ctx: Handled[1]) => {
  const { config } = ctx.out
  const base = ctx.tenant.mountPath
  const dev = !config.production
  const user = await whoIsHere(providers, koa, ctx)
  render(koa, 'home', {
    issuer: ctx.tenant.issuer,
    ...(user && { account: accountView(user) }),
    links: {
      ...(dev && !base && { demo: '/demo', ...(!config.smtpUrl && { mailbox: '/dev/mailbox' }) }),
      docs: '/docs',
      discovery: `${base}/.well-known/openid-configuration`,
      account: `${base}/account`,
      ...(user && { logout: `${base}/oauth/logout` }),
    },
  })
}

/** Whoever is signed in in this browser. */
function whoIsHere(providers: Providers, koa: Handled[0], ctx: Handled[1]): Promise<any> {
  const { Session } = providers.of(ctx.tenant).provider as any
  const { ip, userAgent } = ctx.request
  const unit = newUnit({ tenantId: ctx.tenant.id, hasWebhooks: ctx.tenant.hasWebhooks, db: ctx.out.db, ip, userAgent })
  return units.run(unit, async () => {
    const { accountId } = await Session.get(koa)
    const user = accountId && unit.people.get(accountId)
    return user?.status === 'active' ? user : undefined
  })
}

export const docs: PageHandler = async (koa) => {
  render(koa, 'docs', {
    documents: ['v1', 'plain', 'sso', 'admin', 'all'].map((name) => ({
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
  if (ctx.out.config.production || (ctx.out.config.smtpUrl && ctx.out.config.smsUrl))
    throw fail('NOT_FOUND', 'No such page')
}
