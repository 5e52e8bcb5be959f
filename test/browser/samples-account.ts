// Sample data for the account area's pages: views/account/*, in the states a person can meet.
import { qrSvg } from '../../adapters/qr.ts'

const email = 'ada.lovelace@example.com'
const at = '/account'
const day = (n: number) => new Date(Date.UTC(2026, 4, n, 9, 30))
const id = (n: number) => `018f3c1e-7a1b-7c3d-9e4f-00000000000${n}`
const sections: [name: string, icon: string][] = [
  ['profile', 'user'],
  ['email', 'mail'],
  ['password', 'key'],
  ['two-step', 'shield'],
  ['passkeys', 'key'],
  ['sessions', 'exit'],
  ['devices', 'phone'],
  ['linked', 'globe'],
  ['apps', 'code'],
  ['api-keys', 'tool'],
  ['history', 'clock'],
  ['data', 'info'],
]

/** A page of the area: what show() gives to every one of them, and its own data. */
const page = (section: string, data: object = {}) => ({
  at,
  section,
  nav: sections.map(([name, icon]) => ({ name, icon, href: `${at}/${name}`, current: name === section })),
  account: { name: 'Ada Lovelace', email },
  logout: '/oauth/logout',
  ...data,
})

const profile = {
  zones: ['UTC', 'Europe/Berlin'],
  locales: [
    { value: 'en', label: 'English' },
    { value: 'de', label: 'Deutsch' },
  ],
  form: { given_name: 'Ada', family_name: 'Lovelace', phone_number: '+4915112345678', zoneinfo: 'Europe/Berlin' },
}
const device = (n: number, more: object) => ({
  id: id(n),
  name: 'Firefox on Linux',
  ip: '203.0.113.7',
  country: 'DE',
  bound: true,
  trusted_until: null,
  blocked_at: null,
  current: false,
  created_at: day(1),
  last_used_at: day(n),
  ...more,
})
const devices = [
  device(1, { current: true }),
  device(2, { name: 'Safari on iPhone', trusted_until: new Date(Date.UTC(2999, 0, 1)) }),
  device(3, { name: 'Chrome on Windows', blocked_at: day(3) }),
]
const session = (n: number, more: object) => ({
  id: `session-${n}`,
  current: false,
  device: 'Firefox on Linux',
  ip: '203.0.113.7',
  country: 'DE',
  createdAt: day(1),
  lastUsedAt: day(n),
  ...more,
})
const key = (n: number, more: object) => ({
  id: id(n),
  name: `Nightly export ${n}`,
  prefix: 'gh_8Kd2mQ',
  scopes: ['account', 'users:read'],
  created_at: day(1),
  expires_at: day(30),
  last_used_at: null,
  expired: false,
  replaced: false,
  ...more,
})
const keys = { scopes: ['account', 'users:read', 'users:write'], lifetimes: ['30', '90', '365', ''] }
const entry = (type: string, more: object = {}) => ({
  type,
  success: null,
  device: 'Firefox on Linux',
  ip: '203.0.113.7',
  country: 'DE',
  byOther: false,
  createdAt: day(4),
  ...more,
})
const qr = (url: string) => `data:image/svg+xml;base64,${Buffer.from(qrSvg(url)).toString('base64')}`
const otpauth = 'otpauth://totp/Gatehouse:ada?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'
const totp = { id: id(1), qr: qr(otpauth), secret: 'JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP', url: otpauth }
const twoStep = { methods: [], factors: [], preferredMethod: null, backupCodesRemaining: 0, emailVerified: true }

