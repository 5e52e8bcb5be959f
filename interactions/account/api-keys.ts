/** API keys: made, replaced and revoked by their owner; a key itself is in one answer only. */
import { transact } from '../../server/api/pipeline.ts'
import * as apiKeys from '../../server/domain/api-keys.ts'
import { assertMayChange } from '../../server/domain/factors.ts'
import { type Failure, fail } from '../../server/kernel/errors.ts'
import { type Form, readForm, spend } from '../page.ts'
import { goOn, type Member, type MemberHandler, show } from './area.ts'

const section = 'api-keys'
/** Days a new key may live; none means for ever. */
const LIFETIMES = ['30', '90', '365', '']
const DAY = 86_400_000

export const showKeys: MemberHandler = async (m) => listPage(m)

async function listPage(m: Member, more: { form?: Form; errors?: object; status?: number; chosen?: string[] } = {}) {
  const { items } = await apiKeys.list(m.ctx, m.user.id, { limit: 100, offset: 0 })
  const replaced = new Set(items.map(({ replaces }) => replaces))
  show(m, section, {
    keys: items.map((key) => ({
      ...key,
      expired: key.expires_at !== null && key.expires_at <= new Date(),
      replaced: replaced.has(key.id),
    })),
    scopes: apiKeys.knownScopes.filter((scope) => scope === 'account' || m.ctx.actor.permissions.has(scope)),
    lifetimes: LIFETIMES,
    ...more,
  })
}

export const create: MemberHandler = async (m) => {
  const { koa, ctx } = m
  const form = await readForm(koa)
  await assertMayChange(ctx)
  await spend(ctx, { name: 'api-keys', count: 30, seconds: 3600 })
  const name = (form.name ?? '').trim()
  const scopes = apiKeys.knownScopes.filter((scope) => form[`scope ${scope}`] !== undefined)
  const again = { form, chosen: scopes, status: 400 }
  if (!name || name.length > 100) return listPage(m, { ...again, errors: { name: 'account.error.name' } })
  const days = form.lifetime ?? '90'
  if (!LIFETIMES.includes(days)) throw fail('VALIDATION_ERROR', 'No such lifetime')
  const expiresAt = days ? new Date(Date.now() + Number(days) * DAY) : null
  try {
    const made = await transact(ctx, (inner) => apiKeys.create(inner, { name, scopes, expiresAt }))
    shownOnce(m, made)
  } catch (error) {
    if ((error as Failure).code !== 'CONFLICT') throw error
    await listPage(m, { ...again, errors: { _form: 'account.error.tooManyKeys' }, status: 409 })
  }
}

const shownOnce = (m: Member, { row, secret }: { row: apiKeys.ApiKeyRow; secret: string }, old?: boolean) =>
  show(m, 'api-key', { section, name: row.name, secret, expires: row.expires_at, overlap: old && apiKeys.OVERLAP })

export const rotate: MemberHandler = async (m) => {
  const { id = '' } = await readForm(m.koa)
  await assertMayChange(m.ctx)
  try {
    shownOnce(m, await transact(m.ctx, (inner) => apiKeys.rotate(inner, id, {})), true)
  } catch (error) {
    if ((error as Failure).code !== 'CONFLICT') throw error
    goOn(m, section)
  }
}

export const revoke: MemberHandler = async (m) => {
  const { id = '' } = await readForm(m.koa)
  await transact(m.ctx, (inner) => apiKeys.revoke(inner, m.user.id, id))
  goOn(m, section, 'key-revoked')
}
