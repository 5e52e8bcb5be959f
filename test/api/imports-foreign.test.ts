import { pbkdf2Sync } from 'node:crypto'
import { hash as argon2 } from '@node-rs/argon2'
import bcrypt from 'bcryptjs'
import { expect } from 'chai'
import { generateSync } from 'otplib'
import { base32 } from '../../adapters/totp.ts'
import { from } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { someone } from '../support/roles.ts'

const PASSWORD = 'Correct-Horse-9'
const SALT = Buffer.from('0123456789abcdef')

const pbkdf2 = (algorithm: string, digest: string, length: number) => ({
  type: 'password',
  secretData: JSON.stringify({
    value: pbkdf2Sync(PASSWORD, SALT, 1000, length, digest).toString('base64'),
    salt: SALT.toString('base64'),
    additionalParameters: {},
  }),
  credentialData: JSON.stringify({ hashIterations: 1000, algorithm, additionalParameters: {} }),
})

async function realm() {
  const [, , , , salt, value] = (await argon2(PASSWORD, { algorithm: 2, memoryCost: 7168, timeCost: 5 })).split('$')
  return {
    id: 'acme',
    realm: 'acme',
    accessTokenLifespan: 300,
    roles: {
      realm: [
        { name: 'default-roles-acme', composite: true, composites: { realm: ['offline_access'] } },
        { name: 'offline_access' },
        { name: 'staff', description: 'Everybody here' },
        {
          name: 'boss',
          composite: true,
          composites: { realm: ['staff'], client: { shop: ['refund'], account: ['view'] } },
        },
        { name: 'admin', description: 'The same name as a system role' },
      ],
      client: { shop: [{ name: 'refund', attributes: { limit: ['5'] } }], account: [{ name: 'view' }] },
    },
    groups: [
      { name: 'sales', realmRoles: ['staff'], subGroups: [{ name: 'north', clientRoles: { shop: ['refund'] } }] },
    ],
    users: [
      {
        id: 'a1b2c3d4-0000-4000-8000-000000000001',
        username: 'ada',
        email: 'ada@keycloak.example',
        emailVerified: true,
        enabled: true,
        firstName: 'Ada',
        lastName: 'Lovelace',
        createdTimestamp: 1_600_000_000_000,
        attributes: { locale: ['de_AT'], department: ['R&D'], tags: ['a', 'b'], phoneNumber: ['+43 1 234567'] },
        realmRoles: ['default-roles-acme', 'boss', 'admin'],
        credentials: [
          pbkdf2('pbkdf2-sha512', 'sha512', 64),
          {
            type: 'otp',
            secretData: '{"value":"tzhVzYbCdDeFgHiJkLmN"}',
            credentialData: '{"subType":"totp","digits":6,"counter":0,"period":30,"algorithm":"HmacSHA1"}',
          },
        ],
      },
      {
        username: 'bob',
        email: 'bob@keycloak.example',
        groups: ['/sales/north'],
        credentials: [pbkdf2('pbkdf2-sha256', 'sha256', 64)],
      },
      {
        username: 'cy',
        email: 'cy@keycloak.example',
        requiredActions: ['UPDATE_PASSWORD', 'CONFIGURE_TOTP', 'UPDATE_PROFILE'],
        federatedIdentities: [{ identityProvider: 'google', userId: '1', userName: 'cy' }],
        credentials: [
          {
            type: 'password',
            secretData: JSON.stringify({ value: `${value}=`, salt: `${salt}==` }),
            credentialData: JSON.stringify({
              hashIterations: 5,
              algorithm: 'argon2',
              additionalParameters: {
                type: ['id'],
                version: ['1.3'],
                hashLength: ['32'],
                memory: ['7168'],
                parallelism: ['1'],
              },
            }),
          },
        ],
      },
      { username: 'old', email: 'old@keycloak.example', enabled: false, credentials: [pbkdf2('pbkdf2', 'sha1', 20)] },
      { username: 'no-address' },
      { username: 'service-account-shop', serviceAccountClientId: 'shop' },
      { username: 'odd', email: 'odd@keycloak.example', credentials: 7 },
    ],
    clients: [
      { clientId: 'account', redirectUris: ['/realms/acme/account/*'] },
      {
        clientId: 'shop',
        name: 'The shop',
        secret: 'a-secret-that-moves-along',
        rootUrl: 'https://shop.example',
        redirectUris: ['/callback', 'https://shop.example/*'],
        serviceAccountsEnabled: true,
        attributes: { 'post.logout.redirect.uris': '+##https://shop.example/bye' },
      },
      { clientId: 'spa', publicClient: true, redirectUris: ['https://spa.example/cb'] },
      { clientId: 'masked', secret: '**********', redirectUris: ['https://m.example/cb'] },
      { clientId: 'legacy', protocol: 'saml' },
      { clientId: 'api', bearerOnly: true },
      { clientId: 'bad', publicClient: true, redirectUris: ['javascript:alert(1)'] },
    ],
    identityProviders: [{ alias: 'google' }],
  }
}

