/**
 * Pages outside an authorization request look and speak as the app that people come from, and so do the mails they cause. What says
 * which app that is may be anybody's word, so nothing but looks follows from it.
 */
import type { Context as KoaContext } from 'koa'
import { newUnit, oidcAdapter, units } from '../adapters/oidc.ts'
import type { Context } from '../server/domain/context.ts'
import * as secrets from '../server/domain/secrets.ts'
import { dress } from './page.ts'

async function comeFrom(koa: KoaContext, ctx: Context, clientId: unknown): Promise<void> {
  if (typeof clientId !== 'string' || clientId.length > 255) return
  const client = await ctx.out.directory.client(ctx.tenant.id, clientId)
  if (client) dress(koa.state.page, client, ctx)
}

/** By the sign-in that waits in this browser, or by the app, as the address says. */
export async function byAddress(koa: KoaContext, ctx: Context): Promise<void> {
  const { interaction, client_id: clientId } = koa.query
  const params = typeof interaction === 'string' ? await paramsOf(ctx, interaction) : undefined
  if (params?.ui_locales) koa.state.page.uiLocales = params.ui_locales
  await comeFrom(koa, ctx, params ? params.client_id : clientId)
}

/** What the app asked for that began this sign-in, if it still waits. */
async function paramsOf(ctx: Context, uid: string): Promise<Record<string, any> | undefined> {
  const { id: tenantId, hasWebhooks } = ctx.tenant
  const { ip, userAgent } = ctx.request
  const unit = newUnit({ tenantId, hasWebhooks, db: ctx.out.db, ip, userAgent })
  const found: any = await units.run(unit, () => oidcAdapter('Interaction').find(uid))
  return found && found.exp > Date.now() / 1000 ? found.params : undefined
}

/** By a mailed link: its secret keeps whose sign-in caused the mail. */
export async function byLink(
  koa: KoaContext,
  ctx: Context,
  purpose: secrets.Purpose,
  token: string,
): Promise<secrets.Taken | undefined> {
  const found = await secrets.look(ctx.out.db, ctx.tenant.id, purpose, token)
  await comeFrom(koa, ctx, found?.data.clientId)
  return found
}
