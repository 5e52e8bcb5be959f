/** First start: the check that SECRET_KEY fits this database, the default tenant, the demo app, the first administrator. */
import type { Knex } from 'knex'
import type { Passwords } from '../../adapters/passwords.ts'
import type { Sealing } from '../../adapters/sealing.ts'
import type { Config } from '../config.ts'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { insertEvent } from './events.ts'
import { DEFAULT_TENANT, newId, ROLE } from './ids.ts'
import * as passwords from './passwords.ts'
import { permissions } from './policy.ts'
import * as secrets from './secrets.ts'
import * as tenants from './tenants.ts'
import * as users from './users.ts'
import { emailKey } from './users.ts'

const SET_UP_SECONDS = 86_400

export interface Installed {
  /** A one-time link's token, while there is no administrator yet. */
  setUpToken: string | undefined
}

/** Safe to run at every start and by several processes at once. Throws when SECRET_KEY is not the one of this database. */
export async function install(
  db: Knex,
  deps: { config: Config; sealing: Sealing; hasher: Passwords },
): Promise<Installed> {
  const { config, sealing, hasher } = deps
  return db.transaction(async (trx) => {
    await trx.raw(`select pg_advisory_xact_lock(hashtext('gatehouse install'))`)
    await checkSecretKey(trx, sealing)
    const existing = await trx('tenants').where({ id: DEFAULT_TENANT }).first('id')
    if (!existing) await tenants.create(trx, sealing, { id: DEFAULT_TENANT, slug: 'default', name: 'Gatehouse' })
    await bringPermissions(trx)
    if (!config.production) await ensureDemo(trx, config)
    const admin = await trx('user_roles')
      .where({ tenant_id: DEFAULT_TENANT, role_id: ROLE.superAdmin })
      .first('user_id')
    if (admin) return { setUpToken: undefined }
    if (config.adminEmail && config.adminPassword) {
      await insertAdmin(trx, config.adminEmail, await hasher.hash(config.adminPassword))
      return { setUpToken: undefined }
    }
    await trx('secrets').where({ tenant_id: DEFAULT_TENANT, purpose: 'set_up' }).delete()
    return {
      setUpToken: await secrets.create(trx, { tenantId: DEFAULT_TENANT, purpose: 'set_up', lifetime: SET_UP_SECONDS }),
    }
  })
}

/** Tenants made by an older version get the permissions that came since, and the system roles hold them. */
async function bringPermissions(trx: Knex.Transaction): Promise<void> {
  const { rows } = await trx.raw(
    `select t.id from tenants t where t.status <> 'deleted'
       and (select count(*) from permissions p where p.tenant_id = t.id and p.system and p.name = any(?)) < ?`,
    [Object.keys(permissions), Object.keys(permissions).length],
  )
  const ids: string[] = rows.map(({ id }: { id: string }) => id)
  for (let at = 0; at < ids.length; at += 500) await tenants.seedPermissions(trx, ids.slice(at, at + 500))
}

async function checkSecretKey(trx: Knex.Transaction, sealing: Sealing): Promise<void> {
  const row = await trx('installation').where({ key: 'secret_key_check' }).first()
  if (!row) {
    const sealed = sealing.seal('gatehouse', 'secret_key_check').toString('base64')
    await trx('installation').insert({ key: 'secret_key_check', value: JSON.stringify({ sealed }) })
    return
  }
  try {
    sealing.open(Buffer.from(row.value.sealed, 'base64'), 'secret_key_check')
  } catch {
    throw new Error(
      'SECRET_KEY is not the one this database was set up with: its signing keys and secrets cannot be opened',
    )
  }
}

/** The demo relying party follows PUBLIC_URL. */
async function ensureDemo(trx: Knex.Transaction, config: Config): Promise<void> {
  const uri = `${config.publicUrl}/demo`
  const metadata = JSON.stringify({
    client_name: 'Demo app',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: [uri],
    post_logout_redirect_uris: [uri],
    scope: 'openid profile email phone address offline_access roles permissions tenant',
  })
  await trx('clients')
    .insert({ tenant_id: DEFAULT_TENANT, id: newId(), client_id: 'demo', system: false, metadata })
    .onConflict(['tenant_id', 'client_id'])
    .merge({ metadata, version: trx.raw('clients.version + 1') })
}

async function insertAdmin(trx: Knex.Transaction, email: string, hash: string): Promise<string> {
  const known = await trx('users')
    .where({ tenant_id: DEFAULT_TENANT, email_key: emailKey(email) })
    .whereNull('deleted_at')
    .first('id')
  const id = known?.id ?? newId()
  if (!known) {
    await trx('users').insert({
      tenant_id: DEFAULT_TENANT,
      id,
      email,
      email_key: emailKey(email),
      email_verified_at: trx.fn.now(),
    })
    await trx('credentials').insert({
      tenant_id: DEFAULT_TENANT,
      id: newId(),
      user_id: id,
      type: 'password',
      secret: hash,
    })
  }
  await trx('user_roles')
    .insert([ROLE.user, ROLE.superAdmin].map((role_id) => ({ tenant_id: DEFAULT_TENANT, user_id: id, role_id })))
    .onConflict(['tenant_id', 'user_id', 'role_id'])
    .ignore()
  await insertEvent(trx, DEFAULT_TENANT, { type: 'installation.first_administrator', userId: id })
  return id
}

/** The set-up page: makes the first administrator with the printed link's token, once. */
export async function setUp(ctx: Context, input: { token: string; email: string }, hash: string): Promise<void> {
  const taken = await secrets.consume(ctx.db, DEFAULT_TENANT, 'set_up', input.token)
  if (!taken)
    throw fail(
      'INVALID_TOKEN',
      'This set-up link is invalid, was used already, or has expired. Restart to get a new one',
    )
  const user = await users.create(ctx, {
    email: input.email,
    emailVerified: true,
    roleIds: [ROLE.user, ROLE.superAdmin],
  })
  await passwords.store(ctx, user.id, hash)
  ctx.event('installation.first_administrator', { userId: user.id })
}
