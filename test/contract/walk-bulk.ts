/** Export and import of people, each row once: the answers are held against their schemas. */
import type { TestApp } from '../support/app.ts'

type Ok = (method: string, path: string, options?: any) => Promise<any>

export async function walkBulk(app: TestApp, ok: Ok): Promise<void> {
  const token = await app.admin()
  for (const format of ['json', 'csv', 'ndjson']) await ok('GET', `/v1/admin/users/export?format=${format}`, { token })
}
