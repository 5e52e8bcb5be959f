/** Second factors for tests: an authenticator app in the hand of a person, and sign-ins that wait for one. */
import { generateSync } from 'otplib'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from } from './address.ts'
import type { Answer, Person, TestApp } from './app.ts'

/** What the app shows now, or `steps` of 30 s away. */
export const appCode = (secret: string, steps = 0): string =>
  generateSync({ secret, epoch: Math.floor(Date.now() / 1000) + 30 * steps })

/** A code that is of none of the three steps allowed now. */
export function wrongCode(secret: string): string {
  const near = [-2, -1, 0, 1, 2].map((steps) => appCode(secret, steps))
  return ['000000', '111111', '222222', '333333', '444444', '555555'].find((code) => !near.includes(code))!
}

/** As if the last code had been used long ago. */
export const forgetSteps = (app: TestApp, userId: string) =>
  app.db('credentials').where({ user_id: userId, type: 'totp' }).update({ data: '{}' })

/** Sets an authenticator app up and turns it on. Callers have addresses of their own: start the app with TRUST_PROXY=1. */
export async function withApp(app: TestApp, person: Person): Promise<{ secret: string; backupCodes: string[] }> {
  const { accessToken: token } = person
  const made = await app.call('POST', '/v1/auth/mfa/setup', { token, headers: from() })
  const { secret } = made.body
  const enabled = await app.call('POST', '/v1/auth/mfa/enable', {
    token,
    body: { code: appCode(secret) },
    headers: from(),
  })
  if (enabled.status !== 200) throw new Error(`enable answered ${enabled.status} ${JSON.stringify(enabled.body)}`)
  await forgetSteps(app, person.id)
  return { secret, backupCodes: enabled.body.backup_codes }
}

/** The first step of a sign-in, by a caller nobody was before unless `headers` say so. */
export const firstStep = (
  app: TestApp,
  { email, password }: Person,
  headers = from() as Record<string, string>,
): Promise<Answer> => app.call('POST', '/v1/auth/login', { body: { email, password }, headers })

/** As if the address had been verified. */
export const verified = (app: TestApp, person: Person) =>
  app.db('users').where({ id: person.id }).update({ email_verified_at: new Date() })

/** Sets a setting of the default tenant. */
export async function setting(app: TestApp, key: string, value: unknown): Promise<void> {
  await app
    .db('settings')
    .insert({ tenant_id: DEFAULT_TENANT, key, value: JSON.stringify(value) })
    .onConflict(['tenant_id', 'key'])
    .merge()
  app.deps.out.directory.drop(DEFAULT_TENANT)
}

/** Sets login_policy of every client, the built-in one of the direct logins included. */
export async function loginPolicy(app: TestApp, policy: object): Promise<void> {
  const ids = await app.db('clients').where({ tenant_id: DEFAULT_TENANT }).pluck('client_id')
  await app
    .db('clients')
    .where({ tenant_id: DEFAULT_TENANT })
    .update({ login_policy: JSON.stringify(policy) })
  for (const id of ids) app.deps.out.directory.drop(DEFAULT_TENANT, id)
}
