import { expect } from 'chai'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import { startApp } from '../support/app.ts'

describe('a database of an older version', () => {
  it('gets the permissions that came since, and the administrators hold them', async () => {
    const old = await startApp()
    await old.db('permissions').where({ tenant_id: DEFAULT_TENANT, name: 'clients:trust' }).delete()
    const { databaseUrl } = old
    await old.stop()
    const app = await startApp({}, { databaseUrl })
    try {
      const [held] = await app
        .db('role_permissions as rp')
        .join('permissions as p', (on) => on.on('p.tenant_id', 'rp.tenant_id').on('p.id', 'rp.permission_id'))
        .where({ 'rp.tenant_id': DEFAULT_TENANT, role_id: ROLE.superAdmin, name: 'clients:trust' })
      expect(held?.system).to.equal(true)
      const client = await app.call('POST', '/clients', {
        token: await app.admin(),
        body: { client_name: 'Ours', redirect_uris: ['https://app.example.com/cb'], first_party: true },
      })
      expect(client.status).to.equal(201)
    } finally {
      await app.close()
    }
  })
})
