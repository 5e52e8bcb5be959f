/**
 * What the pages of the account area share: who is here (the browser's session), how recently they signed in, the
 * navigation, and going on after a post.
 */
import type { Context as KoaContext } from 'koa'
import { findPerson, newUnit, touchSessions, units } from '../../adapters/oidc.ts'
import type { Actor, Context, UserRow } from '../../server/domain/context.ts'
import * as devices from '../../server/domain/devices.ts'
import type { Pending } from '../../server/domain/events.ts'
import * as factors from '../../server/domain/factors.ts'
import { enabled as identityProviders } from '../../server/domain/identity-providers.ts'
import { DIRECT_CLIENT } from '../../server/domain/ids.ts'
import { policyAt, suffices } from '../../server/domain/login-policy.ts'
import * as passkeys from '../../server/domain/passkeys.ts'
import { ACR } from '../../server/domain/proofs.ts'
import { isRecent } from '../../server/domain/recent.ts'
import { isReachable } from '../../server/domain/users.ts'
import type { Failure } from '../../server/kernel/errors.ts'
import type { Providers } from '../../server/oidc/providers.ts'
import { type Form, fieldErrors, type PageHandler, seeOther } from '../page.ts'
import { render } from '../render.ts'
import { accountView } from '../step.ts'
import { signInAddress } from './sign-in.ts'

export interface Member {
  koa: KoaContext
  /** With the person as its actor. */
  ctx: Context & Pending & { actor: Actor }
  user: UserRow
  /** The provider's session. */
  session: { uid: string; loginTs: number; amr?: string[]; exp: number }
  /** Whether there are accounts elsewhere that could be connected. */
  hasProviders: boolean
  /** Address of the area: /account, or /t/acme/account. */
  at: string
}
export type MemberHandler = (member: Member) => Promise<void>

/** What a page asks of the sign-in: at most 15 minutes old; with a second factor of those who have one. */
export type Freshness = 'any' | 'recent' | 'factors'

/** A page for who is signed in in this browser; others sign in first and come back. */
export const memberPage =
  (providers: Providers) =>
  (handle: MemberHandler, freshness: Freshness = 'any'): PageHandler =>
  async (koa, ctx) => {
    const member = await whoIsHere(providers, koa, ctx)
    if (!member || !(await isStrongEnough(member))) return goSignIn(koa, ctx, {})
    const mfa = freshness === 'factors' && (await needsFactor(member))
    const proof = { loginTs: member.session.loginTs, amr: member.session.amr ?? [] }
    if (freshness !== 'any' && !isRecent(proof, { mfa }))
      return goSignIn(koa, ctx, { again: true, ...(mfa && { acr: ACR.mfa }) })
    await handle(member)
  }

/** As the authorization endpoint decides, where these people are sent to. */
async function isStrongEnough({ ctx, user, session }: Member): Promise<boolean> {
  const { method, factor } = suffices(await policyAt(ctx), session.amr ?? [])
  return method && (factor || devices.isTrusted(ctx, user.id))
}

const needsFactor = async ({ ctx, user }: Member): Promise<boolean> =>
  ctx.tenant.settings.mfa_policy !== 'off' && (await factors.list(ctx, user.id)).length > 0

/** Comes back to this page; after a post, to the page with the form, which has the same path or the one above. */
function goSignIn(koa: KoaContext, ctx: Context, how: { again?: boolean; acr?: string }): void {
  const path = koa.method === 'GET' ? `${koa.path}${koa.search}` : sectionOf(koa.path)
  seeOther(koa, signInAddress(ctx, `${ctx.tenant.mountPath}${path}`, how))
}
const sectionOf = (path: string) => path.split('/').slice(0, 3).join('/')

/** Who is signed in in this browser, if anybody. */
export async function whoIsHere(
  providers: Providers,
  koa: KoaContext,
  ctx: Context & Pending,
): Promise<Member | undefined> {
  const { Session } = providers.of(ctx.tenant).provider as any
  const { ip, userAgent } = ctx.request
  const unit = newUnit({ tenantId: ctx.tenant.id, hasWebhooks: ctx.tenant.hasWebhooks, db: ctx.out.db, ip, userAgent })
  const session = await units.run(unit, async () => Session.get(koa))
  const user = session.accountId && (await findPerson(unit, session.accountId))
  if (user?.status !== 'active' || (user.locked_until && user.locked_until > new Date())) return undefined
  await touchSessions(unit)
  const roles = (user.role_ids as string[]).flatMap((id) => ctx.tenant.roles.get(id) ?? [])
  const actor: Actor = {
    kind: 'user',
    userId: user.id,
    clientId: DIRECT_CLIENT,
    sessionId: session.uid,
    grantId: undefined,
    tokenId: session.uid,
    scopes: new Set(),
    roles: roles.map((role) => role.name),
    permissions: new Set(roles.flatMap((role) => role.permissions)),
    firstParty: true,
    emailVerified: isReachable(user),
    authTime: session.loginTs,
    expiresAt: session.exp,
    user,
  }
  const hasProviders = (await identityProviders(ctx)).length > 0
  return { koa, ctx: { ...ctx, actor }, user, session, hasProviders, at: `${ctx.tenant.mountPath}/account` }
}

/** section → icon, in the order of the navigation. */
const sections: [name: string, icon: string][] = [
  ['profile', 'user'],
  ['email', 'mail'],
  ['password', 'key'],
  ['two-step', 'shield'],
  ['passkeys', 'key'],
  ['sessions', 'exit'],
  ['devices', 'phone'],
  ['linked', 'globe'],
  ['apps', 'code'],
  ['api-keys', 'tool'],
  ['history', 'clock'],
  ['data', 'info'],
]

/** What this tenant offers at this address. */
function isOffered(name: string, { ctx, hasProviders }: Member): boolean {
  if (name === 'linked') return hasProviders
  if (name === 'two-step') return ctx.tenant.settings.mfa_policy !== 'off'
  if (name === 'passkeys') return passkeys.usable(ctx)
  return true
}

/** Shows a page of the area: `name` is its view, and its section unless `section` says another. */
export function show(member: Member, name: string, data: Record<string, any> = {}): void {
  const { koa, ctx, user, at } = member
  const section = data.section ?? name
  const done = String(koa.query.done ?? '')
  koa.status = data.status ?? 200
  render(koa, `account/${name}`, {
    at,
    section,
    nav: sections
      .filter(([key]) => isOffered(key, member))
      .map(([key, icon]) => ({ name: key, icon, href: `${at}/${key}`, current: key === section })),
    account: accountView(user),
    logout: `${ctx.tenant.mountPath}/oauth/logout`,
    ...(/^[a-z-]{1,40}$/.test(done) && !data.errors && { done }),
    ...data,
  })
}

/** After a post: the page, with a line that says what was done (account.done.<done>). */
export function goOn({ koa, at }: Member, section: string, done?: string): void {
  seeOther(koa, `${at}${section && `/${section}`}${done ? `?done=${done}` : ''}`)
}

/** Shows the form again for a failure the person can mend; throws others on. */
export function mend(
  error: unknown,
  again: (data: { errors: object; vars?: object; status: number }) => unknown,
  own: Partial<Record<Failure['code'], Record<string, string>>> = {},
  passwordField = 'password',
): unknown {
  const { code, status } = error as Failure
  const errors = own[code]
  const mendable = errors ? { errors } : fieldErrors(error, passwordField)
  if (!mendable) throw error
  return again({ ...mendable, status })
}

export type { Form }
