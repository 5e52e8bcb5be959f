/** Every bound row of every surface, for tests that walk them. */
import type { Row, Surface } from '../../server/kernel/surface.ts'
import { adminSurfaces, selfSurfaces } from '../../server/surfaces/index.ts'

export interface Bound {
  surface: Surface
  row: Row
  admin: boolean
}

export const allRows: Bound[] = [
  ...selfSurfaces.flatMap((surface) => surface.rows.map((row) => ({ surface, row, admin: false }))),
  ...adminSurfaces.flatMap((surface) => surface.rows.map((row) => ({ surface, row, admin: true }))),
]

/** Whether a call without credentials may reach it. */
export const isOpen = ({ row }: Bound): boolean => row.op.auth === 'anyone' && row.permission === undefined

/** The row's path with its parameters filled. */
export const pathOf = ({ row }: Bound, value = '00000000-0000-4000-8000-000000000000'): string =>
  row.path.replace(':realm', 'default').replace(/:\w+/g, value)

export const nameOf = ({ row }: Bound): string => `${row.method} ${row.path}`
