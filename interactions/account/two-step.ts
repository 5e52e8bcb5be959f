/** Two-step verification: an authenticator app, codes by mail or SMS, backup codes. Changes ask for a fresh sign-in. */
import { qrSvg } from '../../adapters/qr.ts'
import { transact } from '../../server/api/pipeline.ts'
import * as sms from '../../server/domain/factors/sms.ts'
import * as totp from '../../server/domain/factors/totp.ts'
import * as factors from '../../server/domain/factors.ts'
import { type Failure, fail } from '../../server/kernel/errors.ts'
import { readForm, spend } from '../page.ts'
import { goOn, type Member, type MemberHandler, show } from './area.ts'

const section = 'two-step'
const LIMIT = { name: 'mfa-enable', count: 30, seconds: 900 }

export const showTwoStep: MemberHandler = async (m) => {
  const { user, ctx } = m
  show(m, section, {
    ...(await factors.status(ctx, user.id)),
    hasEmail: user.email !== null,
    emailVerified: user.email_verified_at !== null,
    phone: user.phone_verified_at ? user.phone_number : undefined,
  })
}

/** Where a set-up that is already over, or was begun anew elsewhere, leads. */
const startAgain = (m: Member) => goOn(m, section)

export const beginTotp: MemberHandler = async (m) => {
  await readForm(m.koa)
  await spend(m.ctx, { name: 'mfa-setup', count: 20, seconds: 3600 })
  await factors.assertMayChange(m.ctx)
  totpPage(m, await transact(m.ctx, (inner) => totp.setUp(inner, m.user)))
}

function totpPage(m: Member, setup: totp.TotpSetup, again: object = {}): void {
  show(m, 'totp', {
    section,
    id: setup.id,
    qr: `data:image/svg+xml;base64,${Buffer.from(qrSvg(setup.url)).toString('base64')}`,
    secret: setup.secret.replace(/(.{4})(?=.)/g, '$1 '),
    url: setup.url,
    ...again,
  })
}

export const enableTotp: MemberHandler = async (m) => {
  const { id = '', code = '' } = await readForm(m.koa)
  await spend(m.ctx, LIMIT)
  await factors.assertMayChange(m.ctx)
  const setup = /^[0-9a-f-]{36}$/.test(id) ? await totp.waiting(m.ctx, m.user, id) : undefined
  if (!setup) return startAgain(m)
  try {
    done(m, await transact(m.ctx, (inner) => factors.enableTotp(inner, m.user.id, code, { setupId: id })), 'totp-on')
  } catch (error) {
    if ((error as Failure).code !== 'INVALID_CODE') throw error
    totpPage(m, setup, { errors: { code: 'account.error.totp' }, status: 400 })
  }
}

/** Backup codes are in no other answer than this one. */
function done(m: Member, codes: string[] | undefined, what: string): void {
  if (codes) show(m, 'codes', { section, codes, done: what })
  else goOn(m, section, what)
}

export const enableEmail: MemberHandler = async (m) => {
  await readForm(m.koa)
  await factors.assertMayChange(m.ctx)
  if (!m.user.email_verified_at) return startAgain(m)
  done(m, await transact(m.ctx, (inner) => factors.enableEmail(inner, m.user)), 'email-on')
}

export const beginSms: MemberHandler = async (m) => {
  await readForm(m.koa)
  await spend(m.ctx, { name: 'mfa-setup', count: 20, seconds: 3600 })
  await factors.assertMayChange(m.ctx)
  if (!m.user.phone_verified_at) return startAgain(m)
  await transact(m.ctx, (inner) => sms.setUp(inner, m.user))
  smsPage(m)
}

const smsPage = (m: Member, again: object = {}) => show(m, 'sms', { section, phone: m.user.phone_number, ...again })

export const enableSms: MemberHandler = async (m) => {
  const { code = '' } = await readForm(m.koa)
  await spend(m.ctx, LIMIT)
  await factors.assertMayChange(m.ctx)
  try {
    const id = await sms.checkSetUp(m.ctx, m.user.id, code.replace(/\s/g, ''))
    done(m, await transact(m.ctx, (inner) => factors.enableSms(inner, m.user.id, id)), 'sms-on')
  } catch (error) {
    if ((error as Failure).code !== 'INVALID_CODE') throw error
    smsPage(m, { errors: { code: 'field.error.code' }, status: 400 })
  }
}

const removable = ['totp', 'sms', 'email'] as const

export const removeFactor: MemberHandler = async (m) => {
  const form = await readForm(m.koa)
  const factor = removable.find((name) => name === form.factor)
  if (!factor) throw fail('VALIDATION_ERROR', 'No such factor')
  await factors.assertMayChange(m.ctx)
  try {
    await transact(m.ctx, (inner) => factors.disable(inner, m.user.id, [factor]))
  } catch (error) {
    if ((error as Failure).code === 'CONFLICT') return goOn(m, section, 'factor-needed')
    throw error
  }
  goOn(m, section, `${factor}-off`)
}

export const newCodes: MemberHandler = async (m) => {
  await readForm(m.koa)
  await factors.assertMayChange(m.ctx)
  done(m, await transact(m.ctx, (inner) => factors.newBackupCodes(inner, m.user.id)), 'codes')
}

export const prefer: MemberHandler = async (m) => {
  const form = await readForm(m.koa)
  const factor = factors.FACTORS.find((name) => name === form.factor)
  if (!factor) throw fail('VALIDATION_ERROR', 'No such factor')
  await transact(m.ctx, (inner) => factors.prefer(inner, m.user.id, factor))
  goOn(m, section, 'preferred')
}
