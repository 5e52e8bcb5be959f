import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from, pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'

describe('what a good password is', () => {
  let app: TestApp
  let ada: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    ada = await app.person('lovelace@example.com')
  })
  after(() => app.close())

  const set = async (settings: Record<string, unknown>) => {
    const rows = Object.entries(settings).map(([key, value]) => ({
      tenant_id: DEFAULT_TENANT,
      key,
      value: JSON.stringify(value),
    }))
    await app.db('settings').insert(rows).onConflict(['tenant_id', 'key']).merge()
    await pause(300)
  }
  afterEach(async () => {
    if ((await app.db('settings').where('key', 'like', 'password%').delete()) > 0) await pause(300)
  })
  const validate = async (password: string) => {
    const { body, status } = await app.call('POST', '/api/account/password/validate', {
      body: { password },
      token: ada.accessToken,
    })
    expect(status).to.equal(200)
    return body.data as { valid: boolean; errors: { rule: string }[] }
  }
  const rules = async (password: string) => (await validate(password)).errors.map((e) => e.rule)
  const register = (email: string, password: string, more: object = {}) =>
    app.call('POST', '/v1/auth/register', { body: { email, password, ...more }, headers: from() })
  const login = (email: string, password: string) =>
    app.call('POST', '/v1/auth/login', { body: { email, password }, headers: from() })
  const change = (who: Person, currentPassword: string, newPassword: string) =>
    app.call('POST', '/v1/auth/change-password', {
      body: { current_password: currentPassword, new_password: newPassword },
      token: who.accessToken,
      headers: from(),
    })

  it("accepts the documents' examples", async () => {
    for (const password of ['SecurePassword123!', 'OldPassword123!', 'NewSecurePassword123!'])
      expect(await validate(password)).to.deep.equal({ valid: true, errors: [] })
  })

  it('knows more than 10,000 common passwords, in any case, and makes no account with one', async () => {
    const require = createRequire(import.meta.url)
    const file = require.resolve('@zxcvbn-ts/language-common/src/passwords.json')
    const all: string[] = JSON.parse(readFileSync(file, 'utf8'))
    expect(all.length).to.be.at.least(10_000)
    const usable = all.filter((p) => p.length >= 8 && new Set(p).size >= 4)
    for (const password of [usable[0]!, usable.at(-1)!, usable[5000]!.toUpperCase()])
      expect(await rules(password)).to.include('too_common')
    const refused = await register('common@example.com', usable[10]!)
    expectProblem(refused, 400, 'WEAK_PASSWORD')
    expect(refused.body.errors[0].message).to.equal('too_common')
    expect(await app.db('users').where({ email_key: 'common@example.com' })).to.have.length(0)
    await set({ password_common_check: false })
    expect(await rules(usable[10]!)).to.not.include('too_common')
  })

  it('refuses what is little more than the person or the place', async () => {
    expect(await rules('Lovelace2024')).to.include('contains_context')
    expect(await rules('Gatehouse!1')).to.include('contains_context')
    expect(await rules('Lovelace-counts-cards')).to.deep.equal([])
    await set({ password_context_words: ['Harbour'] })
    expect(await rules('Harbour-99')).to.include('contains_context')
    const refused = await register('x@example.com', 'Turing-1954', { given_name: 'Alan', family_name: 'Turing' })
    expectProblem(refused, 400, 'WEAK_PASSWORD')
  })

  it('asks for a score where the tenant wants one', async () => {
    expect(await rules('Password1!x')).to.deep.equal([])
    await set({ password_min_score: 3 })
    expect(await rules('Password1!x')).to.include('too_guessable')
    expect(await rules('NewSecurePassword123!')).to.deep.equal([])
    const started = performance.now()
    await rules('aB3$'.repeat(64))
    expect(performance.now() - started).to.be.below(1000)
  })

  it('remembers earlier passwords only where the tenant asks for it', async () => {
    const bea = await app.person()
    expect((await change(bea, bea.password, 'SecondPassword123!')).status).to.equal(200)
    expect((await change(bea, 'SecondPassword123!', bea.password)).status).to.equal(200)
    await set({ password_history: 3 })
    expectProblem(await change(bea, bea.password, bea.password), 400, 'WEAK_PASSWORD')
    expect((await change(bea, bea.password, 'ThirdPassword123!')).status).to.equal(200)
    expect((await change(bea, 'ThirdPassword123!', 'FourthPassword123!')).status).to.equal(200)
    for (const old of [bea.password, 'ThirdPassword123!']) {
      const refused = await change(bea, 'FourthPassword123!', old)
      expectProblem(refused, 400, 'WEAK_PASSWORD')
      expect(refused.body.errors[0].message).to.equal('reused')
    }
    expect((await login(bea.email, 'FourthPassword123!')).status).to.equal(200)
    expect((await change(bea, 'FourthPassword123!', 'FifthPassword123!')).status).to.equal(200)
    expect(await app.db('password_history').where({ user_id: bea.id })).to.have.length(2)
    expect((await change(bea, 'FifthPassword123!', bea.password)).status, 'old enough').to.equal(200)
  })

  it('does not let a reset go back to an earlier one either', async () => {
    await set({ password_history: 2 })
    const cy = await app.person()
    await app.call('POST', '/v1/auth/forgot-password', { body: { email: cy.email }, headers: from() })
    const mail = await app.smtp.waitFor(cy.email, /reset-password\?token/)
    const token = new URL(mail.link('reset-password')).searchParams.get('token')
    const reset = (newPassword: string) =>
      app.call('POST', '/v1/auth/reset-password', { body: { token, new_password: newPassword }, headers: from() })
    expectProblem(await reset(cy.password), 400, 'WEAK_PASSWORD')
    expect((await reset('NewSecurePassword123!')).status).to.equal(200)
  })

  it('never confirms the current or an earlier password', async () => {
    await set({ password_history: 5 })
    expect(await validate(ada.password)).to.deep.equal({ valid: true, errors: [] })
    expect(await validate(`${ada.password}x`)).to.deep.equal({ valid: true, errors: [] })
    const nobody = await app.call('POST', '/api/account/password/validate', { body: { password: ada.password } })
    expectSsoFailure(nobody, 401, 'UNAUTHORIZED')
  })

  it('replaces the hash of another system at the first login', async () => {
    const di = await app.person()
    const secret = '$2b$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC'
    const mine = { user_id: di.id, type: 'password' }
    await app.db('credentials').where(mine).update({ secret })
    expectProblem(await login(di.email, 'wrong horse'), 401, 'INVALID_CREDENTIALS')
    expect((await app.db('credentials').where(mine).first()).secret).to.equal(secret)
    expect((await login(di.email, 'correct horse')).status).to.equal(200)
    const replaced = (await app.db('credentials').where(mine).first()).secret
    expect(replaced).to.match(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    expect((await login(di.email, 'correct horse')).status).to.equal(200)
    expect((await app.db('credentials').where(mine).first()).secret).to.equal(replaced)
  })
})