describe('importing from other systems', () => {
  let app: TestApp
  let admin: string
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    admin = await app.admin()
  })
  after(() => app.close())
  beforeEach(() => app.db('rate_limits').delete())

  const send = (system: string, body: unknown, options: { query?: string; type?: string; token?: string } = {}) =>
    app.call('POST', `/v1/admin/imports/${system}${options.query ?? ''}`, {
      raw: { type: options.type ?? 'application/json', body: typeof body === 'string' ? body : JSON.stringify(body) },
      token: options.token ?? admin,
    })
  const login = (email: string) =>
    app.call('POST', '/v1/auth/login', { body: { email, password: PASSWORD }, headers: from() })
  const userOf = (email: string) => app.db('users').where({ email }).first()
  const rolesOf = (id: string) =>
    app
      .db('roles')
      .whereIn('id', app.db('user_roles').where({ user_id: id }).select('role_id'))
      .orderBy('name')
      .pluck('name')
  const notes = (body: any) => Object.fromEntries(body.not_taken.map((n: any) => [n.what, n.count]))

  it('takes a Keycloak realm: roles with parts, clients with secrets, people with passwords, apps and ids', async () => {
    const file = await realm()
    const tried = await send('keycloak', file, { query: '?dry_run=true' })
    expect(tried.body).to.include({ dry_run: true, created: 4, failed: 2 })
    expect(await app.db('clients').where({ client_id: 'shop' })).to.deep.equal([])
    expect(await app.db('roles').where({ name: 'boss' })).to.deep.equal([])

    const { status, body } = await send('keycloak', file)
    expect(status, JSON.stringify(body)).to.equal(200)
    expect(body).to.include({ format: 'keycloak', total: 6, created: 4, failed: 2 })
    expect(notes(body)).to.deep.equal({
      'groups below others, whose members are members of the topmost': 1,
      'holders of admin, which is a system role here': 1,
      'attributes of roles': 1,
      'service accounts': 1,
      'required actions: UPDATE_PROFILE': 1,
      'links to accounts elsewhere': 1,
      identityProviders: 1,
      'client shop: the redirect address https://shop.example/*, which is a pattern': 1,
      'client masked: its secret is not in the file; make a new one': 1,
      'client legacy: speaks saml': 1,
      'client api: is a resource server only; register it as an API resource': 1,
      ...Object.fromEntries(Object.entries(notes(body)).filter(([what]) => what.startsWith('client bad: '))),
    })
    expect(Object.keys(notes(body)).filter((what) => what.startsWith('client bad: '))).to.have.lengthOf(1)
    expect(body.results.filter((r: any) => r.outcome === 'failed').map((r: any) => r.errors[0].message)).to.deep.equal([
      'or phone_number must be there',
      'is not a user as this system exports them',
    ])

    const ada = await userOf('ada@keycloak.example')
    expect(ada).to.deep.include({
      id: 'a1b2c3d4-0000-4000-8000-000000000001',
      given_name: 'Ada',
      locale: 'de-AT',
      phone_number: '+431234567',
      attributes: { username: 'ada', department: 'R&D', tags: ['a', 'b'] },
    })
    expect(ada.created_at.toISOString()).to.equal('2020-09-13T12:26:40.000Z')
    expect(await rolesOf(ada.id)).to.deep.equal(['boss', 'user'])
    const effective = await app.db.raw(
      `select array_agg(r.name order by r.name) as names from role_parts p join roles r on r.id = p.part_id
       join roles b on b.id = p.role_id and b.name = 'boss'`,
    )
    expect(effective.rows[0].names).to.deep.equal(['refund', 'staff'])
    expect(await rolesOf((await userOf('bob@keycloak.example')).id)).to.deep.equal(['refund', 'staff', 'user'])
    expect((await login('bob@keycloak.example')).body.tokens).to.be.an('object')
    expect((await userOf('cy@keycloak.example')).required_actions).to.deep.equal(['set_password', 'enrol_mfa'])
    const cy = await login('cy@keycloak.example')
    expect(cy.body, 'her password is right and not enough').to.include({ enrolment_required: true })
    expect(cy.body.tokens).to.equal(undefined)
    expect((await login('old@keycloak.example')).status).to.be.oneOf([401, 403])

    const where = from()
    const half = await app.call('POST', '/v1/auth/login', {
      body: { email: ada.email, password: PASSWORD },
      headers: where,
    })
    expect(half.body.mfa_required).to.equal(true)
    const code = generateSync({ secret: base32(Buffer.from('tzhVzYbCdDeFgHiJkLmN')) })
    const whole = await app.call('POST', '/v1/auth/login/mfa', { body: { user_id: ada.id, code }, headers: where })
    expect(whole.status, JSON.stringify(whole.body)).to.equal(200)

    const shop = await app.db('clients').where({ client_id: 'shop' }).first()
    expect(shop).to.include({ first_party: false, require_pkce: false })
    expect(shop.metadata).to.deep.include({
      client_name: 'The shop',
      redirect_uris: ['https://shop.example/callback'],
      post_logout_redirect_uris: ['https://shop.example/callback', 'https://shop.example/bye'],
    })
    const basic = Buffer.from('shop:a-secret-that-moves-along').toString('base64')
    const token = await fetch(`${app.url}/oauth/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: 'grant_type=client_credentials',
    })
    expect(token.status, await token.text()).to.equal(200)
    expect(await app.db('clients').where({ client_id: 'spa' }).first()).to.include({ require_pkce: true })
    for (const id of ['legacy', 'api', 'bad'])
      expect(await app.db('clients').where({ client_id: id })).to.deep.equal([])

    const again = await send('keycloak', file, { query: '?skip_existing=true' })
    expect(again.body).to.include({ created: 0, skipped: 4, failed: 2 })
    expect(notes(again.body)).to.include({ 'client shop: is there already': 1 })
  })

  it('takes roles and clients of a realm only from who may make them, and nothing that Keycloak would not write', async () => {
    const role = await app.call('POST', '/v1/admin/roles', {
      token: admin,
      body: { name: 'clerk', permissions: ['users:write'] },
    })
    const clerk = await someone(app, role.body.id)
    const token = clerk.accessToken
    const users = [{ email: 'x@clerk.example' }]
    const withRoles = { roles: { realm: [{ name: 'sneaky' }] }, users }
    expectProblem(await send('keycloak', withRoles, { token }), 403, 'ACCESS_DENIED')
    expectProblem(await send('keycloak', { clients: [{ clientId: 'sneaky' }], users }, { token }), 403, 'ACCESS_DENIED')
    expectProblem(await send('keycloak', { groups: [{ name: 'sneaky' }], users }, { token }), 403, 'ACCESS_DENIED')
    expect(await userOf('x@clerk.example')).to.equal(undefined)
    expect((await send('keycloak', { users }, { token })).body.created).to.equal(1)
    for (const odd of [
      { roles: 5 },
      { roles: { realm: [{}] } },
      { groups: [{ name: 'a', subGroups: 5 }] },
      { groups: [7] },
      { clients: {} },
      { clients: [{ clientId: 'a', redirectUris: 5 }] },
      { users: {} },
      { roles: { realm: [{ name: 'a\u0000' }] } },
    ])
      expectProblem(await send('keycloak', odd), 400, 'VALIDATION_ERROR')
  })

  it('takes what Auth0 exports, with bcrypt hashes and metadata', async () => {
    const people = [
      {
        user_id: 'auth0|5f7c8ec7c33c6c004bbafe82',
        email: 'ada@auth0.example',
        email_verified: true,
        name: 'Ada Lovelace',
        nickname: 'ada',
        picture: 'http://gravatar.example/x',
        created_at: '2020-10-06T15:33:27.000Z',
        user_metadata: { colour: 'blue' },
        app_metadata: { plan: 'gold' },
        passwordHash: bcrypt.hashSync(PASSWORD, 4),
        identities: [{ provider: 'auth0' }, { provider: 'google-oauth2' }],
      },
      {
        user_id: 'auth0|2',
        email: 'bob@auth0.example',
        blocked: true,
        custom_password_hash: { algorithm: 'md5', hash: { value: 'x' } },
      },
    ]
    const { body } = await send('auth0', people.map((p) => JSON.stringify(p)).join('\n'), {
      type: 'application/x-ndjson',
    })
    expect(body).to.include({ format: 'auth0', created: 2 })
    expect(notes(body)).to.deep.equal({
      'links to accounts elsewhere': 1,
      'pictures that are not at https:// addresses': 1,
      'passwords hashed by md5': 1,
    })
    const ada = await userOf('ada@auth0.example')
    expect(ada.attributes).to.deep.equal({
      auth0_user_id: 'auth0|5f7c8ec7c33c6c004bbafe82',
      user_metadata: { colour: 'blue' },
      app_metadata: { plan: 'gold' },
    })
    expect((await login('ada@auth0.example')).body.tokens).to.be.an('object')
    expect((await userOf('bob@auth0.example')).status).to.equal('disabled')
    expect((await send('auth0', people, { query: '?skip_existing=true' })).body.skipped).to.equal(2)
    expectProblem(await send('auth0', { users: people }), 400, 'VALIDATION_ERROR')
  })

  it('takes what Cognito has: CSV of its header, and ListUsers', async () => {
    const csv =
      'cognito:username,name,given_name,family_name,email,email_verified,phone_number,phone_number_verified,custom:plan,cognito:mfa_enabled,birthdate\n' +
      'ada,,Ada,Lovelace,ada@cognito.example,TRUE,+4915112345678,true,gold,TRUE,1815-12-10\n'
    const first = await send('cognito', csv, { type: 'text/csv' })
    expect(first.body).to.include({ created: 1 })
    expect(notes(first.body)).to.deep.equal({ 'passwords, which Cognito never gives out': 1, 'second factors': 1 })
    const ada = await userOf('ada@cognito.example')
    expect(ada.attributes).to.deep.equal({ username: 'ada', plan: 'gold', birthdate: '1815-12-10' })
    expect(ada.phone_verified_at).to.be.an.instanceOf(Date)
    const id = 'b1b2c3d4-0000-4000-8000-000000000001'
    const Users = [
      {
        Username: id,
        Attributes: [
          { Name: 'sub', Value: id },
          { Name: 'email', Value: 'bob@cognito.example' },
          { Name: 'email_verified', Value: 'true' },
        ],
        UserCreateDate: 1_600_000_000.5,
        Enabled: false,
        UserStatus: 'CONFIRMED',
      },
      { Username: 'nobody' },
    ]
    const second = await send('cognito', { Users })
    expect(second.body).to.include({ created: 1, failed: 1 })
    expect(await userOf('bob@cognito.example')).to.deep.include({ id, status: 'disabled', attributes: {} })
  })
})
