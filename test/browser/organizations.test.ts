/** The page that asks for an organization, in a real Chromium: on a phone, without JavaScript, in German. */
import { expect } from 'chai'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp } from '../support/app.ts'
import { dark, heading, look, openStage, phone, redeem, request, type Stage, signIn, visitor } from './stage.ts'

describe('choosing an organization in Chromium', function () {
  this.timeout(40_000)
  let stage: Stage
  let ada: Person
  before(async function () {
    stage = await openStage(this, () => startApp(), { login_policy: { organization: 'required' } })
    ada = await stage.app.person('ada@example.com')
  })
  after(() => stage?.close())

  let made = 0
  async function join(person: Person, name: string): Promise<string> {
    const tenant_id = DEFAULT_TENANT
    const [organization_id, id] = [newId(), newId()]
    made += 1
    await stage.app.db('organizations').insert({ tenant_id, id: organization_id, slug: `works-${made}`, name })
    const row = { tenant_id, id, organization_id, user_id: person.id, role_id: ROLE.member }
    await stage.app.db('memberships').insert(row)
    return organization_id
  }

  it('who is in none sees what to do, goes on when added, and then chooses among several, on a phone and by keyboard', async () => {
    const { app, browser, rp, third } = stage
    const who = await visitor(browser, { ...phone, ...dark })
    const { page } = who
    await page.goto((await request(rp, third)).href)
    await signIn(who, ada)
    await look(who, 'organizations-none')
    expect(await heading(who)).to.equal('You are in no organisation')
    const acme = await join(ada, 'Acme')
    const harbour = await join(ada, 'Harbour Master’s Office of the Free and Hanseatic City of Hamburg')
    await page.click('a:has-text("Try again")')
    await look(who, 'organizations')
    await page.locator('button', { hasText: 'Harbour Master' }).focus()
    await page.keyboard.press('Enter')
    await page.locator('button[value=allow]').waitFor()
    await look(who, 'organizations-consent')
    expect(await page.locator('main').innerText()).to.include('As a member of Harbour Master')
    await page.click('button[value=allow]')
    await page.getByText('Back in the app').waitFor()

    const again = await request(rp, third, { organization: acme })
    await page.goto(again.href)
    await page.getByText('Back in the app').waitFor()
    expect((await redeem(rp, third, again)).claims()!.org_id).to.equal(acme)
    expect(harbour).to.not.equal(acme)
    expect(who.complaints).to.deep.equal([])
    await app.db('sessions').where({ user_id: ada.id }).update({ ended_at: new Date(), cookie_hash: null })
    await who.close()
  })

  it('without JavaScript, in German: another account, another answer, and the way back to the app', async () => {
    const { browser, rp, third } = stage
    const bob = await stage.app.person('bob@example.com')
    const works = await join(bob, 'Werke')
    const who = await visitor(browser, { javaScriptEnabled: false, locale: 'de-DE' })
    const { page } = who
    await page.goto((await request(rp, third, { organization: works })).href)
    await signIn(who, ada)
    await look(who, 'organizations-stranger')
    expect(await heading(who)).to.equal('Sie sind kein Mitglied')
    expect(await page.locator('main').innerText()).to.not.include('Werke')
    await page.click('button[value=cancel]')
    await page.getByText('Back in the app').waitFor()
    expect(third.arrivals.at(-1)!.url.searchParams.get('error')).to.equal('access_denied')

    const asked = await request(rp, third, { organization: works })
    await page.goto(asked.href)
    await page.click('text=Nicht Sie?')
    await signIn(who, bob)
    const onward = page.locator('button', { hasText: 'Weiter' })
    if (await onward.isVisible()) await onward.click()
    await page.click('button[value=allow]')
    await page.getByText('Back in the app').waitFor()
    expect((await redeem(rp, third, asked)).claims()).to.include({ sub: bob.id, org_id: works })
    await who.close()
  })
})
