/**
 * Accounts elsewhere that a person signs in with. A link is made by the subject; an address joins two accounts only
 * where a trusted provider vouches for it, so that an unverified one neither takes over nor is taken over.
 */
import type { Profile } from '../../adapters/social.ts'
import { fail } from '../kernel/errors.ts'
import { administers } from './authority.ts'
import type { Context } from './context.ts'
import { enabled, type Ready } from './identity-providers.ts'
import { newId, ROLE } from './ids.ts'
import { type Person, type Proof, person } from './proofs.ts'
import { claimAddress, newcomer } from './reclaim.ts'
import * as users from './users.ts'

/** Not in RFC 8176: another provider's word. */
const AMR = ['fed']

export interface IdentityView {
  provider: string
  subject: string
  email: string | null
  createdAt: Date
  lastUsedAt: Date
}

const ofUser = (ctx: Context, userId: string) =>
  ctx.db('identities').where({ tenant_id: ctx.tenant.id, user_id: userId })

export async function list(ctx: Context, userId: string): Promise<IdentityView[]> {
  const rows = await ofUser(ctx, userId).orderBy('created_at')
  return rows.map((row) => ({
    provider: row.provider,
    subject: row.subject,
    email: row.email,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  }))
}

/**
 * Who arrived from the provider; makes the account of a newcomer. The proof goes to settle(). CONFLICT where somebody
 * else has the address, REGISTRATION_DISABLED, VALIDATION_ERROR without an address.
 */
export async function arrive(ctx: Context, provider: Ready, profile: Profile): Promise<Proof> {
  const known = await byIdentity(ctx, provider, profile)
  if (known) return { user: known, amr: AMR, also: [] }
  if (!profile.email) throw fail('VALIDATION_ERROR', `${provider.name} tells no e-mail address of you`)
  const isVouched = profile.emailVerified && provider.config.trust_email
  const holder = await users.byEmail(ctx.db, ctx.tenant.id, profile.email)
  if (holder) return join(ctx, provider, profile, (await person(ctx, holder.id))!, isVouched)
  return { user: await register(ctx, provider, profile, profile.email, isVouched), amr: AMR, also: [] }
}

async function byIdentity(ctx: Context, provider: Ready, profile: Profile): Promise<Person | undefined> {
  const mine = { tenant_id: ctx.tenant.id, provider: provider.slug, subject: profile.subject }
  const [row] = await ctx
    .db('identities')
    .where(mine)
    .update({ last_used_at: ctx.db.fn.now(), email: profile.email ?? null })
    .returning('user_id')
  if (!row) return undefined
  const user = await person(ctx, row.user_id)
  // Of an account that was deleted meanwhile.
  if (!user) await ctx.db('identities').where(mine).delete()
  return user
}

/**
 * The local account of this address. Its owner, says a provider we trust; anybody, says any other. Who administers
 * connects it by themselves.
 */
async function join(ctx: Context, provider: Ready, profile: Profile, user: Person, isVouched: boolean): Promise<Proof> {
  const proof: Proof = { user, amr: AMR, also: [] }
  // Whose word counts is a setting: who may change settings must not become somebody who may do more.
  const isAdministrator = await administers(ctx, user.role_ids)
  // Not claimed: nobody proved this address here, and what guards the account is not the mailbox.
  if (!isVouched || isAdministrator || !(await claimAddress(ctx, proof)))
    throw fail('CONFLICT', `There is an account with this e-mail address. Sign in to it, then connect ${provider.name}`)
  await add(ctx, provider, profile, user.id)
  return proof
}

async function register(
  ctx: Context,
  provider: Ready,
  profile: Profile,
  email: string,
  isVouched: boolean,
): Promise<Person> {
  if (!ctx.tenant.settings.registration_enabled)
    throw fail('REGISTRATION_DISABLED', 'There is no account for you, and none can be made here')
  const [first, ...rest] = (profile.name ?? '').split(' ')
  const user = await users.create(ctx, {
    email,
    emailVerified: isVouched,
    givenName: profile.givenName ?? (first || null),
    familyName: profile.familyName ?? (rest.join(' ') || null),
    locale: ctx.request.locales[0]?.slice(0, 35) ?? null,
  })
  ctx.event('user.registered', { userId: user.id, data: { how: provider.slug } })
  if (!isVouched) ctx.job('mail', { template: 'verify-email', userId: user.id, locales: ctx.request.locales })
  await add(ctx, provider, profile, user.id)
  return newcomer(user, [ROLE.user])
}

/** Links by the wish of a signed-in person. CONFLICT where it is somebody else's. */
export async function link(ctx: Context, provider: Ready, profile: Profile, userId: string): Promise<void> {
  const holder = await byIdentity(ctx, provider, profile)
  if (holder?.id === userId) return
  if (holder) throw fail('CONFLICT', `This ${provider.name} account is connected to somebody else`)
  await add(ctx, provider, profile, userId)
}

async function add(ctx: Context, provider: Ready, profile: Profile, userId: string): Promise<void> {
  const { subject, email, name } = profile
  // Two at once: the second finds the constraint and answers CONFLICT.
  await ctx.db('identities').insert({
    tenant_id: ctx.tenant.id,
    id: newId(),
    user_id: userId,
    provider: provider.slug,
    subject,
    email: email ?? null,
    profile: JSON.stringify({ name }),
  })
  ctx.event('identity.linked', { userId, data: { provider: provider.slug } })
  ctx.job('mail', {
    template: 'identity-linked',
    userId,
    provider: provider.name,
    ip: ctx.request.ip,
    at: new Date().toISOString(),
    locales: ctx.request.locales,
  })
}

/** NOT_FOUND, or CONFLICT where nothing else is left to sign in with. */
export async function unlink(ctx: Context, userId: string, provider: string): Promise<void> {
  // One at a time for a person, or two unlinks would each see the other's link as what is left.
  await ctx.db('users').where({ tenant_id: ctx.tenant.id, id: userId }).forUpdate().first('id')
  const gone = await ofUser(ctx, userId).where({ provider }).delete()
  if (gone === 0) throw fail('NOT_FOUND', 'No such account is connected')
  const { rows } = await ctx.db.raw(
    `select exists (select 1 from credentials where tenant_id = :tenant and user_id = :user
        and type in ('password', 'webauthn') and verified_at is not null)
      or exists (select 1 from identities i join identity_providers p on p.tenant_id = i.tenant_id and p.slug = i.provider
        and p.enabled where i.tenant_id = :tenant and i.user_id = :user) as other`,
    { tenant: ctx.tenant.id, user: userId },
  )
  if (!rows[0].other)
    throw fail('CONFLICT', 'This is your last way of signing in. Set a password or add a passkey first')
  ctx.event('identity.unlinked', { userId, data: { provider } })
  ctx.job('mail', {
    template: 'identity-unlinked',
    userId,
    provider: await nameOf(ctx, provider),
    ip: ctx.request.ip,
    at: new Date().toISOString(),
    locales: ctx.request.locales,
  })
}

const nameOf = async (ctx: Context, slug: string): Promise<string> =>
  (await enabled(ctx)).find((p) => p.slug === slug)?.name ?? slug
