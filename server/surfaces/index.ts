/** All surfaces with their rows: those people use themselves, and those of administrators. */
import * as admin from '../../admin-api/routes.ts'
import * as self from '../api/routes.ts'
import { plain } from './plain.ts'
import { sso } from './sso.ts'
import { v1 } from './v1.ts'

export const selfSurfaces = [plain(self.plainRows), v1(self.v1Rows), sso(self.ssoRows)]
export const adminSurfaces = [plain(admin.plainRows), v1(admin.v1Rows), sso(admin.ssoRows)]
