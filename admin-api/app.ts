/** The admin API as a Koa app of its own: mounted in the main one, or alone on ADMIN_PORT. */
import Koa from 'koa'
import type { Kernel } from '../server/kernel/bind.ts'
import { surfaceRouter } from '../server/kernel/router.ts'
import type { Surface } from '../server/kernel/surface.ts'

export function adminApp(kernel: Kernel<any>, surfaces: Surface[]): Koa {
  const app = new Koa()
  return app.use(surfaceRouter(kernel, surfaces).routes()) as unknown as Koa
}
