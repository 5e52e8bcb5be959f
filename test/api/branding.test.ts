import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

const PNG = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(2000, 7)])

describe('branding, texts and mails', () => {
  let app: TestApp
  let anna: Person
  let acme: { id: string; boss: Person }
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
    acme = await withTenant(app, 'acme')
  })
  after(() => app.close())
  const mine = (method: string, path: string, body?: unknown) =>
    app.call(method, path, { token: anna.accessToken, ...(body !== undefined && { body }) })
  const theirs = (method: string, path: string, body?: unknown) =>
    app.call(method, `/t/acme${path}`, { token: acme.boss.accessToken, ...(body !== undefined && { body }) })
  const pageOf = async (path: string, language = 'en') =>
    (await app.call('GET', path, { headers: { accept: 'text/html', 'accept-language': language } })).body as string

  it('a colour is used so that it can be read, and the answer says how', async () => {
    const yellow = await theirs('PATCH', '/v1/admin/branding', { primary_color: '#ffee00' })
    expect(yellow.status, JSON.stringify(yellow.body)).to.equal(200)
    expect(yellow.body.colors).to.include({ button: '#ffee00', button_text: '#000', adjusted: true })
    expect(yellow.body.colors.button_contrast).to.be.at.least(4.5)
    await eventually(async () => expect(await pageOf('/t/acme/forgot-password')).to.include('--brand:#ffee00'))
    expect(await pageOf('/forgot-password')).to.not.include('#ffee00')
    for (const bad of [
      { primary_color: 'red' },
      { logo_uri: 'javascript:alert(1)' },
      { logo_uri: 'http://x.example/a' },
    ])
      expectProblem(await theirs('PATCH', '/v1/admin/branding', bad), 400, 'VALIDATION_ERROR')
    const [told] = await app.db('events').where({ tenant_id: acme.id, type: 'branding.changed' })
    expect(told.data).to.deep.equal({ old: { primary_color: null }, new: { primary_color: '#ffee00' } })
  })

  it('an uploaded logo is served by us, on pages and in mails, and cannot be anything but a picture', async () => {
    const upload = (bytes: Buffer) => theirs('PUT', '/v1/admin/branding/logo', { data: bytes.toString('base64') })
    const made = await upload(PNG)
    expect(made.status, JSON.stringify(made.body)).to.equal(200)
    expect(made.body).to.include({ logo_uploaded: true })
    expect(made.body.logo_uri).to.match(new RegExp(`^${app.url}/t/acme/branding/logo/`))
    const served = await fetch(made.body.logo_uri)
    expect(served.headers.get('content-type')).to.equal('image/png')
    expect(served.headers.get('content-security-policy')).to.include('sandbox')
    expect(Buffer.from(await served.arrayBuffer()).equals(PNG)).to.equal(true)
    const path = new URL(made.body.logo_uri).pathname
    await eventually(async () => expect(await pageOf('/t/acme/forgot-password')).to.include(`src="${path}"`))
    const preview = await theirs('POST', '/v1/admin/mail-templates/welcome/en/preview', {})
    expect(preview.body.html).to.include(`<img src="${made.body.logo_uri}"`)
    expect((await app.call('GET', path.replace('/t/acme', ''))).status).to.equal(404)
    for (const bad of [
      Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
      Buffer.from('<html>'),
      Buffer.concat([PNG, Buffer.alloc(130 * 1024)]),
    ])
      expectProblem(await upload(bad), 400, 'VALIDATION_ERROR')
    expect((await app.db('tenant_images').where({ tenant_id: acme.id }))[0].bytes.equals(PNG)).to.equal(true)
    const gone = await theirs('DELETE', '/v1/admin/branding/logo')
    expect(gone.body).to.include({ logo_uri: null, logo_uploaded: false })
    expect((await fetch(made.body.logo_uri)).status).to.equal(404)
  })

  it('texts of pages are the tenant’s own, by language, escaped, and go back', async () => {
    const evil = '<script>alert(1)</script> & co'
    const changed = await theirs('PATCH', '/v1/admin/texts/en', { texts: { 'forgot.title': evil } })
    expect(changed.status, JSON.stringify(changed.body)).to.equal(200)
    expect(changed.body.texts[0]).to.include({ key: 'forgot.title', text: evil, changed: true })
    await eventually(async () => {
      const page = await pageOf('/t/acme/forgot-password')
      expect(page).to.include('&lt;script&gt;alert(1)&lt;/script&gt; &amp; co').and.not.include('<script>alert')
    })
    const usual = changed.body.texts[0].default
    expect(await pageOf('/forgot-password')).to.include(usual)
    expect(await pageOf('/t/acme/forgot-password', 'de')).to.not.include('alert(1)')
    const list = await theirs('GET', '/v1/admin/texts/en?changed=true')
    expect(list.body.texts.map((t: any) => t.key)).to.deep.equal(['forgot.title'])
    await theirs('PATCH', '/v1/admin/texts/en', { texts: { 'forgot.title': null } })
    await eventually(async () => expect(await pageOf('/t/acme/forgot-password')).to.include(usual))
    expect(await app.db('tenant_texts')).to.deep.equal([])
  })

  it('texts that cannot work are refused, all or none', async () => {
    const refused = async (texts: object, status = 400, code = 'VALIDATION_ERROR') =>
      expectProblem(await mine('PATCH', '/v1/admin/texts/en', { texts }), status, code)
    await refused({ 'login.title': 'Hello', 'login.submit': 'Go {now' })
    await refused({ 'login.title': '{password}' })
    await refused({ 'login.title': ' ' })
    await refused({ 'login.title': 'x'.repeat(2001) })
    await refused({ 'login.title': 'turned \u202e round' })
    await refused({ 'sms.code': 'Your code is secret' })
    await refused({ 'language.name': 'Klingon' }, 404, 'NOT_FOUND')
    await refused({ toString: 'x' }, 404, 'NOT_FOUND')
    expectProblem(await mine('PATCH', '/v1/admin/texts/xx', { texts: {} }), 404, 'NOT_FOUND')
    expect(await app.db('tenant_texts')).to.deep.equal([])
  })

  it('mails speak the tenant’s words: previewed, sent, reset', async () => {
    const path = '/v1/admin/mail-templates/reset-password/en'
    const blocks = { subject: 'A new key\nBcc: all@example.com for {name}', text: 'Dear <b>friend</b> of {name}.' }
    const shown = await theirs('POST', `${path}/preview`, { blocks })
    expect(shown.status, JSON.stringify(shown.body)).to.equal(200)
    expect(shown.body.subject).to.equal('A new key Bcc: all@example.com for acme')
    expect(shown.body.html).to.include('Dear &lt;b&gt;friend&lt;/b&gt; of acme.').and.not.include('<b>friend')
    expect(shown.body.text).to.include('Dear <b>friend</b> of acme.')
    expect(await app.db('tenant_texts')).to.deep.equal([])
    expect((await theirs('PUT', path, { blocks })).body.blocks.subject.changed).to.equal(true)
    expectProblem(await theirs('PUT', path, { blocks: { nonsense: 'x' } }), 400, 'VALIDATION_ERROR')
    expectProblem(await theirs('PUT', path, { blocks: { text: 'Hi {password}' } }), 400, 'VALIDATION_ERROR')
    expectProblem(await theirs('GET', '/v1/admin/mail-templates/nothing/en'), 404, 'NOT_FOUND')
    const list = await theirs('GET', '/v1/admin/mail-templates')
    expect(list.body.mail_templates.find((m: any) => m.name === 'reset-password').changed_in).to.deep.equal(['en'])
    await eventually(async () => expect((await theirs('GET', path)).body.blocks.subject.changed).to.equal(true))
    const ask = async (base: string, email: string) =>
      app.call('POST', `${base}/v1/auth/forgot-password`, { body: { email }, headers: from() })
    await ask('/t/acme', acme.boss.email)
    const mail = await app.smtp.waitFor(acme.boss.email, /Dear <b>friend<\/b> of acme/)
    expect(mail.raw)
      .to.match(/^Subject: A new key Bcc/m)
      .and.not.match(/^Bcc:/m)
    expect(mail.raw).to.match(/reset-password\?token=/)
    await ask('', anna.email)
    expect((await app.smtp.waitFor(anna.email, /reset-password\?token=/)).raw).to.not.include('friend')
    const back = await theirs('DELETE', path)
    expect(back.body.blocks.subject).to.include({ changed: false })
    expect(await app.db('tenant_texts')).to.deep.equal([])
  })

  it('every mail can be previewed in every language', async () => {
    const { mail_templates: all } = (await mine('GET', '/v1/admin/mail-templates')).body
    expect(all.length).to.be.greaterThan(15)
    for (const { name, blocks } of all) {
      expect(blocks, name).to.include('subject')
      for (const locale of ['en', 'de']) {
        const { body } = await mine('POST', `/v1/admin/mail-templates/${name}/${locale}/preview`, {})
        expect(body.subject, name)
          .to.be.a('string')
          .and.not.match(/^mail\.|[{}]/)
        expect(body.html, name).to.not.match(/undefined|mail\.\w+\.\w+/)
      }
    }
  })
})
