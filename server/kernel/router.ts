/** Rows as a router: literals before parameters, duplicates refused at start. */
import Router from '@koa/router'
import type { Context as KoaContext } from 'koa'
import { handler, type Kernel } from './bind.ts'
import type { Surface } from './surface.ts'

/** Rows of all surfaces on one router, literals before parameters; the same method and path twice is a mistake. */
export function surfaceRouter(kernel: Kernel<any>, surfaces: Surface[]): Router {
  const router = new Router()
  const all = surfaces.flatMap((surface) => surface.rows.map((row) => ({ surface, row })))
  all.sort((a, b) => specificity(a.row.path).localeCompare(specificity(b.row.path)))
  const seen = new Set<string>()
  for (const { surface, row } of all) {
    const key = `${row.method} ${row.path.replace(/:\w+/g, ':')}`
    if (seen.has(key)) throw new Error(`${row.method} ${row.path} is bound twice`)
    seen.add(key)
    const serve = handler(kernel, surface, row)
    router.register(row.path, [row.method], async (ctx: KoaContext, next: () => Promise<void>) => {
      Object.assign(ctx.req.gatehouse, { surface: surface.id, route: row.path })
      await serve(ctx, next)
    })
  }
  return router
}
const specificity = (path: string) => path.replace(/:\w+/g, '\uffff')
