/** Every way of signing in, in two halves: what a person holds before, and using it later, when things may have changed. */
import { randomBytes } from 'node:crypto'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from } from './address.ts'
import type { Answer, Person, TestApp } from './app.ts'
import type { Authenticator } from './authenticator.ts'
import { type OAuthClient, verifierOf } from './oauth.ts'
import { Browser, REDIRECT } from './rp.ts'
import type { SecondProvider } from './second-provider.ts'
import type { SmsGateway } from './sms-gateway.ts'

/** A person with everything one can sign in with. */
export interface Visitor extends Person {
  phone: string
  key: Authenticator
  subject: string
}
export interface World {
  app: TestApp
  gateway: SmsGateway
  elsewhere: SecondProvider
  /** A first-party app, which asks for no consent. */
  client: OAuthClient
}
export interface Arrival {
  status: number
  /** Tokens, a code for an app, or a browser session came of it. */
  inside: boolean
  /** The second factor is asked for. */
  owes: boolean
  /** For failures. */
  text: string
}
export interface Way {
  name: string
  /** Using it proves the mailbox, so that an unverified address is verified by it. */
  provesMail?: boolean
  /** It is two factors by itself. */
  strong?: boolean
  /** Whoever is signed in goes on; nobody signs in. */
  continues?: boolean
  /** No sign-in of the person, so policies for those do not matter. Names the conditions that end it all the same. */
  endsWhen?: readonly string[]
  begin(world: World, who: Visitor): Promise<() => Promise<Arrival>>
}

const rest = ({ status, body }: Answer): Arrival => ({
  status,
  inside: /"access_?token"/i.test(JSON.stringify(body)),
  owes: (body.mfa_required === true || body.actions_required?.length > 0) && typeof body.mfa_token === 'string',
  text: JSON.stringify(body),
})
const post = (app: TestApp, path: string, body: object) => app.call('POST', path, { body, headers: from() })

const LINK = /magic-link\?token=/
async function mailed({ app }: World, { email }: Visitor) {
  const { raw, link } = await app.smtp.waitFor(email, LINK)
  const url = link('magic-link')
  const code = /\b\d{6}\b/.exec(raw.slice(raw.indexOf('code')))![0]
  return { url, token: new URL(url).searchParams.get('token')!, code }
}

type Position = Awaited<ReturnType<Browser['open']>>

/** A browser of its own at the sign-in page of an app. */
async function arrive({ app, client }: World) {
  const browser = new Browser(app.url)
  const query = new URLSearchParams({
    client_id: client.clientId,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'openid',
    code_challenge: verifierOf().challenge,
    code_challenge_method: 'S256',
  })
  const address = `${app.url}/oauth/authorize?${query}`
  const at = await browser.open(address)
  return { browser, at, address }
}
type Visit = Awaited<ReturnType<typeof arrive>>

const hasCode = (at: Position) => Boolean(at.left?.searchParams.has('code'))

