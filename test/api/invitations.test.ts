import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { type Answer, type Person, startApp, type TestApp } from '../support/app.ts'
import { loginPolicy, setting, verified, withApp } from '../support/mfa.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'
import { Browser } from '../support/rp.ts'

const PASSWORD = 'A-Fine-Password-77'
let last = 0
const stranger = () => `stranger${++last}@example.com`

describe('invitations', () => {
  let app: TestApp
  let anna: Person
  let ben: Person
  let acme: { id: string; boss: Person }
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
    ben = await someone(app, undefined, { email: 'ben@example.com' })
    await verified(app, ben)
    acme = await withTenant(app, 'acme')
  })
  after(() => app.close())

  const at = '/v1/invitations'
  const send = (who: Person, body: object) => app.call('POST', at, { token: who.accessToken, body })
  /** Sent, and the mail is there. */
  async function invite(who: Person, body: { email: string; roles?: string[] }) {
    const sent = await send(who, body)
    expect(sent.status, JSON.stringify(sent.body)).to.equal(201)
    return { id: sent.body.id as string, ...(await mailed(body.email)) }
  }
  /** What the newest invitation to this address carries, once it works. */
  async function mailed(email: string): Promise<{ token: string; code: string }> {
    let found = { token: '', code: '' }
    await eventually(async () => {
      const mail = await app.smtp.waitFor(email, /\/invitation\?token=/)
      const token = new URL(mail.link('invitation')).searchParams.get('token')!
      expect((await validate(token)).status).to.equal(200)
      found = { token, code: /\b\w{4}-\w{4}-\w{4}\b/.exec(mail.raw)?.[0] ?? '' }
    })
    return found
  }
  const validate = (token: string) => app.call('POST', `${at}/public/validate`, { body: { token }, headers: from() })
  const accept = (token: string, body: object = {}, person?: Person) =>
    app.call('POST', `${at}/public/accept`, {
      body: { token, ...body },
      headers: from(),
      ...(person && { token: person.accessToken }),
    })
  const login = (email: string, password: string) =>
    app.call('POST', '/v1/auth/login', { body: { email, password }, headers: from() })
  const accounts = (email: string) => app.db('users').where({ email_key: email, deleted_at: null })
  const rolesOf = (userId: string) => app.db('user_roles').where({ user_id: userId }).pluck('role_id')
  const stored = (id: string) => app.db('invitations').where({ id }).first()
  const statusOf = async (id: string) =>
    (await app.call('GET', `${at}/${id}`, { token: anna.accessToken })).body.status as string

  it('bring somebody in, with a role, a password of their own and a proven address', async () => {
    const email = stranger()
    const sent = await send(anna, { email: ` ${email.toUpperCase()}`.trim(), roles: ['admin'] })
    expect(sent.status, JSON.stringify(sent.body)).to.equal(201)
    expect(sent.body).to.include({ status: 'pending', invited_by: anna.id, accepted_by: null, user_id: null })
    expect(sent.body.roles).to.deep.equal([{ id: ROLE.admin, name: 'admin' }])
    expect(JSON.stringify(sent.body)).to.not.match(/hash|token/)
    const { token } = await mailed(email)
    const offer = await validate(token)
    expect(offer.body).to.include({ valid: true, invited_by: 'a•••@example.com', sign_in_required: false })
    expect(offer.body.roles).to.deep.equal(['admin'])
    expect(await accounts(email)).to.deep.equal([])

    expectProblem(await accept(token), 400, 'VALIDATION_ERROR')
    expectProblem(await accept(token, { password: 'password' }), 400, 'WEAK_PASSWORD')
    const done = await accept(token, { password: PASSWORD, given_name: 'Nora', family_name: 'Neu' })
    expect(done.status, JSON.stringify(done.body)).to.equal(200)
    expect(done.body.user).to.include({ is_email_verified: true, name: 'Nora Neu' })
    const me = await app.call('GET', '/v1/users', { token: done.body.tokens.access_token })
    expect(me.status).to.equal(200)
    expect(await rolesOf(done.body.user.id)).to.have.members([ROLE.user, ROLE.admin])
    expect((await login(email, PASSWORD)).status).to.equal(200)

    for (const again of [await validate(token), await accept(token, { password: PASSWORD })])
      expectProblem(again, 400, 'INVALID_TOKEN')
    const after = await app.call('GET', `${at}/${sent.body.id}`, { token: anna.accessToken })
    expect(after.body).to.include({ status: 'accepted', accepted_by: done.body.user.id })
    const types = await app.db('events').where({ user_id: done.body.user.id }).orderBy('id').pluck('type')
    expect(types).to.include.members(['user.created', 'user.registered', 'role.assigned', 'invitation.accepted'])
    expectProblem(await app.call('DELETE', `${at}/${sent.body.id}`, { token: anna.accessToken }), 409, 'CONFLICT')
    expectProblem(await app.call('POST', `${at}/${sent.body.id}/resend`, { token: anna.accessToken }), 409, 'CONFLICT')
  })

  it('may be sent by everybody with the default role, as far as the tenant lets them', async () => {
    const newcomer = await someone(app)
    expectProblem(await send(newcomer, { email: stranger() }), 403, 'EMAIL_VERIFICATION_REQUIRED')
    const email = stranger()
    const { token } = await invite(ben, { email })
    for (const roles of [['admin'], [ROLE.superAdmin]])
      expectProblem(await send(ben, { email: stranger(), roles }), 403, 'ACCESS_DENIED')
    expectProblem(await send(anna, { email: stranger(), roles: ['super_admin'] }), 403, 'ACCESS_DENIED')
    expectProblem(await send(anna, { email: stranger(), roles: ['nobody'] }), 404, 'NOT_FOUND')

    await setting(app, 'registration_enabled', false)
    await eventually(async () => expectProblem(await send(ben, { email: stranger() }), 403, 'ACCESS_DENIED'))
    // Closed for the invited as well, by whose word it was open.
    expectProblem(await accept(token, { password: PASSWORD }), 400, 'INVITATION_EXPIRED')
    const invited = stranger()
    const byAnna = await invite(anna, { email: invited })
    expect((await accept(byAnna.token, { password: PASSWORD })).status).to.equal(200)
    await setting(app, 'user_invitations', 'always')
    await eventually(async () => expect((await send(ben, { email: stranger() })).status).to.equal(201))
    expect((await accept(token, { password: PASSWORD })).body.user.email).to.equal(email)
    await setting(app, 'user_invitations', 'never')
    await setting(app, 'registration_enabled', true)
    await eventually(async () => expectProblem(await send(ben, { email: stranger() }), 403, 'ACCESS_DENIED'))
    await setting(app, 'user_invitations', 'registration')
    await eventually(async () => expect((await send(ben, { email: stranger() })).status).to.equal(201))
  })

  it('are sent again by a new link, revoked, and over after their time', async () => {
    const email = stranger()
    const first = await invite(anna, { email })
    const again = await app.call('POST', `${at}/${first.id}/resend`, { token: anna.accessToken })
    expect(again.body).to.include({ id: first.id, status: 'pending' })
    expectProblem(await validate(first.token), 400, 'INVALID_TOKEN')
    let second = first
    await eventually(async () => {
      second = { id: first.id, ...(await mailed(email)) }
      expect(second.token).to.not.equal(first.token)
    })
    const { expires_at: until } = await stored(first.id)
    expect(until.getTime() - Date.now()).to.be.within(7 * 86_400_000 - 60_000, 7 * 86_400_000)
    await app
      .db('invitations')
      .where({ id: first.id })
      .update({ expires_at: new Date(Date.now() - 1000) })
    for (const over of [await validate(second.token), await accept(second.token, { password: PASSWORD })])
      expectProblem(over, 400, 'INVITATION_EXPIRED')
    expect(await statusOf(first.id)).to.equal('expired')
    await app.call('POST', `${at}/${first.id}/resend`, { token: anna.accessToken })
    await eventually(async () => expect((await mailed(email)).token).to.not.equal(second.token))
    const third = await mailed(email)
    const gone = await app.call('DELETE', `${at}/${first.id}`, { token: anna.accessToken })
    expect(gone.status).to.equal(200)
    expectProblem(await accept(third.token, { password: PASSWORD }), 400, 'INVALID_TOKEN')
    expect(await statusOf(first.id)).to.equal('revoked')
    expect((await app.call('DELETE', `${at}/${first.id}`, { token: anna.accessToken })).status).to.equal(200)
    expect(
      await app.db('events').where({ type: 'invitation.revoked' }).whereJsonPath('data', '$.id', '=', first.id),
    ).to.have.length(1)
    expect(await accounts(email)).to.deep.equal([])
  })

  it('hold only while who invited may give as much, and the role is there', async () => {
    const lost = await someone(app, ROLE.admin)
    const [forRole, gone] = [stranger(), stranger()]
    const { token } = await invite(lost, { email: forRole, roles: ['admin'] })
    await app.db('user_roles').where({ user_id: lost.id, role_id: ROLE.admin }).delete()
    for (const dead of [await validate(token), await accept(token, { password: PASSWORD })])
      expectProblem(dead, 400, 'INVITATION_EXPIRED')
    expect(await accounts(forRole)).to.deep.equal([])
    // Somebody who may vouches for it now.
    const [{ id }] = await app.db('invitations').where({ email: forRole })
    expect((await app.call('POST', `${at}/${id}/resend`, { token: anna.accessToken })).status).to.equal(200)
    expect((await accept((await mailed(forRole)).token, { password: PASSWORD })).status).to.equal(200)

    const role = await app.call('POST', '/roles', { token: anna.accessToken, body: { name: 'passing' } })
    const passing = await invite(anna, { email: gone, roles: ['passing'] })
    await app.call('DELETE', `/roles/${role.body.id}`, { token: anna.accessToken })
    expectProblem(await accept(passing.token, { password: PASSWORD }), 400, 'INVITATION_EXPIRED')

    const leaver = await someone(app, ROLE.admin)
    const left = await invite(leaver, { email: stranger() })
    await app.call('POST', `/v1/users/${leaver.id}/disable`, { token: anna.accessToken, body: {} })
    expectProblem(await accept(left.token, { password: PASSWORD }), 400, 'INVITATION_EXPIRED')
    await app.call('DELETE', `/v1/users/${leaver.id}`, { token: anna.accessToken })
    expect(await statusOf(left.id)).to.equal('revoked')
  })

  it('ask the owner of an account to sign in, and nobody else', async () => {
    const carla = await someone(app)
    const mallory = await someone(app)
    await verified(app, mallory)
    const { token, id } = await invite(anna, { email: carla.email, roles: ['admin'] })
    await verified(app, carla)
    expect((await validate(token)).body.sign_in_required).to.equal(true)
    expectProblem(await accept(token, { password: PASSWORD }), 401, 'UNAUTHORIZED')
    expectProblem(await accept(token, {}, mallory), 403, 'EMAIL_MISMATCH')
    expectProblem(await app.call('POST', `${at}/${id}/accept`, { token: mallory.accessToken }), 404, 'NOT_FOUND')
    expect(await rolesOf(carla.id)).to.deep.equal([ROLE.user])
    expect((await login(carla.email, carla.password)).status).to.equal(200)
    await app.db('users').where({ id: carla.id }).update({ email_verified_at: null })
    await eventually(async () => expectProblem(await accept(token, {}, carla), 403, 'EMAIL_VERIFICATION_REQUIRED'))
    await verified(app, carla)
    await eventually(async () => expect((await accept(token, {}, carla)).status).to.equal(200))
    await eventually(async () =>
      expect((await app.call('GET', '/v1/users', { token: carla.accessToken })).status).to.equal(200),
    )
    expect(await statusOf(id)).to.equal('accepted')
  })

  it('are seen and accepted without the link by who proved the address', async () => {
    const dora = await someone(app)
    const { id, token } = await invite(anna, { email: dora.email, roles: ['admin'] })
    const mine = () => app.call('GET', `${at}/received`, { token: dora.accessToken })
    expect((await mine()).body.invitations).to.deep.equal([])
    await verified(app, dora)
    await eventually(async () => expect((await mine()).body.invitations.map((i: any) => i.id)).to.deep.equal([id]))
    // An administrator may have said that the address is proven.
    expectProblem(await app.call('POST', `${at}/${id}/accept`, { token: dora.accessToken }), 403, 'ACCESS_DENIED')
    expect((await mine()).body.invitations.map((i: any) => i.id)).to.deep.equal([id])
    expect((await accept(token, {}, dora)).status).to.equal(200)
    expect(await rolesOf(dora.id)).to.have.members([ROLE.user, ROLE.admin])
    const plain = await invite(anna, { email: dora.email })
    const taken = await app.call('POST', `${at}/${plain.id}/accept`, { token: dora.accessToken })
    expect(taken.body.invitation).to.include({ id: plain.id, status: 'accepted' })
    expect((await mine()).body.invitations).to.deep.equal([])
    expectProblem(await app.call('POST', `${at}/${id}/accept`, { token: dora.accessToken }), 404, 'NOT_FOUND')
  })

  it('bring the owner of an address into an account that a stranger made with it', async () => {
    const victim = await someone(app)
    const { token } = await invite(anna, { email: victim.email })
    expect((await validate(token)).body.sign_in_required).to.equal(false)
    const done = await accept(token, { password: PASSWORD })
    expect(done.body.user).to.include({ id: victim.id, is_email_verified: true })
    expect((await login(victim.email, victim.password)).status).to.equal(401)
    expect((await login(victim.email, PASSWORD)).status).to.equal(200)
    await eventually(async () =>
      expect((await app.call('GET', '/v1/auth/me', { token: victim.accessToken })).status).to.equal(401),
    )
  })

  it('skip neither a second factor nor a lock', async () => {
    const email = stranger()
    const { token } = await invite(anna, { email })
    await setting(app, 'mfa_policy', 'required')
    const owed = await accept(token, { password: PASSWORD })
    await setting(app, 'mfa_policy', 'optional')
    expect(owed.body).to.include({ mfa_required: true, enrolment_required: true })
    expect(owed.body).to.not.have.property('tokens')
    expect(await accounts(email)).to.have.length(1)

    const guarded = await someone(app)
    await withApp(app, guarded)
    const toGuarded = await invite(anna, { email: guarded.email })
    expect((await validate(toGuarded.token)).body.sign_in_required).to.equal(true)
    expectProblem(await accept(toGuarded.token, { password: PASSWORD }), 401, 'UNAUTHORIZED')

    const off = await someone(app)
    const toOff = await invite(anna, { email: off.email })
    await app.db('users').where({ id: off.id }).update({ status: 'disabled' })
    expectProblem(await accept(toOff.token, { password: PASSWORD }), 403, 'ACCOUNT_DISABLED')
    expect(await statusOf(toOff.id)).to.equal('pending')
    expect((await login(off.email, off.password)).body.code).to.equal('ACCOUNT_DISABLED')
  })

  it('are taken where mailed links are no way to sign in, which comes after; over REST as on the page', async () => {
    const [byRest, byPage] = [stranger(), stranger()]
    const [first, second] = [await invite(anna, { email: byRest }), await invite(anna, { email: byPage })]
    await loginPolicy(app, { methods: ['password'] })
    try {
      const done = await accept(first.token, { password: PASSWORD })
      expect(done.status, JSON.stringify(done.body)).to.equal(200)
      expect(done.body).to.include.keys('invitation').and.not.include.any.keys('tokens', 'mfa_token')
      const browser = new Browser(app.url)
      const at = await browser.open(`/invitation?token=${second.token}`)
      const page = await browser.submit(at, { password: PASSWORD })
      expect(page.status, page.page).to.equal(200)
      expect((await browser.open('/account')).page, 'signed in nowhere').to.not.include('/account/two-step')
      for (const email of [byRest, byPage]) {
        expect(
          await app.db('sessions').whereIn('user_id', app.db('users').where({ email }).select('id')),
        ).to.deep.equal([])
        expect((await login(email, PASSWORD)).status).to.equal(200)
      }
      expect([await statusOf(first.id), await statusOf(second.id)]).to.deep.equal(['accepted', 'accepted'])
    } finally {
      await loginPolicy(app, {})
    }
  })

  it('make one account when fifty accept at once', async () => {
    const email = stranger()
    const { token } = await invite(anna, { email, roles: ['admin'] })
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => accept(token, { password: `${PASSWORD}-${i}` })),
    )
    const won = answers.filter(({ status }) => status === 200)
    expect(won).to.have.length(1)
    for (const lost of answers.filter(({ status }) => status !== 200))
      expect(lost.status, JSON.stringify(lost.body)).to.be.oneOf([400, 503])
    expect(await accounts(email)).to.have.length(1)
    expect(await app.db('events').where({ type: 'invitation.accepted', user_id: won[0]!.body.user.id })).to.have.length(
      1,
    )
    expect((await login(email, `${PASSWORD}-${answers.indexOf(won[0]!)}`)).status).to.equal(200)
  })

  it('are private to who sent them and who manages them, within the tenant', async () => {
    const other = await someone(app)
    await verified(app, other)
    const { id } = await invite(ben, { email: stranger() })
    const { id: byAnna } = await invite(anna, { email: stranger(), roles: ['admin'] })
    const ids = async (person: Person, base = '') =>
      (await app.call('GET', `${base}${at}?limit=100`, { token: person.accessToken })).body.invitations.map(
        (i: any) => i.id,
      )
    expect(await ids(ben))
      .to.include(id)
      .and.not.include(byAnna)
    expect(await ids(anna)).to.include.members([id, byAnna])
    expect(await ids(other)).to.deep.equal([])
    expect(await ids(acme.boss, '/t/acme')).to.deep.equal([])
    const tries: [Person, string, string][] = [
      [other, '', id],
      [ben, '', byAnna],
      [acme.boss, '/t/acme', id],
    ]
    for (const [person, base, which] of tries) {
      for (const [method, path] of [
        ['GET', ''],
        ['DELETE', ''],
        ['POST', '/resend'],
      ] as const)
        expectProblem(
          await app.call(method, `${base}${at}/${which}${path}`, { token: person.accessToken }),
          404,
          'NOT_FOUND',
        )
    }
    expect([await statusOf(id), await statusOf(byAnna)]).to.deep.equal(['pending', 'pending'])
    const listed = await app.call('GET', `${at}?status=pending&limit=1&offset=1`, { token: anna.accessToken })
    expect(listed.body).to.include({ count: 1, limit: 1, offset: 1 })
    expect(listed.body.total).to.be.greaterThan(1)
    expect((await app.call('DELETE', `${at}/${id}`, { token: anna.accessToken })).status).to.equal(200)
  })

  it('replace earlier ones to the same address: their own, and of others for who manages them', async () => {
    const email = stranger()
    const first = await invite(ben, { email })
    const second = await send(ben, { email: email.toUpperCase() })
    expect(await statusOf(first.id)).to.equal('revoked')
    expectProblem(await validate(first.token), 400, 'INVALID_TOKEN')
    const third = await send(anna, { email, roles: ['admin'] })
    expect(await statusOf(second.body.id)).to.equal('revoked')
    const fourth = await send(ben, { email })
    expect([await statusOf(third.body.id), await statusOf(fourth.body.id)]).to.deep.equal(['pending', 'pending'])
    const twice = stranger()
    const both = await Promise.all([send(anna, { email: twice }), send(anna, { email: twice })])
    expect(both.map(({ status }) => status)).to.deep.equal([201, 201])
    expect(await app.db('invitations').where({ email_key: twice, revoked_at: null })).to.have.length(1)
  })

  it('tell nobody who has an account, and bad tokens nothing', async () => {
    const known = await someone(app)
    await verified(app, known)
    const shape = ({ status, body }: Answer) => [status, Object.keys(body), body.user_id, body.status]
    expect(shape(await send(ben, { email: known.email }))).to.deep.equal(shape(await send(ben, { email: stranger() })))
    const answers = []
    for (const token of ['x', 'never-made', 'ä'.repeat(100), "' or 1=1 --"]) answers.push(await validate(token))
    for (const answer of answers) expectProblem(answer, 400, 'INVALID_TOKEN')
    expect(new Set(answers.map(({ body }) => body.detail)).size).to.equal(1)
    for (const token of ['', 'x'.repeat(513), 7, null, 'a\u0000b'])
      expectProblem(await validate(token as string), 400, 'VALIDATION_ERROR')
    for (const body of [{}, { email: 'no' }, { email: 'a@b.c', roles: 'admin' }, { email: 'a@b.c', id: 1 }])
      expectProblem(await send(anna, body), 400, 'VALIDATION_ERROR')
  })

  it('are limited: so many to one mailbox, and so many by one person a day', async () => {
    const email = stranger()
    for (let i = 0; i < 5; i++) expect((await send(anna, { email })).status).to.equal(201)
    const sixth = await send(ben, { email })
    expectProblem(sixth, 429, 'RATE_LIMITED')
    expect(Number(sixth.headers.get('retry-after'))).to.be.greaterThan(0)
    const eager = await someone(app)
    await verified(app, eager)
    await setting(app, 'invitations_per_day', 2)
    await eventually(async () =>
      expect((await app.deps.out.directory.bySlug('default'))!.settings.invitations_per_day).to.equal(2),
    )
    for (let i = 0; i < 2; i++) expect((await send(eager, { email: stranger() })).status).to.equal(201)
    expectProblem(await send(eager, { email: stranger() }), 429, 'RATE_LIMITED')
    await setting(app, 'invitations_per_day', 100)
  })

  it('bring people to accounts that were made for them, until these have an owner', async () => {
    const email = stranger()
    const made = await app.call('POST', '/v1/users', { token: anna.accessToken, body: { email, given_name: 'Emil' } })
    const { token } = await mailed(email)
    const { body } = await app.call('GET', `${at}?status=pending&limit=100`, { token: anna.accessToken })
    const first = body.invitations.find((i: any) => i.email === email)
    expect(first).to.include({ user_id: made.body.id, invited_by: anna.id })
    expect((await app.call('POST', `/v1/users/${made.body.id}/invite`, { token: anna.accessToken })).status).to.equal(
      200,
    )
    expectProblem(await validate(token), 400, 'INVALID_TOKEN')
    const done = await accept((await mailed(email)).token, { password: PASSWORD })
    expect(done.body.user).to.include({ id: made.body.id, given_name: 'Emil', is_email_verified: true })
    expectProblem(
      await app.call('POST', `/v1/users/${made.body.id}/invite`, { token: anna.accessToken }),
      409,
      'CONFLICT',
    )
    // The address was changed since: what was mailed to the old one is dead.
    const other = await app.call('POST', '/v1/users', { token: anna.accessToken, body: { email: stranger() } })
    const old = await mailed(other.body.email)
    await app.call('PUT', `/v1/users/${other.body.id}`, { token: anna.accessToken, body: { email: stranger() } })
    expectProblem(await accept(old.token, { password: PASSWORD }), 400, 'INVITATION_EXPIRED')
  })
})
