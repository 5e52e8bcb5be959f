import { pbkdf2Sync, randomUUID, scryptSync } from 'node:crypto'
import { hash as argon2 } from '@node-rs/argon2'
import bcrypt from 'bcryptjs'
import { expect } from 'chai'
import { createGuardrails, generateSync } from 'otplib'
import { ROLE } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

const JSON_PATH = '/v1/admin/users/import'
const CSV_PATH = '/v1/admin/users/import/csv'
const PASSWORD = 'Correct-Horse-9'
const loose = createGuardrails({ MIN_SECRET_BYTES: 10 })

describe('importing users', () => {
  let app: TestApp
  let admin: string
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    admin = await app.admin()
  })
  after(() => app.close())
  beforeEach(() => app.db('rate_limits').delete())

  const send = (body: object, token = admin) => app.call('POST', JSON_PATH, { body, token })
  const csv = (text: string, query = '', token = admin) =>
    app.call('POST', `${CSV_PATH}${query}`, { raw: { type: 'text/csv', body: text }, token })
  const userOf = (email: string) => app.db('users').where({ email_key: email }).whereNull('deleted_at').first()
  const outcomes = (answer: { body: any }) => answer.body.results.map((r: any) => r.outcome)
  const errorsOf = (answer: { body: any }) =>
    answer.body.results.map((r: any) => r.errors?.map((e: any) => `${e.field} ${e.message}`.trim()).join('; ') ?? '')

  it('takes what the document shows, mails the welcome, and skips who exists', async () => {
    const body = {
      users: [
        { email: 'user1@example.com', first_name: 'User', last_name: 'One' },
        { email: 'user2@example.com', first_name: 'User', last_name: 'Two' },
      ],
      send_welcome: true,
      skip_existing: true,
    }
    const first = await send(body)
    expect(first.status, JSON.stringify(first.body)).to.equal(200)
    expect(first.body).to.include({ status: 'done', total: 2, created: 2, failed: 0, existing: 'skip', dry_run: false })
    expect(outcomes(first)).to.deep.equal(['created', 'created'])
    const user = await userOf('user1@example.com')
    expect(user).to.include({ given_name: 'User', family_name: 'One', status: 'active' })
    expect(await app.db('user_roles').where({ user_id: user.id }).pluck('role_id')).to.deep.equal([ROLE.user])
    const mail = await app.smtp.waitFor('user2@example.com', /invitation\?token=/)
    expect(mail.link('invitation')).to.include('token=')
    const events = await app.db('events').where({ type: 'user.created', user_id: user.id })
    expect(events[0].data).to.deep.equal({ email: 'user1@example.com', import: first.body.id })
    const again = await send({ ...body, users: [...body.users, { email: 'USER1@Example.com' }] })
    expect(outcomes(again)).to.deep.equal(['skipped', 'skipped', 'skipped'])
    expect(again.body.results[2].user_id).to.equal(user.id)
    const strict = await send({ users: body.users })
    expect(outcomes(strict)).to.deep.equal(['failed', 'failed'])
    expect(errorsOf(strict)[0]).to.equal('email is of somebody who exists already')
  })

  it('signs people in with the hashes they bring, and asks for the code of the app they bring', async () => {
    const salt = Buffer.from('0123456789abcdef')
    const b64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
    const hashes: Record<string, string> = {
      bcrypt: bcrypt.hashSync(PASSWORD, 6),
      argon2id: await argon2(PASSWORD, { algorithm: 2, memoryCost: 8192, timeCost: 1 }),
      argon2i: await argon2(PASSWORD, { algorithm: 1, memoryCost: 8192, timeCost: 1 }),
      pbkdf2: `$pbkdf2-sha256$i=1000,l=32$${b64(salt)}$${b64(pbkdf2Sync(PASSWORD, salt, 1000, 32, 'sha256'))}`,
      django: `pbkdf2_sha256$1000$pepper$${pbkdf2Sync(PASSWORD, 'pepper', 1000, 32, 'sha256').toString('base64')}`,
      scrypt: `$scrypt$ln=10,r=8,p=1$${b64(salt)}$${b64(scryptSync(PASSWORD, salt, 32, { N: 1024, r: 8, p: 1 }))}`,
    }
    const secret = 'JBSWY3DPEHPK3PXP'
    const answer = await send({
      users: [
        ...Object.entries(hashes).map(([name, password_hash]) => ({ email: `${name}@hash.example`, password_hash })),
        { email: 'clear@hash.example', password: PASSWORD },
        { email: 'totp@hash.example', password_hash: hashes.bcrypt, totp_secret: 'jbsw y3dp ehpk 3pxp' },
        { email: 'md5@hash.example', password_hash: '$1$abc$0123456789abcdef' },
        { email: 'costly@hash.example', password_hash: `$2b$31$${'a'.repeat(53)}` },
        { email: 'both@hash.example', password: PASSWORD, password_hash: hashes.bcrypt },
        { email: 'short@hash.example', totp_secret: 'ABC' },
        { email: 'weak@hash.example', password: 'password' },
      ],
    })
    expect(answer.body).to.include({ created: 8, failed: 5 })
    for (const name of [...Object.keys(hashes), 'clear']) {
      const body = { email: `${name}@hash.example`, password: PASSWORD }
      const login = await app.call('POST', '/v1/auth/login', { body, headers: from() })
      expect(login.status, name).to.equal(200)
      expect(login.body.tokens, name).to.be.an('object')
      const wrong = await app.call('POST', '/v1/auth/login', { body: { ...body, password: 'x' }, headers: from() })
      expect(wrong.status, name).to.equal(401)
    }
    const totp = await userOf('totp@hash.example')
    const stored = await app.db('credentials').where({ user_id: totp.id, type: 'totp' }).first()
    expect(Buffer.from(stored.secret, 'base64').toString('latin1')).to.not.include(secret)
    const where = from()
    const body = { email: 'totp@hash.example', password: PASSWORD }
    const half = await app.call('POST', '/v1/auth/login', { body, headers: where })
    expect(half.body).to.include({ mfa_required: true })
    const whole = await app.call('POST', '/v1/auth/login/mfa', {
      body: { user_id: half.body.user_id, code: generateSync({ secret, guardrails: loose }) },
      headers: where,
    })
    expect(whole.status, JSON.stringify(whole.body)).to.equal(200)
    for (const name of ['md5', 'costly', 'both', 'short', 'weak'])
      expect(await userOf(`${name}@hash.example`)).to.equal(undefined)
  })

  it('reads CSV by any separator, with a BOM, quotes, line ends and other names of columns', async () => {
    const answer = await csv(
      '\ufeffE-Mail;First Name;lastName;Phone;Verified e;attributes.department;attributes;roles;status\r\n' +
        'ada@csv.example;"Ada; the ""first""";Lovelace;\'+4915112345678;x;Engineering;"{""level"": 3}";user;Active\r\n' +
        '\r\n' +
        'bob@csv.example;"Bob\r\nB.";;;;;;;disabled\r\n' +
        'only-two;cells\r\n' +
        'no-address;;;;;;;;\r\n' +
        'cy@csv.example;;;;;;;;perhaps',
      '?ignore_unknown=true',
    )
    expect(answer.body).to.include({ format: 'csv', total: 5, created: 2, failed: 3 })
    expect(answer.body.results.map((r: any) => [r.line, r.outcome])).to.deep.equal([
      [2, 'created'],
      [4, 'created'],
      [6, 'failed'],
      [7, 'failed'],
      [8, 'failed'],
    ])
    expect(errorsOf(answer).slice(2)).to.deep.equal([
      'has 2 cells, but there are 9 columns',
      'email must match format "email"',
      'status must be one of active, disabled',
    ])
    expect(await userOf('ada@csv.example')).to.deep.include({
      given_name: 'Ada; the "first"',
      family_name: 'Lovelace',
      phone_number: '+4915112345678',
      attributes: { department: 'Engineering', level: 3 },
    })
    expect(await userOf('bob@csv.example')).to.include({ given_name: 'Bob\r\nB.', status: 'disabled' })
  })

  it('refuses files that are none, and leaves nothing', async () => {
    const before = await app.db('users').count('*')
    const refused: [string, string][] = [
      ['', 'line 1'],
      ['first_name\nAda\n', 'email is a column'],
      ['email,is_admin\na@bad.example,true\n', 'is_admin is not a known column'],
      ['email,mail\na@bad.example,b@bad.example\n', 'twice'],
      ['email\na@bad.example\n"b@bad.example\n', 'a quote is opened'],
      ['email,nickname\na@bad.example,x"y\n', 'a quote stands in the middle'],
    ]
    for (const [text, reason] of refused) {
      const answer = await csv(text)
      expectProblem(answer, 400, 'VALIDATION_ERROR')
      if (text) expect(answer.body.detail).to.include(reason)
    }
    for (const body of [
      '',
      '{',
      '[]',
      '"x"',
      'null',
      '{}',
      '{"users":5}',
      '{"users":[]}',
      '{"users":[{}],"is_admin":true}',
      '{"users":[{}],"dry_run":"yes"}',
      '{"users":[{}],"skip_existing":true,"update_existing":true}',
      '{"users":[{}]} x',
    ]) {
      const answer = await app.call('POST', JSON_PATH, { raw: { type: 'application/json', body }, token: admin })
      expectProblem(answer, 400, 'VALIDATION_ERROR')
    }
    const typeless = await app.call('POST', JSON_PATH, { raw: { type: 'text/plain', body: 'email' }, token: admin })
    expectProblem(typeless, 415, 'UNSUPPORTED_MEDIA_TYPE')
    expect(await app.db('users').count('*')).to.deep.equal(before)
  })

  it('writes no field that is not for files, whatever it is called', async () => {
    const rows: Record<string, unknown>[] = [
      { tenant_id: '00000000-0000-0000-0000-000000000009' },
      { is_admin: true },
      { permissions: ['users:write'] },
      { locked_until: null },
      { required_actions: ['be_admin'] },
      { status: 'deleted' },
      { email_key: 'x' },
      { __proto: 1, constructor: 1 },
      { attributes: 'text' },
      { attributes: { big: 'x'.repeat(17_000) } },
      { given_name: 'a\u0000b' },
      { created_at: '2999-01-01T00:00:00Z' },
      { created_at: '0000-01-01T00:00:00Z' },
      { attributes: { half: '\ud800' } },
      { attributes: { '\udc00': 1 } },
      { picture: 'javascript:alert(1)' },
      { email: 'A@mass.example', mail: 'b@mass.example' },
    ]
    const answer = await send({ users: rows.map((row, i) => ({ email: `m${i}@mass.example`, ...row })) })
    expect(answer.body).to.include({ created: 0, failed: rows.length })
    expect(errorsOf(answer)[1]).to.equal('is_admin is not a known field')
    const odd = await app.call('POST', `${JSON_PATH}`, {
      raw: { type: 'application/x-ndjson', body: '{"email":"ok@mass.example"}\n5\n[]\nnull\n{"email":\n"x"\n' },
      token: admin,
    })
    expect(outcomes(odd)).to.deep.equal(['created', 'failed', 'failed', 'failed', 'failed', 'failed'])
    for (const name of ['constructor', '__proto__', 'toString'])
      expectProblem(await csv(`email,${name}\nx@mass.example,1\n`), 400, 'VALIDATION_ERROR')
    const deep = `{"users":[{"email":"d@mass.example","attributes":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}]}`
    const nested = await app.call('POST', JSON_PATH, { raw: { type: 'application/json', body: deep }, token: admin })
    expect(errorsOf(nested)[0]).to.include('nested deeper')
  })

  it('finds the one row that the database refuses among others', async () => {
    await app.db.raw(`alter table users add constraint no_poison check (nickname <> 'poison')`)
    const users = ['a', 'poison', 'b'].map((nickname) => ({ email: `${nickname}@refused.example`, nickname }))
    const answer = await send({
      users: [...users, { email: 'c@refused.example', id: 'urn:uuid:6F1C0F7E-53F4-4F4E-9D3A-0B5A5B5C5D00' }],
    })
    await app.db.raw('alter table users drop constraint no_poison')
    expect(outcomes(answer)).to.deep.equal(['created', 'failed', 'created', 'created'])
    expect(errorsOf(answer)[1]).to.equal('holds a value that cannot be stored')
    const events = await app.db('events').whereRaw(`type = 'user.created' and data->>'import' = ?`, [answer.body.id])
    expect(events).to.have.lengthOf(3)
    expect((await userOf('c@refused.example')).id).to.equal('6f1c0f7e-53f4-4f4e-9d3a-0b5a5b5c5d00')
  })

  it('gives only roles the caller may give, and merges into nobody who may do more', async () => {
    const made = await app.call('POST', '/v1/admin/roles', {
      token: admin,
      body: { name: 'importer', permissions: ['users:read', 'users:write', 'roles:write'] },
    })
    const clerk = await someone(app, made.body.id)
    await app.call('POST', '/v1/admin/roles', { token: admin, body: { name: 'reader', permissions: ['users:read'] } })
    const users = [
      { email: 'r1@roles.example', roles: ['reader'] },
      { email: 'r2@roles.example', roles: ['super_admin'] },
      { email: 'r3@roles.example', roles: ['nobody-knows'] },
      { email: 'root@example.com', given_name: 'Mallory' },
    ]
    const answer = await app.call('POST', JSON_PATH, {
      token: clerk.accessToken,
      body: { users, update_existing: true },
    })
    expect(outcomes(answer)).to.deep.equal(['created', 'failed', 'failed', 'failed'])
    expect(errorsOf(answer)[1]).to.include('which you do not hold yourself')
    expect(errorsOf(answer)[2]).to.equal('roles no such role: nobody-knows')
    expect((await userOf('root@example.com')).given_name).to.equal(null)
    await app
      .db('role_permissions')
      .where({ role_id: made.body.id })
      .whereIn('permission_id', app.db('permissions').where({ name: 'roles:write' }).select('id'))
      .delete()
    const weaker = await someone(app, made.body.id)
    const denied = await app.call('POST', JSON_PATH, {
      token: weaker.accessToken,
      body: { users: [{ email: 'r4@roles.example', roles: ['reader'] }] },
    })
    expect(errorsOf(denied)).to.deep.equal(['roles giving roles needs the permission roles:write'])
    expect(await userOf('r4@roles.example')).to.equal(undefined)
  })

  it('merges into people who exist what the file says of them, never what they sign in with', async () => {
    const eve = await someone(app)
    const first = await send({
      users: [
        {
          email: eve.email.toUpperCase(),
          given_name: 'Eve',
          phone_number: '+4915112345678',
          attributes: { a: 1, b: 2 },
          roles: ['reader'],
          password_hash: bcrypt.hashSync('Other-Password-1', 4),
          totp_secret: 'JBSWY3DPEHPK3PXP',
        },
      ],
      update_existing: true,
    })
    expect(outcomes(first)).to.deep.equal(['updated'])
    expect(await userOf(eve.email)).to.deep.include({ given_name: 'Eve', email: eve.email, attributes: { a: 1, b: 2 } })
    const login = (password: string) =>
      app.call('POST', '/v1/auth/login', { body: { email: eve.email, password }, headers: from() })
    expect((await login('Other-Password-1')).status).to.equal(401)
    expect((await login(eve.password)).body.tokens).to.be.an('object')
    const same = await send({
      users: [{ email: eve.email, given_name: 'Eve', roles: ['reader'] }],
      update_existing: true,
    })
    expect(outcomes(same)).to.deep.equal(['skipped'])
    const more = {
      email: eve.email,
      given_name: null,
      attributes: { a: null, c: 3 },
      status: 'disabled',
      email_verified: true,
    }
    expect(outcomes(await send({ users: [more], update_existing: true }))).to.deep.equal(['updated'])
    const after = await userOf(eve.email)
    expect(after).to.deep.include({ given_name: null, attributes: { b: 2, c: 3 }, status: 'disabled' })
    expect(after.email_verified_at).to.be.an.instanceOf(Date)
    expect((await app.call('GET', '/v1/auth/me', { token: eve.accessToken })).status).to.equal(401)
    const last = await send({
      users: [{ email: 'root@example.com', nickname: 'x', status: 'disabled' }],
      update_existing: true,
    })
    expect(errorsOf(last)[0]).to.include('would leave nobody as super administrator')
    expect(await userOf('root@example.com')).to.include({ status: 'active', nickname: null })
    const large = { email: eve.email, status: 'active', attributes: { big: 'x'.repeat(16_380) } }
    expect(outcomes(await send({ users: [large], update_existing: true }))).to.deep.equal(['failed'])
    expect(await userOf(eve.email)).to.include({ status: 'disabled' })
  })

  it('makes people members of organizations that are there, for who may fill them', async () => {
    const tenant_id = '00000000-0000-7000-8000-000000000001'
    const organization = (slug: string) =>
      app.db('organizations').insert({ tenant_id, id: randomUUID(), slug, name: slug }).returning('id')
    const [[acme], [beta]] = await Promise.all([organization('acme'), organization('beta')])
    const first = await csv('email,organizations\nm1@org.example,acme;beta\nm2@org.example,nowhere\n')
    expect(outcomes(first)).to.deep.equal(['created', 'failed'])
    expect(errorsOf(first)[1]).to.equal('organizations no such organization: nowhere')
    const m1 = await userOf('m1@org.example')
    const memberships = () => app.db('memberships').where({ user_id: m1.id }).pluck('organization_id')
    expect(await memberships()).to.have.members([acme.id, beta.id])
    const { body } = await app.call('GET', '/v1/admin/users/export?q=m1@org', { token: admin })
    expect(body.users[0].organizations).to.deep.equal(['acme', 'beta'])
    const again = { users: [{ email: 'm1@org.example', organizations: ['acme'] }], update_existing: true }
    expect(outcomes(await send(again))).to.deep.equal(['skipped'])
    await app.db('memberships').where({ user_id: m1.id, organization_id: acme.id }).delete()
    expect(outcomes(await send(again))).to.deep.equal(['updated'])
    const { id } = (
      await app.call('POST', '/v1/admin/roles', {
        token: admin,
        body: { name: 'filler', permissions: ['users:write'] },
      })
    ).body
    const filler = await someone(app, id)
    const denied = await send({ users: [{ email: 'm3@org.example', organizations: ['acme'] }] }, filler.accessToken)
    expect(errorsOf(denied)).to.deep.equal(['organizations adding members needs the permission organizations:write'])
    await app.call('PATCH', '/v1/admin/settings/organization_mode', { token: admin, body: { value: 'single' } })
    const single = await send({
      users: [
        { email: 'm4@org.example', organizations: ['acme', 'beta'] },
        { email: 'm5@org.example', organizations: ['acme'] },
      ],
    })
    expect(outcomes(single)).to.deep.equal(['failed', 'created'])
    const other = await send({ users: [{ email: 'm5@org.example', organizations: ['beta'] }], update_existing: true })
    expect(errorsOf(other)).to.deep.equal(['organizations belongs to another organization already'])
    await app.call('PATCH', '/v1/admin/settings/organization_mode', { token: admin, body: { value: 'multi' } })
  })

  it('tries a whole file and takes it back', async () => {
    const answer = await csv(
      'email,roles\ndry1@dry.example,admin\ndry1@dry.example,\ndry2@dry.example,none\n',
      '?dry_run=true&send_welcome=true',
    )
    expect(answer.body).to.include({ dry_run: true, created: 1, failed: 2 })
    expect(await app.db('users').where('email', 'like', '%@dry.example')).to.deep.equal([])
    expect(await app.db('events').whereRaw(`data->>'import' = ?`, [answer.body.id]).pluck('type')).to.deep.equal([
      'users.imported',
    ])
  })

  it('takes back what was exported, in every format, as it was', async () => {
    await withTenant(app, 'copy')
    const people = [
      {
        email: 'odd1@trip.example',
        first_name: '=1+1',
        last_name: "'=x",
        nickname: "'plain",
        phone_number: '+4915112345678',
        is_email_verified: true,
      },
      {
        email: 'odd2@trip.example',
        first_name: '@a;"b"\r\nc',
        attributes: { deep: { x: ['1', null] }, n: 5 },
        roles: ['reader', 'user'],
        status: 'disabled',
      },
      {
        email: 'odd3@trip.example',
        created_at: '2020-02-03T04:05:06.000Z',
        id: '6f1c0f7e-53f4-4f4e-9d3a-0b5a5b5c5d5e',
      },
    ]
    expect((await send({ users: people })).body.created).to.equal(3)
    const exported = async (base: string, format: string, token: string) =>
      (await app.call('GET', `${base}/v1/admin/users/export?format=${format}&q=odd`, { token })).body
    const types = { csv: 'text/csv', json: 'application/json', ndjson: 'application/x-ndjson' }
    const plain = ({ updated_at: _, ...person }: any) => person
    const original = (await exported('', 'json', admin)).users
    for (const [format, type] of Object.entries(types)) {
      await app.db('users').where('email', 'like', 'odd%').update({ deleted_at: null })
      const text = await exported('', format, admin)
      await app.db('users').where('email', 'like', 'odd%').delete()
      const body = typeof text === 'string' ? text : JSON.stringify(text)
      const answer = await app.call('POST', format === 'csv' ? CSV_PATH : JSON_PATH, {
        raw: { type, body },
        token: admin,
      })
      expect(answer.body.created, `${format} ${JSON.stringify(answer.body.results)}`).to.equal(3)
      expect((await exported('', 'json', admin)).users.map(plain)).to.deep.equal(original.map(plain))
    }
    expect(original.map((u: any) => u.id)).to.include('6f1c0f7e-53f4-4f4e-9d3a-0b5a5b5c5d5e')
    const stolen = await send({ users: [{ email: 'thief@trip.example', id: original[0].id }] })
    expect(errorsOf(stolen)).to.deep.equal(['id is of somebody else'])
  })

  it('makes nobody twice when two import the same people at the same moment', async () => {
    const users = Array.from({ length: 200 }, (_, i) => ({ email: `p${i}@twice.example` }))
    const answers = await Promise.all([
      send({ users, skip_existing: true }),
      send({ users: [...users].reverse(), skip_existing: true }),
      send({ users, skip_existing: true }),
    ])
    expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 200])
    expect(answers.reduce((sum, { body }) => sum + body.created, 0)).to.equal(200)
    expect(await app.db('users').where('email', 'like', '%@twice.example')).to.have.lengthOf(200)
  })

  it('stays in the tenant, and is for who may write users', async () => {
    const { id, boss } = await withTenant(app, 'acme')
    const answer = await app.call('POST', `/t/acme${JSON_PATH}`, {
      token: boss.accessToken,
      body: { users: [{ email: 'user1@example.com' }] },
    })
    expect(answer.body.created).to.equal(1)
    expect((await app.db('users').where({ email: 'user1@example.com', tenant_id: id })).length).to.equal(1)
    for (const path of [`/v1/admin/imports/${answer.body.id}`, `/v1/admin/imports/${answer.body.id}/results`])
      expectProblem(await app.call('GET', path, { token: admin }), 404, 'NOT_FOUND')
    expectProblem(
      await app.call('POST', `/v1/admin/imports/${answer.body.id}/cancel`, { token: admin, body: {} }),
      404,
      'NOT_FOUND',
    )
    const nobody = await someone(app)
    expectProblem(await send({ users: [{ email: 'n@example.com' }] }, nobody.accessToken), 403, 'ACCESS_DENIED')
    expect(await userOf('n@example.com')).to.equal(undefined)
  })
})