/** Where a browser got to; one that owes the second factor tries every door past it. */
async function seen({ browser, at: start, address }: Visit, at: Position): Promise<Arrival> {
  const owes = !at.left && /\/(mfa|actions)$/.test(new URL(at.url).pathname)
  const reached = [at]
  if (owes) {
    const form = { page: at.page!.replace(/action="[^"]*"/g, ''), url: start.url }
    const doors = ['', '/mfa/continue', '/actions', '/consent', '/account']
    for (const door of doors)
      reached.push(await browser.submit({ ...form, url: `${start.url}${door}` }, { action: 'allow' }))
    reached.push(
      await browser.open(start.url),
      await browser.open(start.url.replace('/interaction/', '/oauth/authorize/')),
    )
  }
  reached.push(await browser.open(`${address}&prompt=none`))
  const signedIn = (await browser.open('/account')).page?.includes('/account/two-step') ?? false
  const text = JSON.stringify(
    reached.map(({ url, status, page }) => [url, status, /<h1[^>]*>[^<]*/.exec(page ?? '')?.[0]]),
  )
  return { status: at.status, inside: reached.some(hasCode) || signedIn, owes, text }
}

const byPassword = (path: string): Way => ({
  name: `password at ${path}`,
  begin:
    async ({ app }, { email, password }) =>
    async () =>
      rest(await post(app, path, { email, password })),
})
const bySend =
  (path: string): Way['begin'] =>
  async (world, who) => {
    const { app } = world
    await post(app, path, { email: who.email })
    const { code, token } = await mailed(world, who)
    if (path === '/auth/otp/send')
      return async () => rest(await post(app, '/auth/otp/verify', { email: who.email, code }))
    return async () => rest(await post(app, '/v1/auth/magic-link/verify', { token }))
  }
const bySms: Way['begin'] = async ({ app, gateway }, { phone }) => {
  const before = (await gateway.texts()).length
  await post(app, '/auth/otp/send', { phone_number: phone })
  for (let i = 0; i < 200 && (await gateway.texts()).length === before; i += 1)
    await new Promise((r) => setTimeout(r, 30))
  const { code } = await gateway.waitFor(phone)
  return async () => rest(await post(app, '/auth/otp/verify', { phone_number: phone, code }))
}
const PASSKEY = '/v1/auth/login/mfa/webauthn'
const byPasskey =
  (userVerified: boolean): Way['begin'] =>
  async ({ app }, { key }) => {
    const { options } = (await post(app, `${PASSKEY}/begin`, {})).body
    return async () => rest(await post(app, `${PASSKEY}/finish`, { credential: key.get(options, { userVerified }) }))
  }
const byReset: Way['begin'] = async ({ app }, who) => {
  await post(app, '/v1/auth/forgot-password', { email: who.email })
  const { link } = await app.smtp.waitFor(who.email, /reset-password\?token=/)
  const token = new URL(link('reset-password')).searchParams.get('token')!
  return async () => {
    const password = `Quiet-${randomBytes(8).toString('hex')}-77`
    const reset = rest(await post(app, '/v1/auth/reset-password', { token, new_password: password }))
    if (reset.inside) return reset
    // Refused people keep their password.
    if (reset.status === 200) who.password = password
    return rest(await post(app, '/v1/auth/login', { email: who.email, password }))
  }
}
const bySocial: Way['begin'] = async ({ app, elsewhere }, who) => {
  elsewhere.who = { sub: who.subject, email: who.email, email_verified: false }
  const { body } = await app.call('GET', '/v1/oauth/elsewhere/authorize', { headers: from() })
  const { left } = await new Browser(elsewhere.url).open(body.authorization_url)
  const answer = Object.fromEntries(left!.searchParams)
  return async () => rest(await post(app, '/v1/oauth/elsewhere/callback', { ...answer, binding: body.binding }))
}

const pageByPassword: Way['begin'] = async (world, who) => {
  const visit = await arrive(world)
  return async () => seen(visit, await visit.browser.submit(visit.at, { email: who.email, password: who.password }))
}
const pageByMail =
  (what: 'link' | 'code' | 'other browser'): Way['begin'] =>
  async (world, who) => {
    const visit = await arrive(world)
    const { browser } = visit
    const ask = await browser.open(/href="([^"]*\/magic-link)"/.exec(visit.at.page!)![1]!)
    const sent = await browser.submit(ask, { email: who.email })
    const { url, code } = await mailed(world, who)
    if (what === 'code') return async () => seen(visit, await browser.submit(sent, { code }))
    if (what === 'link') return async () => seen(visit, await browser.submit(await browser.open(url), {}))
    const other = { ...(await arrive(world)), browser: new Browser(world.app.url) }
    return async () => {
      const taken = await other.browser.submit(await other.browser.open(url), {})
      return seen({ ...other, at: { ...taken, url: taken.url.replace(/\/(mfa|actions)$/, '') } }, taken)
    }
  }
