/** All surfaces with their rows: those people use themselves, and those of administrators. */
import * as admin from '../../admin-api/routes.ts'
import * as self from '../api/routes.ts'
import type { Surface } from '../kernel/surface.ts'
import { oauth } from './oauth.ts'
import { plain } from './plain.ts'
import { sso } from './sso.ts'
import { v1 } from './v1.ts'

export const selfSurfaces = [plain(self.plainRows), v1(self.v1Rows), sso(self.ssoRows), oauth(self.oauthRows)]
export const adminSurfaces = [plain(admin.plainRows), v1(admin.v1Rows), sso(admin.ssoRows)]

const failuresOf = { sso: sso([]), oauth: oauth([]), other: plain([]) }
/** How a failure is spelled where no row of a surface was met, such as at an unknown path. */
export function surfaceOf(path: string): Pick<Surface, 'fail'> {
  if (/^\/oauth\/register(\/|$)/.test(path)) return failuresOf.oauth
  return /^\/(api(\/|$)|auth\/(admin\/)?client)/.test(path) ? failuresOf.sso : failuresOf.other
}
