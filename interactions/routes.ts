/** Paths of the hosted pages. */
import Router from '@koa/router'
import type { OidcPort, Outside } from '../server/domain/context.ts'
import type { Providers } from '../server/oidc/providers.ts'
import { accountRoutes } from './account/routes.ts'
import * as pages from './account-pages.ts'
import * as branding from './branding.ts'
import * as clientSecret from './client-secret.ts'
import { consent } from './consent.ts'
import * as dev from './dev.ts'
import * as flow from './flow.ts'
import { acceptInvitation, showInvitation } from './invitation.ts'
import * as magicLink from './magic-link.ts'
import * as mfa from './mfa.ts'
import * as enrolment from './mfa-enrol.ts'
import { organization } from './organization.ts'
import { type PageHandler, page } from './page.ts'
import * as passkey from './passkey.ts'
import { rate } from './password-meter.ts'
import { registerByPhone, showByPhone } from './phone-registration.ts'
import { register, showRegister } from './registration.ts'
import * as requiredActions from './required-actions.ts'
import * as social from './social.ts'
import { type StepHandler, step as stepOf } from './step.ts'
import * as texted from './texted.ts'

export function pageRoutes(out: Outside, oidc: OidcPort, providers: Providers): Router {
  const router = new Router()
  const get = (path: string, handle: PageHandler) => router.get(path, page(out, oidc, handle))
  const post = (path: string, handle: PageHandler) => router.post(path, page(out, oidc, handle))
  const step = (handle: StepHandler) => stepOf(out, providers, handle)

  get('/interaction/:uid', step(flow.show))
  post('/interaction/:uid', step(flow.login))
  get('/interaction/:uid/register', step(showRegister))
  post('/interaction/:uid/register', step(register))
  get('/interaction/:uid/register/phone', step(showByPhone))
  post('/interaction/:uid/register/phone', step(registerByPhone))
  post('/interaction/:uid/consent', step(consent))
  post('/interaction/:uid/account', step(flow.account))
  post('/interaction/:uid/organization', step(organization))
  post('/interaction/:uid/abort', step(flow.abort))

  get('/interaction/:uid/magic-link', step(magicLink.showAsk))
  post('/interaction/:uid/magic-link', step(magicLink.ask))
  post('/interaction/:uid/magic-link/code', step(magicLink.enterCode))
  get('/interaction/:uid/magic-link/open', magicLink.openWaiting(step))
  post('/interaction/:uid/magic-link/open', step(magicLink.takeWaiting))
  get('/interaction/:uid/texted', step(texted.showTexted))
  post('/interaction/:uid/texted', step(texted.ask))
  post('/interaction/:uid/texted/code', step(texted.enterCode))
  get('/interaction/:uid/social/:provider', step(social.go))
  get('/interaction/:uid/social/:provider/back', step(social.back))
  get('/branding/logo/:hash', branding.logo)
  post('/password-meter', rate)

  get('/magic-link', magicLink.open)
  post('/magic-link', magicLink.take(providers))

  get('/interaction/:uid/mfa', step(mfa.showMfa))
  post('/interaction/:uid/mfa', step(mfa.mfa))
  post('/interaction/:uid/mfa/send', step(mfa.send))
  post('/interaction/:uid/mfa/enrol', step(enrolment.enrol))
  post('/interaction/:uid/mfa/enrol/begin', step(enrolment.begin))
  post('/interaction/:uid/mfa/enrol/passkey', step(enrolment.enrol))
  post('/interaction/:uid/mfa/enrol/passkey/begin', step(enrolment.beginPasskey))
  post('/interaction/:uid/mfa/continue', step(enrolment.goOn))
  get('/interaction/:uid/actions', step(requiredActions.showActions))
  post('/interaction/:uid/actions', step(requiredActions.act))

  post('/interaction/:uid/passkey/begin', step(passkey.begin))
  post('/interaction/:uid/passkey', step(passkey.signIn))
  post('/interaction/:uid/mfa/passkey/begin', step(passkey.beginSecond))
  post('/interaction/:uid/mfa/passkey', step(passkey.second))

  get('/verify-email', pages.showVerifyEmail)
  post('/verify-email', pages.verifyEmail)
  post('/resend-verification', pages.resendVerification)
  get('/client-secret', clientSecret.show)
  post('/client-secret', clientSecret.take)
  get('/forgot-password', pages.showForgot)
  post('/forgot-password', pages.forgot)
  get('/reset-password', pages.showReset)
  post('/reset-password', pages.reset)
  get('/invitation', showInvitation(providers))
  post('/invitation', acceptInvitation(providers))
  get('/set-up', pages.showSetUp)
  post('/set-up', pages.setUp)

  accountRoutes(get, post, providers)

  get('/', dev.home(providers))
  get('/docs', dev.docs)
  get('/demo', dev.demo)
  get('/dev/mailbox', dev.mailbox)
  get('/dev/mailbox/:id', dev.mail)
  return router
}
