/** Taking everything along, and leaving for good. */
import { transact } from '../../server/api/pipeline.ts'
import { exportOf } from '../../server/domain/data-export.ts'
import * as deletion from '../../server/domain/deletion.ts'
import type { Failure } from '../../server/kernel/errors.ts'
import { cookieNames } from '../../server/oidc/provider.ts'
import { type Form, fieldErrors, readForm, spend, typedPhone } from '../page.ts'
import { render } from '../render.ts'
import { type Member, type MemberHandler, show } from './area.ts'

export const showData: MemberHandler = async (m) => show(m, 'data', { days: deletion.KEPT_DAYS })

/** A post, so that no other site can start it. */
export const exportData: MemberHandler = async (m) => {
  const { koa, ctx, user } = m
  await readForm(koa)
  await spend(ctx, { name: 'export', count: 10, seconds: 3600 })
  koa.status = 200
  koa.type = 'json'
  koa.set({
    'Cache-Control': 'no-store',
    'Content-Disposition': `attachment; filename="account-${new Date().toISOString().slice(0, 10)}.json"`,
  })
  koa.body = exportOf(ctx, user.id)
}

export const showDelete: MemberHandler = async (m) => deletePage(m)

function deletePage(m: Member, again: { form?: Form; errors?: object; status?: number } = {}): void {
  show(m, 'delete', {
    section: 'data',
    email: m.user.email,
    phone: m.user.phone_number,
    days: deletion.KEPT_DAYS,
    ...again,
  })
}

export const remove: MemberHandler = async (m) => {
  const { koa, ctx, user } = m
  const form = await readForm(koa)
  await spend(ctx, { name: 'delete-account', count: 20, seconds: 900 })
  const typed = form.confirmation ?? ''
  const given = { confirmation: user.email === null ? typedPhone(typed) : typed }
  try {
    await deletion.prepare(ctx, user, given)
    await transact(ctx, (inner) => deletion.remove(inner, user))
  } catch (error) {
    const { code, status } = error as Failure
    const errors: Partial<Record<Failure['code'], Record<string, string>>> = {
      VALIDATION_ERROR: {
        confirmation: user.email === null ? 'account.error.confirmPhone' : 'account.error.confirmation',
      },
      CONFLICT: { _form: 'account.error.lastAdmin' },
    }
    const mendable = errors[code] ? { errors: errors[code] } : fieldErrors(error)
    if (!mendable) throw error
    return deletePage(m, { form: given, ...mendable, status })
  }
  const { session } = cookieNames(ctx.tenant)
  const path = ctx.tenant.mountPath || '/'
  for (const name of [session, `${session}.sig`])
    koa.append('Set-Cookie', `${name}=; Path=${path}; Max-Age=0; HttpOnly`)
  render(koa, 'account/deleted', { days: deletion.KEPT_DAYS, home: `${ctx.tenant.mountPath}/` })
}
