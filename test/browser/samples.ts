// Sample data for every view: the states a person can meet, named view or view.state.
import { qrSvg } from '../../adapters/qr.ts'
import { renderMail } from '../../adapters/templates.ts'
import { accountSamples } from './samples-account.ts'

const client = {
  name: 'Harbour Notes',
  uri: 'https://notes.example',
  policyUri: 'https://notes.example/privacy',
  tosUri: 'https://notes.example/terms',
  host: 'notes.example',
}
const account = { name: 'Ada Lovelace', email: 'ada.lovelace@example.com' }
const rules = { minLength: 10, upper: true, digit: true }
const links = { login: '/login', register: '/register', forgot: '/forgot-password', mailbox: '/dev/mailbox' }
const branding = { name: 'Gatehouse' }
const mail = renderMail('verify-email', 'en', {
  branding,
  email: account.email,
  link: 'http://localhost:3000/verify-email?token=vF3k9sQ2mT7xZ1bL0cR8yW5hN4dJ6gPa',
  code: '483920',
  expires: 86_400,
})
const mails = [
  { id: '3', to: account.email, subject: 'Reset your password for Gatehouse', date: '2026-05-04T09:30:00Z' },
  { id: '2', to: account.email, subject: mail.subject, date: '2026-05-04T09:12:00Z' },
  { id: '1', to: 'grace@example.com', subject: 'New sign-in to your account', date: '2026-05-03T18:00:00Z' },
]
const requestId = '01JX4M7Q2ZK8'

