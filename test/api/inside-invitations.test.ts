import { expect } from 'chai'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { setting, verified } from '../support/mfa.ts'
import { eventually } from '../support/oauth.ts'
import { expectSsoFailure } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

let last = 0
const stranger = () => `guest${++last}@example.com`
const PASSWORD = 'A-Fine-Password-77'

describe('invitations to organizations and workspaces', () => {
  let app: TestApp
  let olga: Person
  let max: Person
  let outsider: Person
  let acme: string
  let team: string
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    olga = await someone(app, undefined, { email: 'olga@example.com' })
    max = await someone(app, undefined, { email: 'max@example.com' })
    outsider = await someone(app)
    acme = await organization('acme', { [olga.id]: ROLE.owner, [max.id]: ROLE.member })
    team = newId()
    await app
      .db('workspaces')
      .insert({ tenant_id: DEFAULT_TENANT, id: team, organization_id: acme, slug: 'team', name: 'Team' })
  })
  after(() => app.close())

  async function organization(slug: string, members: Record<string, string>): Promise<string> {
    const id = newId()
    await app.db('organizations').insert({ tenant_id: DEFAULT_TENANT, id, slug, name: slug.toUpperCase() })
    for (const [user_id, role_id] of Object.entries(members))
      await app
        .db('memberships')
        .insert({ tenant_id: DEFAULT_TENANT, id: newId(), organization_id: id, user_id, role_id })
    return id
  }
  const call = (who: Person, method: string, path: string, body?: object) =>
    app.call(method, path, { token: who.accessToken, headers: from(), ...(body && { body }) })
  const invite = (who: Person, email: string, more: object = {}) =>
    call(who, 'POST', '/api/onboarding/invitations', { org_id: acme, email, ...more })
  const inviteToTeam = (who: Person, email: string, more: object = {}) =>
    call(who, 'POST', `/api/workspaces/${team}/invitations`, { email, ...more })
  async function mailed(email: string): Promise<{ token: string; code: string }> {
    const mail = await app.smtp.waitFor(email, /\/invitation\?token=/)
    const token = new URL(mail.link('invitation')).searchParams.get('token')!
    return { token, code: /(?<![\w-])\w{4}-\w{4}-\w{4}(?![\w-])/.exec(mail.raw)![0] }
  }
  const membership = (who: { id: string }, organizationId = acme) =>
    app.db('memberships').where({ organization_id: organizationId, user_id: who.id }).first()
  const knownPerson = async () => {
    const person = await someone(app)
    await verified(app, person)
    return person
  }

  it('are joined by the code of the mail, by who it was mailed to and nobody else', async () => {
    const nora = await knownPerson()
    const sent = await invite(olga, nora.email)
    expect(sent.status, JSON.stringify(sent.body)).to.equal(201)
    expect(sent.body.data).to.include({ organization_id: acme, workspace_id: null, status: 'pending' })
    const { code } = await mailed(nora.email)
    const join = (who: Person, given: string) => call(who, 'POST', '/api/onboarding/join', { invitation_code: given })
    expectSsoFailure(await join(await knownPerson(), code), 403, 'EMAIL_MISMATCH')
    expectSsoFailure(await join(nora, 'abc123def456'), 400, 'INVALID_TOKEN')
    expect(await membership(nora)).to.equal(undefined)
    const joined = await join(nora, code.replaceAll('-', '').toUpperCase())
    expect(joined.status, JSON.stringify(joined.body)).to.equal(200)
    expect(joined.body.data.organization).to.deep.equal({ id: acme, name: 'ACME' })
    expect(joined.body.data.membership).to.deep.equal({ role: 'Member' })
    expect((await membership(nora)).role_id).to.equal(ROLE.member)
    expectSsoFailure(await join(nora, code), 400, 'INVALID_TOKEN')
    expectSsoFailure(await invite(olga, nora.email), 409, 'CONFLICT')
    const types = await app.db('events').where({ user_id: nora.id }).pluck('type')
    expect(types).to.include.members(['membership.created', 'invitation.accepted'])
  })

  it('make an account of a newcomer, who is in at once', async () => {
    const email = stranger()
    await setting(app, 'registration_enabled', false)
    expect((await invite(olga, email, { role_id: 'Admin' })).status).to.equal(201)
    const { token } = await mailed(email)
    const offer = await app.call('POST', '/v1/invitations/public/validate', { body: { token }, headers: from() })
    expect(offer.body.organization).to.deep.equal({ id: acme, name: 'ACME' })
    expect(offer.body.roles).to.deep.equal(['Admin'])
    const done = await app.call('POST', '/v1/invitations/public/accept', {
      body: { token, password: PASSWORD },
      headers: from(),
    })
    expect(done.status, JSON.stringify(done.body)).to.equal(200)
    expect((await membership(done.body.user)).role_id).to.equal(ROLE.organizationAdmin)
    await setting(app, 'registration_enabled', true)
  })

  it('are sent, seen and revoked by who manages members there; outsiders learn nothing', async () => {
    expectSsoFailure(await invite(max, stranger()), 403, 'ACCESS_DENIED')
    expectSsoFailure(await invite(outsider, stranger()), 404, 'NOT_FOUND')
    const admin = await someone(app)
    await app.db('memberships').insert({
      tenant_id: DEFAULT_TENANT,
      id: newId(),
      organization_id: acme,
      user_id: admin.id,
      role_id: ROLE.organizationAdmin,
    })
    expectSsoFailure(await invite(admin, stranger(), { role_id: ROLE.owner }), 403, 'ACCESS_DENIED')
    expectSsoFailure(await invite(admin, stranger(), { role_id: 'admin' }), 400, 'VALIDATION_ERROR')
    const { id } = (await invite(admin, stranger())).body.data
    const list = async (who: Person, query = '') =>
      (await call(who, 'GET', `/api/onboarding/invitations${query}`)).body.data?.map((i: any) => i.id)
    expect(await list(olga)).to.include(id)
    expect(await list(olga, `?org_id=${acme}`)).to.include(id)
    expect(await list(outsider)).to.deep.equal([])
    expect(await list(max)).to.deep.equal([])
    expectSsoFailure(await call(outsider, 'GET', `/api/onboarding/invitations?org_id=${acme}`), 404, 'NOT_FOUND')
    for (const who of [outsider, max])
      expectSsoFailure(await call(who, 'DELETE', `/api/onboarding/invitations/${id}`), 404, 'NOT_FOUND')
    const boss = (await withTenant(app, 'elsewhere')).boss
    const there = await app.call('DELETE', `/t/elsewhere/api/onboarding/invitations/${id}`, {
      token: boss.accessToken,
    })
    expectSsoFailure(there, 404, 'NOT_FOUND')
    expect((await app.db('invitations').where({ id }).first()).revoked_at).to.equal(null)
    expect((await call(olga, 'DELETE', `/api/onboarding/invitations/${id}`)).status).to.equal(200)
    expect(await list(olga)).to.not.include(id)
  })

  it('hold while who invited manages members, and the organization is there', async () => {
    const leaver = await someone(app)
    const other = await organization('other', { [olga.id]: ROLE.owner, [leaver.id]: ROLE.organizationAdmin })
    const pia = await knownPerson()
    const sent = await invite(leaver, pia.email, { org_id: other })
    expect(sent.status).to.equal(201)
    const accept = () => call(pia, 'POST', '/api/onboarding/accept-pending', { invitation_id: sent.body.data.id })
    const change = (role_id: string) =>
      app.db('memberships').where({ organization_id: other, user_id: leaver.id }).update({ role_id })
    await change(ROLE.member)
    expectSsoFailure(await accept(), 400, 'INVITATION_EXPIRED')
    await change(ROLE.organizationAdmin)
    await app.db('organizations').where({ id: other }).update({ status: 'suspended' })
    expectSsoFailure(await accept(), 400, 'INVITATION_EXPIRED')
    expect(await membership(pia, other)).to.equal(undefined)
    await app.db('organizations').where({ id: other }).update({ status: 'active' })
    const pending = (await call(pia, 'GET', '/api/onboarding/pending')).body.data
    expect(pending.map((i: any) => i.id)).to.deep.equal([sent.body.data.id])
    const accepted = await call(pia, 'POST', '/api/onboarding/accept-pending', {})
    expect(accepted.body.data.organization.id).to.equal(other)
    expect(accepted.body.data.invitation).to.include({ status: 'accepted', accepted_by: pia.id })
    expectSsoFailure(await call(pia, 'POST', '/api/onboarding/accept-pending', {}), 404, 'NOT_FOUND')
    const gone = stranger()
    await invite(olga, gone, { org_id: other })
    const { token } = await mailed(gone)
    await app.db('organizations').where({ id: other }).delete()
    const dead = await app.call('POST', '/v1/invitations/public/accept', {
      body: { token, password: PASSWORD },
      headers: from(),
    })
    expect(dead.body.code).to.equal('INVALID_TOKEN')
  })

  it('to a workspace bring people into the organization, if who invites may do that', async () => {
    await app
      .db('workspace_members')
      .insert({ tenant_id: DEFAULT_TENANT, workspace_id: team, organization_id: acme, user_id: max.id, role: 'admin' })
    expectSsoFailure(await inviteToTeam(max, stranger()), 403, 'ACCESS_DENIED')
    expectSsoFailure(await inviteToTeam(outsider, stranger()), 404, 'NOT_FOUND')
    const quin = await knownPerson()
    const sent = await inviteToTeam(olga, quin.email, { role: 'viewer' })
    expect(sent.status, JSON.stringify(sent.body)).to.equal(201)
    const at = `/api/workspaces/${team}/invitations`
    expect((await call(max, 'GET', at)).body.data.map((i: any) => i.id)).to.deep.equal([sent.body.data.id])
    expectSsoFailure(await call(outsider, 'GET', at), 404, 'NOT_FOUND')
    const { token } = await mailed(quin.email)
    const preview = await call(quin, 'GET', `/api/workspaces/invitations/preview?token=${token}`)
    expect(preview.body.data.workspace).to.deep.equal({ id: team, name: 'Team' })
    expectSsoFailure(await call(outsider, 'POST', '/api/workspaces/invitations/accept', { token }), 403)
    const accepted = await call(quin, 'POST', '/api/workspaces/invitations/accept', { token })
    expect(accepted.status, JSON.stringify(accepted.body)).to.equal(200)
    expect(accepted.body.data.workspace).to.deep.equal({ id: team, name: 'Team' })
    expect((await membership(quin)).role_id).to.equal(ROLE.member)
    const inside = await app.db('workspace_members').where({ workspace_id: team, user_id: quin.id }).first()
    expect(inside.role).to.equal('viewer')

    // A colleague may be invited by who manages the workspace only.
    const colleague = await knownPerson()
    await app.db('memberships').insert({
      tenant_id: DEFAULT_TENANT,
      id: newId(),
      organization_id: acme,
      user_id: colleague.id,
      role_id: ROLE.member,
    })
    const second = await inviteToTeam(max, colleague.email)
    expect(second.status, JSON.stringify(second.body)).to.equal(201)
    // Who has left in the meantime is an outsider again.
    await app.db('memberships').where({ user_id: colleague.id }).delete()
    const late = await mailed(colleague.email)
    expectSsoFailure(
      await call(colleague, 'POST', '/api/workspaces/invitations/accept', { token: late.token }),
      400,
      'INVITATION_EXPIRED',
    )
    const revoked = await call(max, 'DELETE', `${at}/${second.body.data.id}`)
    expect(revoked.status).to.equal(200)
    expect((await call(max, 'GET', at)).body.data).to.deep.equal([])
  })

  it('let fifty uses of one code in once', async () => {
    const rita = await knownPerson()
    await invite(olga, rita.email)
    const { code } = await mailed(rita.email)
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => call(rita, 'POST', '/api/onboarding/join', { invitation_code: code })),
    )
    expect(answers.filter(({ status }) => status === 200)).to.have.length(1)
    for (const lost of answers.filter(({ status }) => status !== 200)) expect(lost.status).to.be.oneOf([400, 503])
    expect(await app.db('memberships').where({ organization_id: acme, user_id: rita.id })).to.have.length(1)
    expect(await app.db('events').where({ type: 'membership.created', user_id: rita.id })).to.have.length(1)
  })

  it('refuse a second organization where the tenant has people belong to one', async () => {
    await setting(app, 'organization_mode', 'single')
    const second = await organization('second', { [outsider.id]: ROLE.owner })
    await verified(app, max)
    const sent = await invite(outsider, max.email, { org_id: second })
    await eventually(async () =>
      expectSsoFailure(
        await call(max, 'POST', '/api/onboarding/accept-pending', { invitation_id: sent.body.data.id }),
        409,
        'SINGLE_ORGANIZATION_MODE',
      ),
    )
    expect(await membership(max, second)).to.equal(undefined)
    await setting(app, 'organization_mode', 'multi')
  })
})
