import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

const DOCUMENT = {
  gatehouse: 1,
  settings: { password_min_length: 12, support_url: 'https://help.acme.example' },
  permissions: { 'orders:refund': { description: 'Give money back' } },
  resources: {
    'https://orders.acme.example': {
      name: 'Orders',
      scopes: [{ name: 'orders:see', description: 'See orders' }],
      token_format: 'jwt',
      token_lifetime: 600,
      signing_alg: 'ES256',
    },
  },
  roles: {
    // A part that comes later in the document.
    all: { description: 'Everything', permissions: [], parts: ['shop/packer', 'support'] },
    support: { permissions: ['orders:refund', 'users:read'], parts: [] },
  },
  organization_roles: {
    Buyer: { permissions: ['orders:refund'], parts: [] },
    Lead: { description: 'Leads', permissions: ['members:manage'], parts: ['@organization/Buyer', 'support'] },
  },
  client_roles: { 'shop/packer': { description: 'Packs', permissions: ['orders:refund'], parts: [] } },
  clients: {
    shop: {
      client_name: 'Shop',
      redirect_uris: ['https://shop.acme.example/cb'],
      scope: 'openid orders:see',
      login_policy: { mfa: 'required' },
    },
  },
  identity_providers: {
    google: { preset: 'google', client_id: 'g-1', client_secret: 'their-secret', enabled: true },
  },
  branding: { primary_color: '#0a7d4f', logo: 'data:image/gif;base64,R0lGODlhAQABAAAAACw=' },
  texts: { 'de/login.title': 'Willkommen' },
}

