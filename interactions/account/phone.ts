/** Proving the phone number of the profile: a code is texted to it and typed here. */
import { transact } from '../../server/api/pipeline.ts'
import * as otp from '../../server/domain/otp.ts'
import type { Failure } from '../../server/kernel/errors.ts'
import { readForm, spend } from '../page.ts'
import { mailboxLink } from '../step.ts'
import { goOn, type Member, type MemberHandler, show } from './area.ts'

const section = 'profile'
const channel = 'sms'

/** Nothing to prove: no number, or proven already. */
const isOver = ({ user }: Member) => !user.phone_number || user.phone_verified_at !== null

export const sendCode: MemberHandler = async (m) => {
  await readForm(m.koa)
  if (isOver(m)) return goOn(m, section)
  await spend(m.ctx, { name: 'phone-code', count: 10, seconds: 3600 })
  const to = await otp.prepareSend(m.ctx, { channel })
  await transact(m.ctx, (inner) => otp.send(inner, to, undefined))
  codePage(m)
}

const codePage = (m: Member, again: object = {}) =>
  show(m, 'phone', { section, phone: m.user.phone_number, links: mailboxLink(m.ctx), ...again })

export const verify: MemberHandler = async (m) => {
  const { code = '' } = await readForm(m.koa)
  if (isOver(m)) return goOn(m, section)
  await spend(m.ctx, { name: 'phone-verify', count: 30, seconds: 900 })
  try {
    const to = await otp.prepareVerify(m.ctx, { channel, code })
    await transact(m.ctx, (inner) => otp.verify(inner, to, undefined))
  } catch (error) {
    if ((error as Failure).code !== 'INVALID_CODE') throw error
    return codePage(m, { errors: { code: 'field.error.code' }, status: 400 })
  }
  goOn(m, section, 'phone')
}
