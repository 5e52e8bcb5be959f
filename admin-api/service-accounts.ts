/** Roles that clients hold themselves, for what they do with nobody behind them (client_credentials). */
import { Done, done } from '../server/api/shapes.ts'
import * as serviceAccount from '../server/domain/clients/service-account.ts'
import { operation } from '../server/domain/context.ts'
import { object, page, text } from '../server/kernel/schema.ts'
import { givenRoles, key, Role, roleKeysOf, wholePage } from './shapes.ts'

const tag = 'Client roles'
const client = text(255, { description: 'id or client_id' })

export const list = operation({
  id: 'service_accounts.roles',
  summary: 'Roles the client itself holds',
  tag,
  auth: { permission: 'roles:read' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ client }),
  output: page(Role),
  run: async (ctx, input) => wholePage(await serviceAccount.list(ctx, input.client)),
})

export const assign = operation({
  id: 'service_accounts.assign',
  summary: 'Give the client itself a role',
  description:
    'It may then ask for the permissions of the role as scopes (client_credentials). Takes effect within a second. Nobody gives more than they hold.',
  tag,
  auth: { permission: 'roles:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ client, ...givenRoles }),
  example: { role: 'support' },
  output: page(Role),
  run: async (ctx, input) => wholePage(await serviceAccount.assign(ctx, input.client, roleKeysOf(input))),
})

export const unassign = operation({
  id: 'service_accounts.unassign',
  summary: 'Take a role from the client',
  description: 'Takes effect within a second, for tokens in use as well.',
  tag,
  auth: { permission: 'roles:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ client, role: key('role') }),
  output: Done,
  async run(ctx, input) {
    await serviceAccount.unassign(ctx, input.client, [input.role])
    return done('The role is taken back')
  },
})