const pages: Record<string, Record<string, unknown>> = {
  overview: page('overview', { verified: true, since: day(1) }),
  'overview.unverified': page('overview', { verified: false, since: day(1) }),
  profile: page('profile', { ...profile, phone: '+4915112345678', phoneVerified: false, texts: true }),
  'profile.saved': page('profile', {
    ...profile,
    phone: '+4915112345678',
    phoneVerified: true,
    texts: true,
    done: 'phone',
  }),
  'profile.wrong': page('profile', { ...profile, errors: { phone_number: 'account.error.phone' } }),
  phone: page('profile', { phone: '+4915112345678', links: {} }),
  'phone.wrong': page('profile', { phone: '+4915112345678', links: {}, errors: { code: 'field.error.code' } }),
  email: page('email', { address: email, verified: true, links: {} }),
  'email.first': page('email', { address: null, verified: false, links: {} }),
  'email.unverified': page('email', {
    address: email,
    verified: false,
    links: { mailbox: '/dev/mailbox' },
    done: 'verification',
    form: { email: 'ada@' },
  }),
  'email.wrong': page('email', { address: email, verified: true, links: {}, errors: { email: 'account.error.taken' } }),
  'email-sent': page('email', { email, expires: 86_400, links: { mailbox: '/dev/mailbox' } }),
  'email-link': { kind: 'change_email', token: 'abc', from: email, to: 'ada@new.example' },
  'email-link.first': { kind: 'change_email', token: 'abc', from: null, to: 'ada@new.example' },
  'email-link.undo': { kind: 'undo_email', token: 'abc', from: email, to: 'ada@new.example' },
  'email-link-done': { kind: 'change_email', email, account: at },
  'email-link-done.undo': { kind: 'undo_email', email, account: at },
  password: page('password', { present: true, rules: { minLength: 10 }, email }),
  'password.first': page('password', { present: false, rules: { minLength: 10 }, email }),
  'password.wrong': page('password', {
    present: true,
    rules: { minLength: 10 },
    email,
    errors: { current_password: 'account.error.password', new_password: 'password.error.common' },
  }),
  'two-step': page('two-step', { ...twoStep, enabled: false }),
  'two-step.on': page('two-step', {
    ...twoStep,
    enabled: true,
    methods: ['webauthn', 'totp', 'sms'],
    preferredMethod: 'totp',
    backupCodesRemaining: 9,
    phone: '+4915112345678',
    done: 'factor-needed',
  }),
  totp: page('two-step', totp),
  'totp.wrong': page('two-step', { ...totp, errors: { code: 'account.error.totp' } }),
  sms: page('two-step', { phone: '+4915112345678' }),
  codes: page('two-step', { codes: ['k7m2p-x9w4q', 'h3n8r-t5v6z', 'a2b4c-d6f8g', 'j3k5m-n7p9q'], done: 'totp-on' }),
  passkeys: page('passkeys', {
    passkeys: [
      { id: id(1), name: 'Phone', synced: true, createdAt: day(1), lastUsedAt: day(2) },
      { id: id(2), name: 'Security key', synced: false, createdAt: day(1), lastUsedAt: null },
    ],
  }),
  'passkeys.added': page('passkeys', {
    passkeys: [{ id: id(1), name: 'Phone', synced: true, createdAt: day(1), lastUsedAt: null }],
    done: 'passkey-added',
  }),
  'passkeys.empty': page('passkeys', { passkeys: [], errors: { _form: 'account.error.passkey' } }),
  'passkey-add': page('passkeys', { options: { challenge: 'AAAA' } }),
  sessions: page('sessions', {
    sessions: [
      session(1, { current: true }),
      session(2, { app: 'Harbour Notes', device: 'Safari on iPhone' }),
      session(3, { impersonated: true }),
    ],
  }),
  'sessions.one': page('sessions', { sessions: [session(1, { current: true })] }),
  devices: page('devices', { devices, trustDays: 30, mayTrust: true }),
  'devices.empty': page('devices', { devices: [], trustDays: 0, mayTrust: false, done: 'device-remove' }),
  linked: page('linked', {
    providers: [
      { slug: 'google', name: 'Google', linked: { email, createdAt: day(1), lastUsedAt: day(2) } },
      { slug: 'github', name: 'GitHub' },
    ],
  }),
  'linked.empty': page('linked', { providers: [] }),
  apps: page('apps', {
    apps: [
      {
        clientId: 'notes',
        name: 'Harbour Notes',
        uri: 'https://notes.example',
        scopes: ['openid', 'email', 'offline_access'],
        resources: [{ name: 'Harbour API', scopes: [{ name: 'write', description: 'Write your notes' }] }],
        createdAt: day(1),
        updatedAt: day(2),
      },
    ],
  }),
  'apps.empty': page('apps', { apps: [] }),
  'api-keys': page('api-keys', {
    ...keys,
    keys: [key(1, { last_used_at: day(2) }), key(2, { expired: true }), key(3, { expires_at: null, replaced: true })],
  }),
  'api-keys.wrong': page('api-keys', {
    ...keys,
    keys: [],
    form: { lifetime: '30' },
    chosen: ['users:read'],
    errors: { name: 'account.error.name' },
  }),
  'api-key': page('api-keys', {
    name: 'Nightly export',
    secret: 'gh_8Kd2mQvF3k9sQ2mT7xZ1bL0cR8yW5hN4dJ6gPa',
    expires: day(30),
    overlap: 86_400,
  }),
  history: page('history', {
    kind: 'logins',
    first: false,
    older: '?kind=logins&before=x',
    entries: [
      entry('login.success', { success: true, app: 'Harbour Notes' }),
      entry('login.failed', { success: false }),
      entry('mfa.enabled', { byOther: true }),
    ],
  }),
  'history.empty': page('history', { kind: 'security', first: true, entries: [] }),
  data: page('data', { days: 30 }),
  delete: page('data', { email, days: 30 }),
  'delete.phone': page('data', {
    email: null,
    phone: '+4915112345678',
    days: 30,
    errors: { confirmation: 'account.error.confirmPhone' },
  }),
  'delete.wrong': page('data', { email, days: 30, errors: { confirmation: 'account.error.confirmation' } }),
  deleted: { days: 30, home: '/' },
}

/** By the names of the views: account/<page> or account/<page>.<state>. */
export const accountSamples = Object.fromEntries(Object.entries(pages).map(([name, data]) => [`account/${name}`, data]))
