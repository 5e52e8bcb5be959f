/** Paths of the account area, and how fresh a sign-in each asks for. */
import type { Providers } from '../../server/oidc/providers.ts'
import type { PageHandler } from '../page.ts'
import * as access from './access.ts'
import * as apiKeys from './api-keys.ts'
import { type Freshness, type MemberHandler, memberPage } from './area.ts'
import * as data from './data.ts'
import * as linked from './linked.ts'
import * as passkeys from './passkeys.ts'
import * as person from './person.ts'
import * as phone from './phone.ts'
import { callback } from './sign-in.ts'
import * as twoStep from './two-step.ts'

type Bind = (path: string, handle: PageHandler) => void

export function accountRoutes(get: Bind, post: Bind, providers: Providers): void {
  const member = memberPage(providers)
  const fresh = (handle: MemberHandler) => member(handle, 'recent')
  const section = (name: string, handle: MemberHandler, freshness?: Freshness) =>
    get(`/account/${name}`, member(handle, freshness))
  const act = (path: string, handle: MemberHandler, freshness?: Freshness) =>
    post(`/account/${path}`, member(handle, freshness))

  get('/account/callback', callback)
  get('/account', member(person.overview))

  section('profile', person.showProfile)
  act('profile', person.saveProfile)
  act('profile/phone', phone.sendCode, 'recent')
  act('profile/phone/verify', phone.verify, 'recent')

  section('email', person.showEmail, 'recent')
  act('email', person.changeEmail, 'recent')
  act('email/verification', person.resendVerification)
  for (const [path, kind] of [
    ['confirm', 'change_email'],
    ['undo', 'undo_email'],
  ] as const) {
    const link = person.mailedLink(kind)
    get(`/account/email/${path}`, link.open)
    post(`/account/email/${path}`, link.take)
  }

  section('password', person.showPassword(fresh))
  act('password', person.changePassword(fresh))

  section('two-step', twoStep.showTwoStep)
  act('two-step/totp', twoStep.beginTotp, 'factors')
  act('two-step/totp/enable', twoStep.enableTotp, 'factors')
  act('two-step/email', twoStep.enableEmail, 'factors')
  act('two-step/sms', twoStep.beginSms, 'factors')
  act('two-step/sms/enable', twoStep.enableSms, 'factors')
  act('two-step/remove', twoStep.removeFactor, 'factors')
  act('two-step/codes', twoStep.newCodes, 'factors')
  act('two-step/prefer', twoStep.prefer)

  section('passkeys', passkeys.showPasskeys)
  act('passkeys/add', passkeys.begin, 'factors')
  act('passkeys/finish', passkeys.finish, 'factors')
  act('passkeys/rename', passkeys.rename)
  act('passkeys/remove', passkeys.remove, 'factors')

  section('sessions', access.showSessions)
  act('sessions/end', access.endSession)
  act('sessions/end-others', access.endOthers)

  section('devices', access.showDevices)
  act('devices', access.changeDevice)
  act('devices/trust', access.trustDevice, 'factors')

  section('linked', linked.showLinked)
  act('linked', linked.link, 'recent')
  act('linked/remove', linked.unlink, 'recent')
  get('/account/linked/:provider/back', member(linked.back))

  section('apps', access.showApps)
  act('apps', access.revokeApp)

  section('api-keys', apiKeys.showKeys, 'factors')
  act('api-keys', apiKeys.create, 'factors')
  act('api-keys/rotate', apiKeys.rotate, 'factors')
  act('api-keys/revoke', apiKeys.revoke)

  section('history', access.showHistory)

  section('data', data.showData)
  act('data/export', data.exportData)
  get('/account/delete', fresh(data.showDelete))
  act('delete', data.remove, 'recent')
}