const pageByPasskey: Way['begin'] = async (world, { key }) => {
  const visit = await arrive(world)
  const { browser, at } = visit
  const _csrf = /name="_csrf" value="([^"]+)"/.exec(at.page!)![1]!
  const begun = await browser.request(`${at.url}/passkey/begin`, { form: { _csrf } })
  const { options } = (await begun.json()) as { options: object }
  return async () => {
    const form = { _csrf, credential: JSON.stringify(key.get(options)) }
    return seen(visit, await browser.follow(await browser.request(`${at.url}/passkey`, { form })))
  }
}
const pageByText: Way['begin'] = async (world, { phone }) => {
  const { gateway } = world
  const visit = await arrive(world)
  const { browser } = visit
  const before = (await gateway.texts()).length
  const ask = await browser.open(/href="([^"]*\/texted)"/.exec(visit.at.page!)![1]!)
  const sent = await browser.submit(ask, { phone_number: phone })
  for (let i = 0; i < 200 && (await gateway.texts()).length === before; i += 1)
    await new Promise((r) => setTimeout(r, 30))
  const { code } = await gateway.waitFor(phone)
  return async () => seen(visit, await browser.submit(sent, { code }))
}
const pageBySocial: Way['begin'] = async (world, who) => {
  const { elsewhere } = world
  const visit = await arrive(world)
  elsewhere.who = { sub: who.subject, email: who.email, email_verified: false }
  const { left } = await visit.browser.open(/href="([^"]*\/social\/elsewhere)"/.exec(visit.at.page!)![1]!)
  const back = await new Browser(elsewhere.url).open(left!.href)
  return async () => seen(visit, await visit.browser.open(back.left!.href))
}
const byRefresh: Way['begin'] = async ({ app }, who) => {
  const login = await post(app, '/v1/auth/login', { email: who.email, password: who.password })
  const { refresh_token } = login.body.tokens
  return async () => rest(await post(app, '/v1/auth/refresh', { refresh_token }))
}
/** The browser is signed in already; the app sends it again. */
const bySession: Way['begin'] = async (world, who) => {
  const visit = await arrive(world)
  await visit.browser.submit(visit.at, { email: who.email, password: who.password })
  return async () => {
    const at = await visit.browser.open(visit.address)
    return { status: at.status, inside: hasCode(at), owes: false, text: `${at.url} ${at.page?.slice(0, 500)}` }
  }
}

/** Whether the bearer token opens the API as the person. */
const opens = async (app: TestApp, token: string, { email }: Visitor): Promise<Arrival> => {
  const { status, body } = await app.call('GET', '/v1/auth/me', { token, headers: from() })
  return { status, inside: status === 200 && body.email === email, owes: false, text: JSON.stringify(body) }
}
const byKey: Way['begin'] = async ({ app }, who) => {
  const made = await app.call('POST', '/v1/api-keys', {
    token: who.accessToken,
    body: { name: 'Script', scopes: ['account'] },
  })
  return () => opens(app, made.body.key, who)
}
const byImpersonation: Way['begin'] = async ({ app }, who) => {
  const begun = await app.call('POST', `/v1/admin/users/${who.id}/impersonate`, {
    token: await app.admin(),
    body: { reason: 'Ticket 7' },
  })
  return () => opens(app, begun.body.access_token, who)
}

export const ways: Way[] = [
  byPassword('/v1/auth/login'),
  byPassword('/auth/login'),
  { name: 'magic link', provesMail: true, begin: bySend('/v1/auth/magic-link/send') },
  {
    name: 'code of the magic link',
    provesMail: true,
    async begin(world, who) {
      await post(world.app, '/v1/auth/magic-link/send', { email: who.email })
      const { code } = await mailed(world, who)
      return async () => rest(await post(world.app, '/v1/auth/magic-link/verify', { email: who.email, code }))
    },
  },
  { name: 'one-time code by mail', provesMail: true, begin: bySend('/auth/otp/send') },
  { name: 'one-time code by SMS', begin: bySms },
  { name: 'account elsewhere', begin: bySocial },
  { name: 'passkey', strong: true, begin: byPasskey(true) },
  { name: 'password on the page', begin: pageByPassword },
  { name: 'magic link on the page', provesMail: true, begin: pageByMail('link') },
  { name: 'mailed code on the page', provesMail: true, begin: pageByMail('code') },
  { name: 'magic link in another browser', provesMail: true, begin: pageByMail('other browser') },
  { name: 'texted code on the page', begin: pageByText },
  { name: 'passkey on the page', strong: true, begin: pageByPasskey },
  { name: 'account elsewhere on the page', begin: pageBySocial },
  { name: 'refresh token', continues: true, begin: byRefresh },
  { name: 'browser session', continues: true, begin: bySession },
  { name: 'reset, then password', provesMail: true, begin: byReset },
  { name: 'API key', continues: true, endsWhen: ['is disabled', 'is locked'], begin: byKey },
  { name: 'somebody who acts for the person', continues: true, endsWhen: ['is disabled'], begin: byImpersonation },
]
export const touchlessPasskey: Way = { name: 'passkey without user verification', begin: byPasskey(false) }

/** Links an account elsewhere to the person. */
export const linkElsewhere = (app: TestApp, userId: string, subject: string) =>
  app.db('identities').insert({
    tenant_id: DEFAULT_TENANT,
    id: crypto.randomUUID(),
    user_id: userId,
    provider: 'elsewhere',
    subject,
  })
