/** Export and import of people, each row once: the answers are held against their schemas. */
import type { TestApp } from '../support/app.ts'

type Ok = (method: string, path: string, options?: any) => Promise<any>

export async function walkBulk(app: TestApp, ok: Ok): Promise<void> {
  const token = await app.admin()
  for (const format of ['json', 'csv', 'ndjson']) await ok('GET', `/v1/admin/users/export?format=${format}`, { token })

  const users = [{ email: 'bulk1@example.com', first_name: 'Bulk' }]
  const made = await ok('POST', '/v1/admin/users/import', { token, body: { users, skip_existing: true } })
  await ok('POST', '/v1/admin/users/import/csv', {
    token,
    raw: { type: 'text/csv', body: 'email\nbulk2@example.com\n' },
  })
  for (const [system, body] of Object.entries({
    auth0: [{ email: 'bulk3@example.com' }],
    cognito: { Users: [{ Username: 'x', Attributes: [{ Name: 'email', Value: 'bulk4@example.com' }] }] },
    keycloak: { users: [{ email: 'bulk5@example.com' }] },
  }))
    await ok('POST', `/v1/admin/imports/${system}`, { token, body })
  await ok('GET', '/v1/admin/imports', { token })
  await ok('GET', `/v1/admin/imports/${made.id}`, { token })
  for (const format of ['json', 'ndjson'])
    await ok('GET', `/v1/admin/imports/${made.id}/results?format=${format}`, { token })
}
