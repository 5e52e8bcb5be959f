/** v1-api and v1-core-api: /v1 paths, spelled like plain. */
import type { Row, Surface } from '../kernel/surface.ts'
import { plain } from './plain.ts'

export const v1 = (rows: Row[]): Surface => ({ ...plain(rows), id: 'v1', title: 'Gatehouse API v1' })
