/** Signing in in this browser without an app that waits: a browser session, as the provider itself would open it. */
import type { Context as KoaContext } from 'koa'
import { flush, newUnit, units } from '../adapters/oidc.ts'
import type { Context } from '../server/domain/context.ts'
import * as devices from '../server/domain/devices.ts'
import { type Pending, takeEvents } from '../server/domain/events.ts'
import { acrOf, noteSignIn, type Proof } from '../server/domain/proofs.ts'
import * as sessions from '../server/domain/sessions.ts'
import { cookieNames } from '../server/oidc/provider.ts'
import type { Providers } from '../server/oidc/providers.ts'
import { keepDevice } from './device-cookie.ts'

/** Opens the session and sets its cookie. `ctx` is the transaction in which the proof was taken. */
export async function openHere(
  koa: KoaContext,
  ctx: Context & Pending,
  providers: Providers,
  { user, amr, also }: Proof,
): Promise<void> {
  const provider = providers.of(ctx.tenant).provider as any
  const { ip, userAgent } = ctx.request
  keepDevice(koa, ctx)
  const unit = newUnit({
    tenantId: ctx.tenant.id,
    hasWebhooks: ctx.tenant.hasWebhooks,
    db: ctx.db,
    ip,
    userAgent,
    placeOf: devices.placeOf(ctx.out, ctx.request),
    also: [...also, noteSignIn(user), ...devices.recognise(ctx, user)],
  })
  await units.run(unit, async () => {
    // Never the session that was here: whoever knew its cookie must not be signed in with it. Its apps are told.
    const before = await provider.Session.get(koa)
    if (before.accountId) await sessions.endIfLive(ctx, before.accountId, before.uid)
    const session = new provider.Session()
    session.loginAccount({ accountId: user.id, amr, acr: acrOf(amr) })
    await session.save(ctx.tenant.settings.session_lifetime)
    ctx.event('login.success', { userId: user.id, sessionId: session.uid, data: { amr } })
    unit.events.push(...takeEvents(ctx))
    await flush(unit)
    const { cookies } = provider.createContext(koa.req, koa.res)
    const secure = ctx.out.config.publicUrl.startsWith('https:')
    cookies.secure = secure
    cookies.set(cookieNames(ctx.tenant).session, session.id, {
      signed: true,
      httpOnly: true,
      overwrite: true,
      sameSite: 'lax',
      secure,
      path: ctx.tenant.mountPath || '/',
      expires: new Date(Date.now() + ctx.tenant.settings.session_lifetime * 1000),
    })
  })
}
