/**
 * The pages of an authorization request. Steps never route to each other: each writes its result into the stored
 * interaction and goes back to the provider, which decides what is still owed.
 */
import type { Context as KoaContext } from 'koa'
import { flush, newUnit, units } from '../adapters/oidc.ts'
import { transact } from '../server/api/pipeline.ts'
import * as accounts from '../server/domain/accounts.ts'
import type { Context, Outside } from '../server/domain/context.ts'
import { type Pending, takeEvents } from '../server/domain/events.ts'
import { type Attempt, afterSuccess, provePassword } from '../server/domain/login.ts'
import * as users from '../server/domain/users.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import { fullName } from '../server/oidc/account.ts'
import { saveGrant } from '../server/oidc/grants.ts'
import type { Providers } from '../server/oidc/providers.ts'
import { type Form, fieldErrors, isEmail, type PageHandler, passwordRules, readForm, spend } from './page.ts'
import { render } from './render.ts'

interface Step {
  koa: KoaContext
  ctx: Context & Pending
  provider: any
  interaction: any
  client: any
  /** Address of this interaction's first page. */
  at: string
}
type StepHandler = (step: Step) => Promise<void>

/** Runs a handler with the interaction of the request's cookie, in one unit of work. */
export const step =
  (out: Outside, providers: Providers, handle: StepHandler): PageHandler =>
  async (koa, ctx) => {
    const { provider } = providers.of(ctx.tenant)
    const unit = newUnit({ tenantId: ctx.tenant.id, db: out.db, ip: ctx.request.ip, userAgent: ctx.request.userAgent })
    await units.run(unit, async () => {
      const interaction: any = await provider.interactionDetails(koa.req, koa.res).catch((error) => {
        if (error?.name === 'SessionNotFound') throw fail('UNAUTHORIZED', 'This sign-in has expired')
        throw error
      })
      if (interaction.uid !== koa.params.uid) throw fail('UNAUTHORIZED', 'This sign-in has expired')
      const client = await (provider as any).Client.find(interaction.params.client_id)
      if (!client) throw fail('NOT_FOUND', 'The app is gone')
      koa.state.page.uiLocales = interaction.params.ui_locales
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

export const clientView = (client: any) => ({
  name: client.clientName ?? client.clientId,
  logoUri: client.logoUri,
  uri: client.clientUri,
  policyUri: client.policyUri,
  tosUri: client.tosUri,
})

/** Which page the provider's prompt asks for. */
export const show: StepHandler = async (s) => {
  const { prompt } = s.interaction
  if (prompt.name === 'consent') return showConsent(s)
  if (prompt.name === 'select_account') return s.koa.query.other ? showLogin(s) : showAccounts(s)
  return showLogin(s)
}

async function showLogin(
  s: Step,
  more: { form?: Form; errors?: object; vars?: object; status?: number } = {},
): Promise<void> {
  const { koa, ctx, interaction, at } = s
  const known = interaction.session?.accountId
    ? await users.byId(ctx.out.db, ctx.tenant.id, interaction.session.accountId)
    : undefined
  koa.status = more.status ?? 200
  render(koa, 'login', {
    post: at,
    client: clientView(s.client),
    links: {
      forgot: `${ctx.tenant.mountPath}/forgot-password?interaction=${interaction.uid}`,
      ...(ctx.tenant.settings.registration_enabled && { register: `${at}/register` }),
    },
    form: more.form ? { email: more.form.email } : { email: interaction.params.login_hint ?? known?.email ?? '' },
    errors: more.errors,
    vars: more.vars,
  })
}

async function showAccounts(s: Step): Promise<void> {
  const user = await users.byId(
    s.ctx.out.db,
    s.ctx.tenant.id,
    s.interaction.session?.accountId ?? '00000000-0000-0000-0000-000000000000',
  )
  if (!user) return showLogin(s)
  render(s.koa, 'accounts', { post: `${s.at}/account`, account: accountView(user), client: clientView(s.client) })
}

export const accountView = (user: any) => ({
  name: fullName(user),
  email: user.email,
  picture: user.picture ?? undefined,
})

async function showConsent(s: Step): Promise<void> {
  const { interaction, client, ctx } = s
  const user = await users.byId(ctx.out.db, ctx.tenant.id, interaction.session.accountId)
  if (!user) throw fail('UNAUTHORIZED', 'The account is gone')
  const { details } = interaction.prompt
  const requested = String(interaction.params.scope ?? '')
    .split(' ')
    .filter(Boolean)
  const missing: string[] = details.missingOIDCScope ?? []
  const asked = missing.length ? missing : requested
  const resources = Object.entries<string[]>(details.missingResourceScopes ?? {}).map(([identifier, scopes]) => {
    const resource = ctx.tenant.resources.get(identifier)
    return {
      name: resource?.name ?? identifier,
      scopes: scopes.map((name) => resource?.scopes.find((x) => x.name === name) ?? { name }),
    }
  })
  const ofResources = new Set(resources.flatMap((r) => r.scopes.map((x) => x.name)))
  render(s.koa, 'consent', {
    post: `${s.at}/consent`,
    client: { ...clientView(client), host: URL.parse(interaction.params.redirect_uri)?.host },
    account: accountView(user),
    scopes: requested.filter((scope) => !ofResources.has(scope)),
    granted: requested.filter((scope) => !asked.includes(scope)),
    resources,
  })
}

/** E-mail and password, posted. */
export const login: StepHandler = async (s) => {
  const { koa, ctx } = s
  const form = await readForm(koa)
  const errors: Record<string, string> = {}
  if (!isEmail(form.email ?? '')) errors.email = 'field.error.email'
  if (!form.password) errors.password = 'field.error.required'
  if (Object.keys(errors).length) return showLogin(s, { form, errors, status: 400 })
  try {
    await spend(ctx, { name: 'login', count: 10, seconds: 900 })
    const attempt = await provePassword(ctx, { email: form.email!, password: form.password! })
    await finishLogin(s, attempt)
  } catch (error) {
    const mendable = fieldErrors(error)
    if (!mendable) throw error
    await showLogin(s, { form, ...mendable, status: (error as Failure).status })
  }
}

async function finishLogin(s: Step, attempt: Attempt): Promise<void> {
  const { ctx, interaction } = s
  const unit = units.getStore()!
  unit.also.push(...afterSuccess(attempt))
  ctx.event('login.success', {
    userId: attempt.user.id,
    clientId: interaction.params.client_id,
    data: { amr: ['pwd'] },
  })
  await finish(s, {
    login: { accountId: attempt.user.id, amr: ['pwd'], remember: true },
    ...(interaction.prompt.name === 'select_account' && { select_account: {} }),
  })
}

/** Writes the result and sends the person on to the provider. */
async function finish(s: Step, result: object): Promise<void> {
  const unit = units.getStore()!
  const returnTo = await s.provider.interactionResult(s.koa.req, s.koa.res, result, { mergeWithLastSubmission: true })
  unit.events.push(...takeEvents(s.ctx))
  await flush(unit)
  s.koa.status = 303
  s.koa.redirect(returnTo)
}

export const showRegister: StepHandler = async (s) => registerPage(s)

async function registerPage(s: Step, more: { form?: Form; errors?: object; status?: number } = {}): Promise<void> {
  const { koa, ctx } = s
  koa.status = more.status ?? 200
  const closed = !ctx.tenant.settings.registration_enabled
  render(koa, 'register', {
    post: `${s.at}/register`,
    client: clientView(s.client),
    links: { login: s.at },
    rules: passwordRules(ctx.tenant),
    form: more.form ?? { email: s.interaction.params.login_hint ?? '' },
    errors: more.errors ?? (closed ? { _form: 'register.error.closed' } : undefined),
  })
}

/** Registers and, unless the address must be verified first, signs in at once. */
export const register: StepHandler = async (s) => {
  const { koa, ctx } = s
  const form = await readForm(koa)
  const errors: Record<string, string> = {}
  if (!isEmail(form.email ?? '')) errors.email = 'field.error.email'
  if (!form.password) errors.password = 'field.error.required'
  for (const name of ['given_name', 'family_name'])
    if ((form[name] ?? '').length > 100) errors[name] = 'field.error.tooLong'
  if (Object.keys(errors).length) return registerPage(s, { form, errors, status: 400 })
  const input = {
    email: form.email!,
    password: form.password!,
    givenName: form.given_name || null,
    familyName: form.family_name || null,
  }
  const { settings } = ctx.tenant
  try {
    await spend(ctx, { name: 'register', count: 5, seconds: 3600 })
    const hash = await accounts.prepareRegistration(ctx, input)
    const user = await transact(ctx, (inner) => accounts.register(inner, input, hash))
    if (!user || settings.enumeration_protection || settings.require_verified_email) {
      return render(koa, 'verify-email-sent', {
        email: form.email,
        expires: settings.email_link_lifetime,
        links: { next: s.at, ...mailboxLink(ctx) },
        client: clientView(s.client),
      })
    }
    ctx.event('login.success', {
      userId: user.id,
      clientId: s.interaction.params.client_id,
      data: { amr: ['pwd'], after: 'registration' },
    })
    await finish(s, { login: { accountId: user.id, amr: ['pwd'], remember: true } })
  } catch (error) {
    const mendable = fieldErrors(error)
    if (!mendable) throw error
    await registerPage(s, { form, ...mendable, status: (error as Failure).status })
  }
}

export const mailboxLink = (ctx: Context) =>
  ctx.out.config.production || ctx.out.config.smtpUrl ? {} : { mailbox: `${ctx.out.config.publicUrl}/dev/mailbox` }

/** Allow or cancel. What is allowed is remembered for the person and this app. */
export const consent: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  const { interaction, provider, client, ctx } = s
  if (interaction.prompt.name !== 'consent') throw fail('UNAUTHORIZED', 'This sign-in has expired')
  const userId = interaction.session.accountId
  const sessionId = interaction.session.uid
  if (form.action !== 'allow') {
    ctx.event('consent.refused', { userId, clientId: client.clientId })
    return finish(s, { error: 'access_denied', error_description: 'End-User refused' })
  }
  const { details } = interaction.prompt
  const existing = interaction.grantId ? await provider.Grant.find(interaction.grantId) : undefined
  const grant = existing ?? new provider.Grant({ accountId: userId, clientId: client.clientId })
  const requested = String(interaction.params.scope ?? '')
    .split(' ')
    .filter(Boolean)
  const scopes: string[] = details.missingOIDCScope ?? (existing ? [] : requested)
  const resources: Record<string, string[]> = details.missingResourceScopes ?? {}
  if (scopes.length) grant.addOIDCScope(scopes.join(' '))
  for (const [identifier, list] of Object.entries(resources)) grant.addResourceScope(identifier, list.join(' '))
  const grantId = await saveGrant(grant, sessionId)
  units.getStore()!.also.push(rememberConsent(userId, client.record.id, grant))
  ctx.event('consent.granted', { userId, clientId: client.clientId, sessionId, data: { scopes, resources } })
  await finish(s, { consent: { grantId } })
}

function rememberConsent(userId: string, client: string, grant: any) {
  const scopes = grant.getOIDCScope().split(' ').filter(Boolean)
  const resources = Object.fromEntries(
    Object.keys(grant.resources ?? {}).map((id) => [id, grant.getResourceScope(id).split(' ')]),
  )
  return {
    shape: 'consent',
    sql: (
      bind: (value: unknown, type: string) => string,
    ) => `insert into consents (tenant_id, user_id, client, scopes, resources)
      values ($1, ${bind(userId, 'uuid')}, ${bind(client, 'uuid')}, ${bind(scopes, 'text[]')}, ${bind(JSON.stringify(resources), 'jsonb')})
      on conflict (tenant_id, user_id, client) do update set scopes = excluded.scopes, resources = consents.resources || excluded.resources,
        updated_at = now()`,
  }
}

/** Continue as who is signed in, or as somebody else. */
export const account: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  if (s.interaction.prompt.name !== 'select_account') throw fail('UNAUTHORIZED', 'This sign-in has expired')
  if (form.action === 'continue') return finish(s, { select_account: {} })
  s.koa.status = 303
  s.koa.redirect(`${s.at}?other=1`)
}

/** Gives up: the app learns access_denied. */
export const abort: StepHandler = async (s) => {
  await readForm(s.koa)
  await finish(s, { error: 'access_denied', error_description: 'End-User aborted interaction' })
}
