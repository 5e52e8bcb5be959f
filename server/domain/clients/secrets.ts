/** Secrets of clients: shown once, sealed at rest; two may live while one replaces the other. */
import { timingSafeEqual } from 'node:crypto'
import { randomToken, sha256 } from '../../../adapters/sealing.ts'
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { secretPlace } from '../directory/load.ts'
import { newId } from '../ids.ts'
import { find } from './rows.ts'
import { assertMayManage } from './rules.ts'

const secretsOf = (ctx: Context, client: string) => ctx.db('client_secrets').where({ tenant_id: ctx.tenant.id, client })

export const hasSecret = async (ctx: Context, client: string): Promise<boolean> =>
  (await secretsOf(ctx, client).first('id')) !== undefined

/** Whether it is one of the live secrets. */
export async function matches(ctx: Context, client: string, secret: string): Promise<boolean> {
  const rows = await live(ctx, client)
  const open = rows.map((row) => ctx.out.sealing.open(row.secret_encrypted, secretPlace(ctx.tenant.id, row.id)))
  return open.some((one) => timingSafeEqual(sha256(one.toString()), sha256(secret)))
}

const live = (ctx: Context, client: string) =>
  secretsOf(ctx, client)
    .where((q) => q.whereNull('expires_at').orWhere('expires_at', '>', ctx.db.fn.now()))
    .orderBy('created_at', 'desc')

export async function store(ctx: Context, client: string, secret: string): Promise<void> {
  const id = newId()
  await ctx.db('client_secrets').insert({
    tenant_id: ctx.tenant.id,
    id,
    client,
    secret_encrypted: ctx.out.sealing.seal(secret, secretPlace(ctx.tenant.id, id)),
    created_at: ctx.db.raw('clock_timestamp()'),
  })
}

/** A new secret, shown once; the one before lives on for `overlap` seconds, older ones end now. */
export async function regenerate(
  ctx: Context,
  id: string,
  overlap: number,
): Promise<{ clientId: string; clientSecret: string; previousExpiresAt: Date | null }> {
  const row = await find(ctx, id, { lock: true })
  if (row.system) throw fail('ACCESS_DENIED', 'The built-in client has no secret')
  await assertMayManage(ctx, row)
  const { clientSecret, replaced } = await replace(ctx, row, overlap)
  return {
    clientId: row.client_id,
    clientSecret,
    previousExpiresAt: replaced && overlap > 0 ? new Date(Date.now() + overlap * 1000) : null,
  }
}

/** regenerate() without asking who: for whoever proved by a one-time secret that the client is theirs. */
export async function replace(
  ctx: Context,
  row: { id: string; client_id: string },
  overlap: number,
): Promise<{ clientSecret: string; replaced: boolean }> {
  const secrets = () => secretsOf(ctx, row.id)
  const latest = await secrets().orderBy('created_at', 'desc').first('id')
  if (latest) {
    await secrets().whereNot('id', latest.id).delete()
    if (overlap === 0) await secrets().delete()
    else
      await secrets()
        .where('id', latest.id)
        .update({ expires_at: ctx.db.raw('now() + make_interval(secs => ?)', [overlap]) })
  }
  const clientSecret = randomToken()
  await store(ctx, row.id, clientSecret)
  ctx.event('client.secret_regenerated', { clientId: row.client_id, data: { overlap } })
  return { clientSecret, replaced: latest !== undefined }
}

/** What is known of the secrets; never the secrets. */
export async function metadata(
  ctx: Context,
  id: string,
): Promise<{ clientId: string; secrets: { id: string; createdAt: Date; expiresAt: Date | null }[] }> {
  const row = await find(ctx, id)
  const rows = await live(ctx, row.id)
  return {
    clientId: row.client_id,
    secrets: rows.map((s) => ({ id: s.id, createdAt: s.created_at, expiresAt: s.expires_at })),
  }
}
