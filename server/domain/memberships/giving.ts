/** Nobody hands out more in an organization than they hold there: the one rule for roles that are given, taken, offered and made. */
import { fail } from '../../kernel/errors.ts'
import { organizationPermissions, permissions } from '../policy.ts'

/**
 * ACCESS_DENIED unless all these permissions are among `held` there or `wide`, held in the tenant, which counts for giving. What means
 * nothing to us but to the tenant's apps, Owners may give.
 */
export function assertWithin(names: string[], held: ReadonlySet<string>, wide: ReadonlySet<string>): void {
  const isOwner = organizationPermissions.every((name) => held.has(name))
  const isTheirs = (name: string) => isOwner && !Object.hasOwn(permissions, name)
  const missing = names.find((name) => !held.has(name) && !wide.has(name) && !isTheirs(name))
  if (missing)
    throw fail('ACCESS_DENIED', `This needs ${missing} in the organization, which you do not hold yourself`, {
      details: { permission: missing },
    })
}
