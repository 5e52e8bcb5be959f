/** Where people sign in from: countries without a file, cities and IPv6 with one, and files that are none. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { createGeo } from '../../adapters/geo.ts'
import { readConfig } from '../../server/config.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { mmdb } from '../support/mmdb.ts'

const BERLIN = { country: { iso_code: 'DE' }, city: { names: { en: 'Berlin', de: 'Berlin' } } }
const MUNICH = { country: { iso_code: 'DE' }, city: { names: { de: 'München', en: 'Munich' } } }
const LIMA = { registered_country: { iso_code: 'PE' }, city: { names: { en: 'Lima' } } }
const NETWORKS = {
  '141.20.1.0/24': BERLIN,
  '2001:db8:1::/48': MUNICH,
  '2001:db8:2::/48': LIMA,
  '203.0.113.0/24': { country: { iso_code: 42 }, city: { names: { en: ['?'] } } },
}

describe('places', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-geo-'))
  const write = (name: string, content: Buffer | string) => {
    const file = join(folder, name)
    writeFileSync(file, content)
    return file
  }
  const file = write('cities.mmdb', mmdb(NETWORKS))
  after(() => rmSync(folder, { recursive: true }))

  it('knows countries of IPv4 without a file', () => {
    const geo = createGeo()
    expect(geo.place('141.20.1.1')).to.deep.equal({ country: 'DE', city: null })
    for (const ip of ['127.0.0.1', '10.1.2.3', '::1', 'fd00::1', 'fe80::1', '2001:db8:1::1', 'nonsense'])
      expect(geo.place(ip), ip).to.deep.equal({ country: null, city: null })
  })

  it('knows cities, and IPv6, by a file', () => {
    const geo = createGeo(file)
    expect(geo.place('141.20.1.77')).to.deep.equal({ country: 'DE', city: 'Berlin' })
    expect(geo.place('::ffff:141.20.1.77')).to.deep.equal({ country: 'DE', city: 'Berlin' })
    expect(geo.place('2001:db8:1::abcd')).to.deep.equal({ country: 'DE', city: 'Munich' })
    expect(geo.place('2001:db8:2::1')).to.deep.equal({ country: 'PE', city: 'Lima' })
    expect(geo.place('2001:db8:3::1')).to.deep.equal({ country: null, city: null })
    expect(geo.place('200.160.2.3'), 'what the file does not know').to.deep.equal({ country: 'BR', city: null })
    expect(geo.place('203.0.113.9').city, 'odd rows').to.equal(null)
    expect(geo.place('10.0.0.1')).to.deep.equal({ country: null, city: null })
  })

  it('says at the start what is wrong with a file', () => {
    const whole = mmdb(NETWORKS)
    for (const [name, content] of [
      ['empty.mmdb', ''],
      ['text.mmdb', 'not a database at all, whatever its name says'],
      ['cut.mmdb', whole.subarray(0, whole.length / 2)],
      ['page.mmdb', `<!doctype html>${'x'.repeat(5000)}`],
    ] as const)
      expect(() => createGeo(write(name, Buffer.from(content))), name).to.throw(
        new RegExp(`GEO_DATABASE: .*${name} is not a readable .mmdb file`),
      )
    expect(() => createGeo(folder)).to.throw('GEO_DATABASE')
    expect(() => readConfig({ SECRET_KEY: 'a'.repeat(64), GEO_DATABASE: join(folder, 'gone.mmdb') })).to.throw(
      'GEO_DATABASE: there is no file',
    )
  })

  describe('of a person', () => {
    let app: TestApp
    before(async () => {
      app = await startApp({ TRUST_PROXY: '1', GEO_DATABASE: file })
    })
    after(() => app.close())

    it('are shown with sessions, devices, and history, and named in the mail', async () => {
      const body = { email: 'ines@example.com', password: 'SecurePassword123!' }
      const from = (ip: string) => ({ 'x-forwarded-for': ip, 'user-agent': `Browser of ${ip}` })
      await app.call('POST', '/v1/auth/register', { body, headers: from('141.20.1.1') })
      await app.call('POST', '/v1/auth/login', { body, headers: from('141.20.1.1') })
      const login = await app.call('POST', '/v1/auth/login', { body, headers: from('2001:db8:2::5') })
      const token = login.body.tokens.access_token
      const places = async (path: string, list: string) =>
        (await app.call('GET', path, { token })).body[list].map((one: any) => [one.city, one.country])
      const both = [
        ['Lima', 'PE'],
        ['Berlin', 'DE'],
      ]
      expect(await places('/v1/sessions', 'sessions')).to.deep.equal(both)
      expect(await places('/v1/devices', 'devices')).to.have.deep.members(both)
      expect(await places('/auth/logins', 'logins')).to.deep.equal(both)
      const mail = await app.smtp.waitFor(body.email, /2001:db8:2/)
      expect(mail.raw.replace(/=\r\n/g, '')).to.include('2001:db8:2::5 (Lima, PE)')
    })
  })
})
