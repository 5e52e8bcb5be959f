/** What every step of an authorization request shares: the stored interaction, and the way back to the provider. */
import type { Context as KoaContext } from 'koa'
import { flush, newUnit, units } from '../adapters/oidc.ts'
import type { Context, Outside } from '../server/domain/context.ts'
import * as devices from '../server/domain/devices.ts'
import { type Pending, takeEvents } from '../server/domain/events.ts'
import { offers, policyOf } from '../server/domain/login-policy.ts'
import * as passkeys from '../server/domain/passkeys.ts'
import { ACR, acrOf } from '../server/domain/proofs.ts'
import { signInName } from '../server/domain/users.ts'
import { fail } from '../server/kernel/errors.ts'
import { fullName } from '../server/oidc/account.ts'
import type { Providers } from '../server/oidc/providers.ts'
import { keepDevice } from './device-cookie.ts'
import { dress, type Form, type PageHandler, seeOther } from './page.ts'

export interface Step {
  koa: KoaContext
  ctx: Context & Pending
  provider: any
  interaction: any
  client: any
  /** Address of this interaction's first page. */
  at: string
}
export type StepHandler = (step: Step) => Promise<void>

/** What a form page shows again after a refusal. */
export interface Again {
  form?: Form
  errors?: object
  vars?: object
  notice?: string
  status?: number
}

/** Runs a handler with the interaction of the request's cookie, in one unit of work. */
export const step =
  (out: Outside, providers: Providers, handle: StepHandler): PageHandler =>
  async (koa, ctx) => {
    const { provider } = providers.of(ctx.tenant)
    const unit = newUnit({
      tenantId: ctx.tenant.id,
      hasWebhooks: ctx.tenant.hasWebhooks,
      db: out.db,
      ip: ctx.request.ip,
      userAgent: ctx.request.userAgent,
    })
    await units.run(unit, async () => {
      const interaction: any = await provider.interactionDetails(koa.req, koa.res).catch((error) => {
        if (error?.name === 'SessionNotFound') throw fail('UNAUTHORIZED', 'This sign-in has expired')
        throw error
      })
      if (interaction.uid !== koa.params.uid) throw fail('UNAUTHORIZED', 'This sign-in has expired')
      const client = await (provider as any).Client.find(interaction.params.client_id)
      if (!client) throw fail('NOT_FOUND', 'The app is gone')
      koa.state.page.uiLocales = interaction.params.ui_locales
      dress(koa.state.page, client.record, ctx)
      await handle({
        koa,
        ctx,
        provider,
        interaction,
        client,
        at: `${ctx.tenant.mountPath}/interaction/${interaction.uid}`,
      })
    })
  }

/** Writes the result and sends the person on to the provider. */
export async function finish(s: Step, result: object): Promise<void> {
  const unit = units.getStore()!
  const returnTo = await s.provider.interactionResult(s.koa.req, s.koa.res, result, { mergeWithLastSubmission: true })
  unit.events.push(...takeEvents(s.ctx))
  await flush(unit)
  seeOther(s.koa, returnTo)
}

/** Notes this browser as a device of the person; one that may skip the second factor for `trustDays`. */
function rememberBrowser({ koa, ctx, interaction }: Step, userId: string, trustDays: number): void {
  keepDevice(koa, ctx)
  units.getStore()!.also.push(...devices.recognise(ctx, { id: userId }, interaction.params.client_id, trustDays))
}

/** The result of a proven sign-in, which also answers the question who is signing in. */
export function signedIn(s: Step, userId: string, amr: string[], trustDevice = false): Promise<void> {
  const isWished = trustDevice && acrOf(amr) === ACR.mfa
  rememberBrowser(s, userId, isWished ? s.ctx.tenant.settings.device_trust_days : 0)
  return finish(s, {
    login: { accountId: userId, amr, acr: acrOf(amr), remember: true },
    ...(s.interaction.prompt.name === 'select_account' && { select_account: {} }),
  })
}

export const clientView = (client: any) => ({
  name: client.clientName ?? client.clientId,
  logoUri: client.logoUri,
  uri: client.clientUri,
  policyUri: client.policyUri,
  tosUri: client.tosUri,
})

export const accountView = (user: any) => ({
  name: fullName(user),
  /** Or the number, of who has no address. */
  email: signInName(user),
  picture: user.picture ?? undefined,
})

/** In development without SMTP, a way to the mails that were not sent. */
export const mailboxLink = (ctx: Context) =>
  ctx.out.config.production || ctx.out.config.smtpUrl ? {} : { mailbox: `${ctx.out.config.publicUrl}/dev/mailbox` }

/** Texting works in development, too; it is offered where somebody has set a gateway up. */
export const offersTexts = ({ ctx, client }: Pick<Step, 'ctx' | 'client'>): boolean =>
  Boolean(ctx.out.config.smsUrl) && offers(policyOf(ctx.tenant, client.record.loginPolicy), 'otp')

/** Where a page's passkey button goes; nothing where browsers cannot use passkeys at our address. */
export const passkeyView = ({ ctx, at }: Step, path: string, autofill = false) =>
  passkeys.usable(ctx) ? { begin: `${at}/${path}/begin`, finish: `${at}/${path}`, autofill } : undefined
