/** The page behind the link that hands the secret of an approved app to its developer. */
import { transact } from '../server/api/pipeline.ts'
import * as handover from '../server/domain/clients/handover.ts'
import * as secrets from '../server/domain/secrets.ts'
import { fail } from '../server/kernel/errors.ts'
import { type PageHandler, readForm, spend } from './page.ts'
import { render } from './render.ts'

/** Opening the link changes nothing: mail scanners open links. */
export const show: PageHandler = async (koa, ctx) => {
  const { token } = koa.query
  if (typeof token !== 'string' || token.length > 512) throw fail('INVALID_TOKEN', 'The link is incomplete')
  if (!(await secrets.peek(ctx.out.db, ctx.tenant.id, 'client_secret', token))) throw fail('INVALID_TOKEN', 'dead link')
  render(koa, 'client-secret', { post: `${ctx.tenant.mountPath}/client-secret`, token })
}

export const take: PageHandler = async (koa, ctx) => {
  const { token = '' } = await readForm(koa)
  await spend(ctx, handover.LIMIT)
  const { clientId, clientSecret } = await transact(ctx, (inner) => handover.take(inner, token))
  render(koa, 'client-secret', { clientId, clientSecret })
}