export const samples: Record<string, Record<string, unknown>> = {
  login: { client, links },
  'login.wrong': {
    client,
    links,
    form: { email: account.email },
    errors: { _form: 'login.error.credentials' },
  },
  'login.everything': {
    links: { ...links, magicLink: '/magic' },
    passkey: { begin: '/interaction/x/passkey/begin', finish: '/interaction/x/passkey' },
    providers: [
      { id: 'google', name: 'Google', href: '/social/google' },
      { id: 'github', name: 'GitHub', href: '/social/github' },
    ],
    form: { email: account.email },
    notice: 'login.notice.verified',
  },
  mfa: {
    client,
    post: '/mfa',
    method: 'totp',
    others: [
      { method: 'email', href: '?method=email' },
      { method: 'backup_codes', href: '?method=backup_codes' },
    ],
    passkey: { begin: '/interaction/x/passkey/begin', finish: '/interaction/x/passkey' },
    trustDays: 30,
    links: { back: '/login' },
  },
  'mfa.wrong': {
    client,
    post: '/mfa',
    method: 'totp',
    others: [],
    links: { back: '/login' },
    errors: { code: 'mfa.error.code' },
  },
  'mfa.email': {
    client,
    post: '/mfa',
    method: 'email',
    send: '/mfa/send',
    sent: true,
    to: 'a…@example.com',
    others: [{ method: 'totp', href: '?method=totp' }],
    links: { back: '/login', mailbox: '/dev/mailbox' },
  },
  'mfa.sms': {
    post: '/mfa',
    method: 'sms',
    send: '/mfa/send',
    to: '…67',
    others: [],
    links: { back: '/login' },
  },
  'mfa-enrol': {
    client,
    post: '/mfa/enrol',
    qr: `data:image/svg+xml;base64,${Buffer.from(qrSvg('otpauth://totp/Gatehouse:ada?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP')).toString('base64')}`,
    secret: 'JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP',
    url: 'otpauth://totp/Gatehouse:ada?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP',
    links: { back: '/login' },
  },
  'mfa-codes': {
    client,
    post: '/mfa/continue',
    codes: ['k7m2p-x9w4q', 'h3n8r-t5v6z', 'a2b4c-d6f8g', 'j3k5m-n7p9q', 'r2s4t-u6v8w'],
  },
  'magic-link': { client, post: '/magic-link', links: { login: '/login' } },
  'magic-link.wrong': { links: {}, form: { email: 'ada@' }, errors: { email: 'field.error.email' } },
  'magic-link-sent': {
    email: account.email,
    post: '/magic-link/code',
    expires: 600,
    links: { login: '/login', again: '/magic-link', mailbox: '/dev/mailbox' },
  },
  'magic-link-sent.wrong': {
    email: account.email,
    post: '/magic-link/code',
    expires: 600,
    links: {},
    errors: { code: 'field.error.code' },
  },
  'magic-link-open': { post: '/magic-link', token: 'abc', email: account.email },
  'magic-link-open.elsewhere': { post: '/magic-link', token: 'abc', email: account.email, elsewhere: true },
  'magic-link-guarded': {},
  'mfa.backup': {
    post: '/mfa',
    method: 'backup_codes',
    others: [{ method: 'totp', href: '?method=totp' }],
    links: { back: '/login' },
  },
  'mfa.passkey': {
    client,
    post: '/mfa',
    others: [{ method: 'totp', href: '?method=totp' }],
    passkey: { begin: '/interaction/x/passkey/begin', finish: '/interaction/x/passkey' },
    links: { back: '/login' },
  },
  'mfa-enrol.wrong': {
    post: '/mfa/enrol',
    qr: `data:image/svg+xml;base64,${Buffer.from(qrSvg('otpauth://totp/Gatehouse:ada')).toString('base64')}`,
    secret: 'JBSW Y3DP',
    url: 'otpauth://totp/Gatehouse:ada',
    links: { back: '/login' },
    errors: { code: 'mfa.error.code' },
  },
  register: { client, links, rules },
  'register.wrong': {
    links,
    rules,
    form: { email: 'ada@', given_name: 'Ada' },
    errors: { email: 'field.error.email', password: 'password.error.weak' },
  },
  'verify-email-sent': {
    email: account.email,
    expires: 86_400,
    resend: '/verify-email/resend',
    links: { next: '/go' },
    client,
  },
  'verify-email-sent.again': {
    email: account.email,
    expires: 86_400,
    resend: '/x',
    resent: true,
    links: { mailbox: '/dev/mailbox' },
  },
  'client-secret': { token: 'abc' },
  'client-secret.shown': { clientId: 'my-app', clientSecret: 'IcBarsljspDHBqYPejHFrNLjH2_iFIYZ_Sjl_DegZrs' },
  'verify-email': { email: account.email, token: 'abc' },
  'verify-email-done': { email: account.email, client, links: { next: '/go' } },
  'forgot-password': { links },
  'forgot-password-sent': { email: account.email, expires: 3600, links: { ...links, again: '/forgot-password' } },
  'reset-password': { email: account.email, token: 'abc', rules },
  'reset-password-done': { links },
  consent: {
    client,
    account,
    links: { switch: '/switch' },
    scopes: ['openid', 'profile', 'email', 'offline_access', 'notes:read'],
    granted: ['openid'],
    resources: [
      {
        name: 'Harbour API',
        scopes: [{ name: 'write', description: 'Write and delete your notes' }, { name: 'share' }],
      },
    ],
  },
  accounts: { account, client },
  logout: {
    formHtml:
      '<form id="op.logoutForm" method="post" action="/oauth/logout/confirm"><input type="hidden" name="xsrf" value="x"/></form>',
    account,
    client,
  },
  'logout.own': { post: '/logout', account: { email: account.email } },
  'logged-out': { client, links },
  error: { code: 'session_expired', client, requestId, links: { home: '/' } },
  'error.oauth': {
    code: 'invalid_redirect_uri',
    oauth: 'invalid_redirect_uri',
    detail: "redirect_uri did not match any of the client's registered redirect_uris",
    requestId,
    links: { home: '/' },
  },
  setup: { token: 'abc', rules },
  'signed-in': { account, links: { logout: '/logout', home: '/' } },
  'too-many': { retryAfter: 240, requestId, links: { retry: '/login' } },
  unavailable: { retryAfter: 5, requestId, links: { retry: '/login' } },
  mailbox: { mails, path: '/dev/mailbox/', links: { home: '/' } },
  'mailbox.empty': { mails: [], path: '/dev/mailbox/', links: { home: '/' } },
  'mailbox-mail': {
    mail: { to: account.email, date: '2026-05-04T09:12:00Z', ...mail },
    links: { back: '/dev/mailbox' },
  },
  home: {
    issuer: 'http://localhost:3000',
    links: {
      demo: '/demo',
      docs: '/docs',
      admin: '/docs#admin',
      mailbox: '/dev/mailbox',
      discovery: '/.well-known/openid-configuration',
      login: '/login',
    },
  },
  demo: { issuer: 'http://localhost:3000', clientId: 'demo' },
  docs: {
    documents: ['all', 'plain', 'v1', 'sso', 'admin'].map((name) => ({
      name,
      url: name === 'all' ? '/openapi.json' : `/openapi/${name}.json`,
    })),
    links: { home: '/' },
  },
  ...accountSamples,
}
