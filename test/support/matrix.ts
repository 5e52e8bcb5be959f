/** Who may call which row: the rule, said a second time and by itself. Tests hold the program against it, docs publish it. */
import { systemRoles } from '../../server/domain/policy.ts'
import { permissionOf } from '../../server/kernel/operation.ts'
import { type Bound, isOpen } from './rows.ts'

export type Verdict = 'in' | 'unauthorized' | 'denied'

export interface Caller {
  kind: 'nobody' | 'user' | 'client'
  /** Shows something that is no credential here: refused even where nobody is asked for one. */
  bad?: boolean
  permissions: Set<string>
  /** Our own app: acts with all the person may do, on their own account too. */
  firstParty: boolean
}

export const permissionsOf = (role: string) => new Set(systemRoles.find(({ name }) => name === role)!.permissions)
export const NOBODY: Caller = { kind: 'nobody', permissions: new Set(), firstParty: false }
export const personWith = (role: string): Caller => ({
  kind: 'user',
  permissions: permissionsOf(role),
  firstParty: true,
})
/** A client by itself, or what acts for a person within scopes. */
export const within = (kind: 'user' | 'client', scopes: string[]): Caller => ({
  kind,
  permissions: new Set(scopes),
  firstParty: false,
})

const neededFor = ({ row }: Bound): string[] =>
  [
    row.permission,
    typeof row.op.auth === 'object' && 'permission' in row.op.auth ? row.op.auth.permission : undefined,
  ].filter((p) => p !== undefined)

/** Which permission lets in whoever is no person on their own account; undefined where every person may ask. */
function insteadOfPerson({ auth }: Bound['row']['op']): string | undefined {
  if (typeof auth !== 'object') return undefined
  if ('inside' in auth) return 'organizations:write'
  return 'orUser' in auth ? auth.permission : undefined
}

export function verdict(bound: Bound, who: Caller): Verdict {
  if (who.bad) return 'unauthorized'
  if (isOpen(bound)) return 'in'
  if (who.kind === 'nobody') return 'unauthorized'
  const instead = insteadOfPerson(bound.row.op)
  if (instead && !bound.row.permission)
    return who.permissions.has(instead) || (who.kind === 'user' && who.firstParty) ? 'in' : 'denied'
  if (bound.row.op.auth === 'user' && (who.kind === 'client' || !who.firstParty)) return 'denied'
  return neededFor(bound).every((permission) => who.permissions.has(permission)) ? 'in' : 'denied'
}

/** What a role of an organization may do in it. */
export const mayInside = (bound: Bound, role: 'Owner' | 'Admin' | 'Member'): boolean => {
  const { auth } = bound.row.op
  if (typeof auth !== 'object' || !('inside' in auth) || bound.row.permission)
    return verdict(bound, personWith('user')) === 'in'
  return permissionsOf(role).has(auth.inside)
}

/** A line of the published matrix. */
export function cellsOf(bound: Bound): string[] {
  const { row } = bound
  const { auth } = row.op
  const yes = (is: boolean) => (is ? 'yes' : '')
  const may = (who: Caller) => verdict(bound, who) === 'in'
  const open = isOpen(bound)
  const own = typeof auth === 'object' && 'orSelf' in auth && !row.permission
  const inside = typeof auth === 'object' && 'inside' in auth
  const personal = !open && (auth === 'user' || own || (insteadOfPerson(row.op) !== undefined && !row.permission))
  const needed = [...new Set([row.permission, permissionOf(auth)].filter((p) => p !== undefined))]
  const names = needed.map((name) => `\`${name}\``).join(' and ')
  const user = own && !may(personWith('user')) ? 'own' : inside && !row.permission ? '' : yes(may(personWith('user')))
  const alone = [...new Set([row.permission, insteadOfPerson(row.op) ?? permissionOf(auth)])].filter(
    (p) => p !== undefined,
  )
  return [
    `\`${row.method} ${row.path.replace(/:(\w+)/g, '{$1}')}\``,
    open
      ? 'nothing'
      : inside
        ? `${names} in the organization`
        : `${names || 'a person'}${names && !own && personal ? ', or a person' : ''}`,
    yes(open),
    user,
    own ? user : yes(mayInside(bound, 'Member')),
    own ? user : yes(mayInside(bound, 'Owner')),
    yes(may(personWith('admin'))),
    yes(may(personWith('super_admin'))),
    open
      ? 'yes'
      : [personal ? '`account`' : '', needed.length > 0 && !inside ? names : ''].filter(Boolean).join(' or '),
    open ? 'yes' : auth === 'user' ? '' : alone.map((name) => `\`${name}\``).join(' and '),
  ]
}
export const HEAD = [
  'row',
  'needs',
  'nobody',
  'user',
  'organization member',
  'organization owner',
  'admin',
  'super_admin',
  'API key or app, by scope',
  'client by itself, by scope',
]
