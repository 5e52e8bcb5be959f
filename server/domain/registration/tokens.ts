/** Initial access tokens (RFC 7591 3): who holds one may register clients, so many times and so long. Stored as SHA-256. */
import { randomToken, sha256 } from '../../../adapters/sealing.ts'
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { newId } from '../ids.ts'
import { type Page, readPage, type Window } from '../pages.ts'

const INITIAL = 'iat_'
const MANAGING = 'rat_'

/** A new token by which a client manages itself (RFC 7592). */
export const newManagingToken = (): string => MANAGING + randomToken()

/** The bearer token of an Authorization header, if it is one about registering. */
export const registrationTokenOf = (header: string): string | undefined =>
  /^bearer ((?:iat|rat)_[\w-]+)$/i.exec(header)?.[1]

export interface InitialToken {
  id: string
  name: string
  uses: number
  maxUses: number
  createdAt: Date
  expiresAt: Date
}
interface TokenRow {
  id: string
  name: string
  uses: number
  max_uses: number
  created_at: Date
  expires_at: Date
}
const view = (row: TokenRow): InitialToken => ({
  id: row.id,
  name: row.name,
  uses: row.uses,
  maxUses: row.max_uses,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
})

const all = (ctx: Context) => ctx.db('initial_access_tokens').where({ tenant_id: ctx.tenant.id })

/** `lifetime` in seconds. `token` is the only copy. */
export async function create(
  ctx: Context,
  input: { name: string; maxUses: number; lifetime: number },
): Promise<InitialToken & { token: string }> {
  const token = INITIAL + randomToken()
  const [row] = await ctx
    .db('initial_access_tokens')
    .insert({
      tenant_id: ctx.tenant.id,
      id: newId(),
      name: input.name,
      hash: sha256(token),
      max_uses: input.maxUses,
      created_by: ctx.actor?.userId ?? null,
      expires_at: ctx.db.raw('now() + make_interval(secs => ?)', [input.lifetime]),
    })
    .returning('*')
  const { maxUses, lifetime } = input
  ctx.event('initial_access_token.created', { data: { id: row.id, name: row.name, maxUses, lifetime } })
  return { ...view(row), token }
}

/** The newest first; used up and expired ones stay a while. */
export async function list(ctx: Context, page: Window): Promise<Page<InitialToken>> {
  const { items, total } = await readPage<TokenRow>(all(ctx), page, (q) => q.orderBy('id', 'desc'))
  return { items: items.map(view), total }
}

/** Clients that were registered with it stay. */
export async function remove(ctx: Context, id: string): Promise<void> {
  const [gone] = await all(ctx).where({ id }).delete().returning('name')
  if (!gone) throw fail('NOT_FOUND', 'No such initial access token')
  ctx.event('initial_access_token.deleted', { data: { id, name: gone.name } })
}

/** Counts one use, in one statement, so that of too many at once the last ones fail. UNAUTHORIZED. */
export async function use(ctx: Context, token: string): Promise<void> {
  const [used] = await all(ctx)
    .where({ hash: sha256(token) })
    .where('expires_at', '>', ctx.db.fn.now())
    .whereRaw('uses < max_uses')
    .update({ uses: ctx.db.raw('uses + 1') })
    .returning(['id', 'name'])
  if (!used) throw fail('UNAUTHORIZED', 'The initial access token is not valid, used up, or has expired')
  ctx.event('initial_access_token.used', { data: { id: used.id, name: used.name } })
}