describe('configuration as a document', () => {
  let app: TestApp
  let acme: { id: string; boss: Person }
  before(async () => {
    app = await startApp()
    acme = await withTenant(app, 'acme')
  })
  after(() => app.close())
  const at = (tenant: string, token: string) => ({
    export: async () => {
      const answer = await app.call('GET', `/t/${tenant}/v1/admin/configuration`, { token })
      expect(answer.status, JSON.stringify(answer.body)).to.equal(200)
      return answer.body
    },
    apply: (configuration: object, options: object = {}) =>
      app.call('POST', `/t/${tenant}/v1/admin/configuration/apply`, { token, body: { configuration, ...options } }),
  })
  const boss = () => at('acme', acme.boss.accessToken)
  const names = (changes: any[]) => changes.map((c) => `${c.action} ${c.section}.${c.key}`)
  const eventsOf = async (id: string) =>
    (await app.db('events').where({ tenant_id: id }).orderBy('id').pluck('type')) as string[]

  it('a dry run says what would change, and changes nothing', async () => {
    const before = [await boss().export(), (await eventsOf(acme.id)).length]
    const plan = await boss().apply(DOCUMENT, { dry_run: true })
    expect(plan.status, JSON.stringify(plan.body)).to.equal(200)
    expect(plan.body).to.include({ applied: false })
    expect(names(plan.body.changes)).to.deep.equal([
      'create settings.password_min_length',
      'create settings.support_url',
      'create permissions.orders:refund',
      'create resources.https://orders.acme.example',
      'create clients.shop',
      'create roles.all',
      'create roles.support',
      'create organization_roles.Buyer',
      'create organization_roles.Lead',
      'create client_roles.shop/packer',
      'create identity_providers.google',
      'create branding.primary_color',
      'create branding.logo',
      'create texts.de/login.title',
    ])
    expect(JSON.stringify(plan.body)).to.not.include('their-secret')
    expect(plan.body.secrets).to.deep.equal([])
    expect([await boss().export(), (await eventsOf(acme.id)).length]).to.deep.equal(before)
    expect(await app.db('clients').where({ tenant_id: acme.id, client_id: 'shop' })).to.deep.equal([])
  })

  it('applying makes it so, with the events of each part; a second time changes nothing', async () => {
    const done = await boss().apply(DOCUMENT)
    expect(done.status, JSON.stringify(done.body)).to.equal(200)
    expect(done.body.applied).to.equal(true)
    expect(done.body.secrets[0]).to.include({ client_id: 'shop' })
    expect(await eventsOf(acme.id)).to.include.members([
      ...['setting.changed', 'permission.created', 'resource.created', 'role.created', 'role.parts_added'],
      ...['client.created', 'identity_provider.created', 'branding.changed', 'texts.changed', 'configuration.applied'],
    ])
    const again = await boss().apply(DOCUMENT)
    expect(again.body.changes, JSON.stringify(again.body)).to.deep.equal([])
    const exported = await boss().export()
    expect(JSON.stringify(exported)).to.not.match(/their-secret|[0-9a-f]{8}-[0-9a-f]{4}-7/)
    expect(exported.identity_providers.google.client_secret).to.match(/^\$\{env:GOOGLE_CLIENT_SECRET\}$/)
    expect(exported.roles.all).to.deep.equal({
      description: 'Everything',
      parts: ['shop/packer', 'support'],
      permissions: [],
    })
    expect(exported).to.deep.include({
      branding: DOCUMENT.branding,
      client_roles: DOCUMENT.client_roles,
      organization_roles: DOCUMENT.organization_roles,
    })
    expect(exported.texts).to.deep.equal({ 'de/login.title': 'Willkommen' })
    const round = await boss().apply(exported, { prune: true })
    expect(round.body.changes, JSON.stringify(round.body.changes)).to.deep.equal([])
    const secret = { ...exported.identity_providers.google, client_secret: 'their-secret' }
    expect((await boss().apply({ gatehouse: 1, identity_providers: { google: secret } })).body.changes).to.deep.equal(
      [],
    )
  })

  it('what a document leaves out, says as null or in another order is no change the second time', async () => {
    const brief = {
      gatehouse: 1,
      permissions: { 'carts:see': {} },
      resources: { 'https://carts.acme.example': { name: 'Carts', scopes: [] } },
      clients: {
        carts: {
          client_name: 'Carts',
          redirect_uris: ['https://carts.acme.example/cb'],
          client_uri: null,
          lifetimes: {},
          login_policy: { mfa: 'required', factors: null },
        },
      },
      roles: {
        brief: { description: null },
        shuffled: { permissions: ['users:read', 'carts:see'], parts: ['support', 'brief'] },
      },
      client_roles: { 'carts/see': { permissions: ['carts:see'] } },
    }
    const first = await boss().apply(brief)
    expect(first.body.changes, JSON.stringify(first.body)).to.have.length(6)
    const again = await boss().apply(brief, { dry_run: true })
    expect(again.body.changes, JSON.stringify(again.body)).to.deep.equal([])
    const gone = await boss().apply({ ...brief, roles: { shuffled: {} } })
    expect(gone.body.changes).to.deep.include({
      section: 'roles',
      key: 'shuffled',
      action: 'update',
      old: { permissions: ['carts:see', 'users:read'], parts: ['brief', 'support'] },
      new: { permissions: [], parts: [] },
    })
    for (const name of ['shuffled', 'brief'])
      expect((await app.call('DELETE', `/t/acme/roles/${name}`, { token: acme.boss.accessToken })).status).to.equal(200)
    expect((await app.call('DELETE', '/t/acme/clients/carts', { token: acme.boss.accessToken })).status).to.equal(200)
  })

  it('another tenant becomes the same by it', async () => {
    const twin = await withTenant(app, 'twin')
    const { identity_providers, ...rest } = await boss().export()
    const theirs = at('twin', twin.boss.accessToken)
    expectProblem(await theirs.apply({ ...rest, identity_providers }), 400, 'VALIDATION_ERROR')
    expect((await theirs.export()).roles).to.deep.equal({})
    const google = { ...identity_providers.google, client_secret: 'another' }
    const made = await theirs.apply({ ...rest, identity_providers: { google } }, { prune: true })
    expect(made.status, JSON.stringify(made.body)).to.equal(200)
    expect(await theirs.export()).to.deep.equal(await boss().export())
  })

  it('what is left out stays, unless pruned; changes say old and new', async () => {
    const exported = await boss().export()
    const { support, ...others } = exported.roles
    const roles = { ...others, all: { description: 'Less', permissions: [], parts: [] } }
    expect((await boss().apply({ gatehouse: 1, organization_roles: {} }, { prune: true })).body.changes).to.have.length(
      2,
    )
    const kept = await boss().apply({ gatehouse: 1, roles })
    expect(kept.body.changes).to.deep.equal([
      {
        section: 'roles',
        key: 'all',
        action: 'update',
        old: { description: 'Everything', parts: ['shop/packer', 'support'] },
        new: { description: 'Less', parts: [] },
      },
    ])
    expect((await boss().export()).roles).to.have.all.keys('all', 'support')
    const pruned = await boss().apply({ gatehouse: 1, roles, settings: {} }, { prune: true })
    expect(names(pruned.body.changes)).to.have.members([
      'delete roles.support',
      'delete settings.password_min_length',
      'delete settings.support_url',
    ])
    const after = await boss().export()
    expect(after).to.deep.include({ roles, settings: {}, clients: exported.clients, permissions: exported.permissions })
    expect(support.permissions).to.include('orders:refund')
  })

  it('is refused as a whole where one part is, and names it', async () => {
    const before = await boss().export()
    const refused = async (part: object, status: number, about: string) => {
      const answer = await boss().apply({ gatehouse: 1, settings: { mfa_policy: 'required' }, ...part })
      expect(answer.status, JSON.stringify(answer.body)).to.equal(status)
      expect(answer.body.detail).to.include(about)
    }
    await refused({ roles: { x: { permissions: ['ghost:see'] } } }, 404, 'roles.x')
    await refused({ roles: { x: { parts: ['ghost'] } } }, 404, 'roles.x')
    await refused({ roles: { admin: { permissions: [] } } }, 409, 'roles.admin')
    await refused({ roles: { a: { parts: ['b'] }, b: { parts: ['a'] } } }, 409, 'roles.b')
    await refused({ clients: { shop: { redirect_uris: ['nonsense'] } } }, 400, 'clients.shop')
    await refused({ clients: { gatehouse: { redirect_uris: ['https://x.example/cb'] } } }, 409, 'clients.gatehouse')
    await refused({ clients: { y: { nonsense: 1 } } }, 400, 'clients.y')
    await refused({ settings: { nonsense: 1 } }, 404, 'settings.nonsense')
    await refused({ branding: { logo: 'x' } }, 400, 'branding.logo')
    await refused({ branding: { logo: 'data:image/png;base64,bm9uZQ==' } }, 400, 'branding.logo')
    await refused({ client_roles: { 'ghost/x': {} } }, 404, 'client_roles.ghost/x')
    await refused({ client_roles: { x: {} } }, 400, 'client_roles.x')
    await refused({ roles: { x: { parts: ['@organization/Member'] } } }, 400, 'roles.x')
    await refused({ texts: { 'de/ghost': 'x' } }, 404, 'texts.de/ghost')
    await refused({ texts: { de: { 'login.title': 'x' } } }, 400, 'language/text')
    await refused(
      { identity_providers: { google: { ...before.identity_providers.google, issuer: 'https://x.example' } } },
      409,
      'issuer',
    )
    await refused({ roles: 7 }, 400, 'roles')
    await refused({ gatehouse: 2 }, 400, 'gatehouse')
    expect(await boss().export()).to.deep.equal(before)
  })

  it('nobody gives what they do not hold by it, and sees only what they may see', async () => {
    const anna = await someone(app, ROLE.admin, { base: '/t/acme', tenantId: acme.id, email: 'anna@acme.example' })
    const hers = at('acme', anna.accessToken)
    expectProblem(
      await hers.apply({ gatehouse: 1, roles: { king: { permissions: ['realm:manage'] } } }),
      403,
      'ACCESS_DENIED',
    )
    expectProblem(await hers.apply({ gatehouse: 1, clients: { own: { first_party: true } } }, { dry_run: true }), 403)
    const made = await app.call('POST', '/t/acme/v1/api-keys', {
      token: anna.accessToken,
      body: { name: 'ci', scopes: ['settings:read', 'settings:write'] },
    })
    const key = at('acme', made.body.key ?? made.body.secret)
    expect(await key.export()).to.have.all.keys('gatehouse', 'settings', 'identity_providers', 'branding', 'texts')
    expectProblem(await key.apply({ gatehouse: 1, roles: { some: { permissions: [] } } }), 403, 'ACCESS_DENIED')
    expect((await boss().export()).roles).to.not.have.any.keys('king', 'some')
  })

  it('by the command: export, dry run, apply with secrets from the environment', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'config-'))
    const file = join(folder, 'acme.json')
    const run = (args: string[], env: Record<string, string> = {}) =>
      promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../cli/config.ts'), ...args], {
        env: { ...process.env, GATEHOUSE_URL: `${app.url}/t/acme`, GATEHOUSE_TOKEN: acme.boss.accessToken, ...env },
      })
    try {
      await run(['export', file])
      const document = JSON.parse(readFileSync(file, 'utf8'))
      expect(document).to.deep.equal(await boss().export())
      document.settings.registration_enabled = false
      writeFileSync(file, JSON.stringify(document))
      const dry = await run(['apply', file, '--dry-run'])
      expect(dry.stdout).to.include('+ settings.registration_enabled false').and.include('1 changes, none applied')
      const done = await run(['apply', file], { GOOGLE_CLIENT_SECRET: 'rotated-secret' })
      expect(done.stdout).to.include('~ identity_providers.google').and.not.include('rotated-secret')
      expect((await boss().export()).settings.registration_enabled).to.equal(false)
      const failed = await run(['apply', file], { GATEHOUSE_TOKEN: 'nonsense' }).catch((error) => error)
      expect([failed.code, failed.stderr]).to.satisfy(
        ([code, text]: [number, string]) => code === 1 && text.includes('401'),
      )
      const mistyped = await run(['apply', file, '--dry']).catch((error) => error)
      expect(mistyped.code).to.equal(2)
      expect(mistyped.stderr).to.match(/^Unknown option '--dry'\nusage: /)
      const away = await run(['export'], { GATEHOUSE_URL: 'http://127.0.0.1:1' }).catch((error) => error)
      expect(away.stderr).to.include('http://127.0.0.1:1 does not answer')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
