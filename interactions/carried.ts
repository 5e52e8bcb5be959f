/**
 * A sign-in that was begun outside any app's request (a mailed link opened in another browser) and still owes something.
 * A cookie of this browser carries it into a request of the built-in client, whose pages ask for the rest.
 */

import type { Context as KoaContext } from 'koa'
import { sha256 } from '../adapters/sealing.ts'
import type { Context } from '../server/domain/context.ts'
import { DIRECT_CLIENT } from '../server/domain/ids.ts'
import { signInAddress } from './account/sign-in.ts'
import { seeOther } from './page.ts'
import type { Step } from './step.ts'

const nameOf = (ctx: Context): string => {
  const { mountPath, slug } = ctx.tenant
  const prefix = ctx.out.config.publicUrl.startsWith('https:') ? (mountPath ? '__Secure-' : '__Host-') : ''
  return `${prefix}gh_carried${mountPath ? `_${slug}` : ''}`
}

function setCookie(koa: KoaContext, ctx: Context, value: string, seconds: number): void {
  const secure = ctx.out.config.publicUrl.startsWith('https:') ? '; Secure' : ''
  const path = ctx.tenant.mountPath || '/'
  koa.append('Set-Cookie', `${nameOf(ctx)}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`)
}

/** Goes on with the attempt of `mfaToken` in this browser, and with nobody who may be signed in here. */
export function carry(
  koa: KoaContext,
  ctx: Context,
  { mfaToken, expiresIn }: { mfaToken: string; expiresIn: number },
): void {
  setCookie(koa, ctx, mfaToken, expiresIn)
  seeOther(koa, signInAddress(ctx, `${ctx.tenant.mountPath}/account`, { again: true }))
}

/** Binds the carried attempt to this request, once. False where there is none. */
export async function adopt(s: Step): Promise<boolean> {
  const { koa, ctx, interaction, at } = s
  const token = koa.cookies.get(nameOf(ctx))
  if (!token || s.client.clientId !== DIRECT_CLIENT || interaction.prompt.name !== 'login') return false
  setCookie(koa, ctx, '', 0)
  const [attempt] = await ctx.out
    .db('login_attempts')
    .where({ tenant_id: ctx.tenant.id, token_hash: sha256(token), interaction_id: null, finished_at: null })
    .where('expires_at', '>', ctx.db.fn.now())
    .update({ interaction_id: interaction.uid, data: ctx.out.db.raw(`data || '{"carried": true}'`) })
    .returning('stage')
  if (!attempt) return false
  seeOther(s.koa, `${at}/${attempt.stage === 'actions' ? 'actions' : 'mfa'}`)
  return true
}
