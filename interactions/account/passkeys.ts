/** Passkeys: adding one takes the browser's help (assets/passkey-add.js); everything else works without scripts. */
import { transact } from '../../server/api/pipeline.ts'
import { assertMayChange } from '../../server/domain/factors.ts'
import * as passkeys from '../../server/domain/passkeys.ts'
import { type Failure, fail } from '../../server/kernel/errors.ts'
import { readForm, spend } from '../page.ts'
import { goOn, type Member, type MemberHandler, show } from './area.ts'

const LIMIT = { name: 'webauthn-register', count: 30, seconds: 900 }

export const showPasskeys: MemberHandler = async (m) => listPage(m)

async function listPage(m: Member, more: object = {}): Promise<void> {
  const rows = await passkeys.list(m.ctx, m.user.id)
  show(m, 'passkeys', {
    passkeys: rows.map((row) => ({
      id: row.id,
      name: row.name,
      synced: row.data.backupEligible,
      createdAt: row.created_at,
      lastUsedAt: row.last_used_at,
    })),
    ...more,
  })
}

/** The challenge is made for a post, and given to the page that answers it. */
export const begin: MemberHandler = async (m) => {
  await readForm(m.koa)
  await spend(m.ctx, LIMIT)
  await assertMayChange(m.ctx)
  try {
    const { options } = await transact(m.ctx, (inner) => passkeys.beginRegistration(inner, m.user))
    show(m, 'passkey-add', { section: 'passkeys', options })
  } catch (error) {
    if ((error as Failure).code !== 'CONFLICT') throw error
    await listPage(m, { errors: { _form: 'account.error.tooManyPasskeys' }, status: 409 })
  }
}

export const finish: MemberHandler = async (m) => {
  const form = await readForm(m.koa)
  await spend(m.ctx, LIMIT)
  await assertMayChange(m.ctx)
  try {
    const made = await passkeys.checkRegistration(m.ctx, m.user.id, parsed(form.credential))
    await transact(m.ctx, (inner) => passkeys.add(inner, m.user, made, form.name?.trim().slice(0, 100)))
  } catch (error) {
    const { code, status } = error as Failure
    if (!['INVALID_TOKEN', 'VALIDATION_ERROR', 'CONFLICT'].includes(code)) throw error
    return listPage(m, { errors: { _form: 'account.error.passkey' }, status })
  }
  goOn(m, 'passkeys', 'passkey-added')
}

function parsed(text = ''): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw fail('VALIDATION_ERROR', 'The answer of the browser is not JSON')
  }
}

export const rename: MemberHandler = async (m) => {
  const { id = '', name = '' } = await readForm(m.koa)
  const wanted = name.trim()
  if (!wanted || wanted.length > 100) return listPage(m, { errors: { _form: 'account.error.name' }, status: 400 })
  await transact(m.ctx, (inner) => passkeys.rename(inner, m.user.id, id, wanted))
  goOn(m, 'passkeys', 'passkey-renamed')
}

export const remove: MemberHandler = async (m) => {
  const { id = '' } = await readForm(m.koa)
  await assertMayChange(m.ctx)
  await transact(m.ctx, (inner) => passkeys.remove(inner, m.user.id, id))
  goOn(m, 'passkeys', 'passkey-removed')
}
