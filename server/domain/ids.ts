/** Identifiers, and the fixed ones of seeded rows. */
import { v7 } from 'uuid'

/** A UUIDv7 (RFC 9562): sorts by time of making, so that inserts go to one end of an index. */
export const newId = (): string => v7()

export const NIL = '00000000-0000-0000-0000-000000000000'
export const DEFAULT_TENANT = '00000000-0000-7000-8000-000000000001'
/** System roles have the same ids in every tenant. */
export const ROLE = {
  user: '00000000-0000-0000-0000-000000000001',
  admin: '00000000-0000-0000-0000-000000000002',
  superAdmin: '00000000-0000-0000-0000-000000000003',
  /** Of organizations. */
  owner: '00000000-0000-0000-0000-000000000004',
  organizationAdmin: '00000000-0000-0000-0000-000000000005',
  member: '00000000-0000-0000-0000-000000000006',
} as const
/** The built-in first-party client of the direct-login API and the hosted pages. */
export const DIRECT_CLIENT = 'gatehouse'
