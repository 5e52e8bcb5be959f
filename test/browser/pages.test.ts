// What pages and mails are made of, without a browser: catalogues, languages, headers, CSRF, assets, colours, mails.
import { readdirSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { expect } from 'chai'
import { contrast, palette } from '../../adapters/branding.ts'
import { catalogues, pickLocale, translator, variables } from '../../adapters/i18n.ts'
import { mailNames, renderMail } from '../../adapters/templates.ts'
import { asset } from '../../interactions/assets.ts'
import { isEmail } from '../../server/kernel/validate.ts'
import { samples } from './samples.ts'
import { serveSamples } from './serve.ts'

const views = new URL('../../views/', import.meta.url)
const english = catalogues.get('en')!

describe('messages', () => {
  for (const [locale, messages] of catalogues) {
    it(`${locale} has the keys of English, with the same variables`, () => {
      expect(Object.keys(messages).sort()).to.deep.equal(Object.keys(english).sort())
      for (const [key, text] of Object.entries(messages)) {
        expect(text.trim(), key).to.not.equal('')
        expect(variables(text), key).to.deep.equal(variables(english[key]!))
      }
    })
  }

  it('exist for every key that a view names', () => {
    const files = readdirSync(views, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.eta'))
    for (const file of files) {
      const source = readFileSync(new URL(file, views), 'utf8')
      const named = [...source.matchAll(/(?:\bt|rich|label:) ?\(?'([a-zA-Z]+\.[a-zA-Z.]+)'/g)].map((match) => match[1]!)
      for (const key of named) expect(english, `${file}: ${key}`).to.have.property(key)
    }
  })

  it('put in variables and choose plurals', () => {
    expect(translator(['en']).duration(1)).to.equal('1 second')
    expect(translator(['en']).duration(60)).to.equal('1 minute')
    expect(translator(['de']).duration(300)).to.equal('5 Minuten')
    expect(translator(['en']).duration(3600)).to.equal('1 hour')
    expect(translator(['de']).duration(7 * 86_400)).to.equal('7 Tage')
    expect(translator(['en']).t('consent.title', { app: '{x}' })).to.equal('Allow {x}?')
    expect(translator(['en']).t('no.such.key')).to.equal('no.such.key')
  })

  it('fall back from a region to its language, and to English', () => {
    expect(pickLocale(['fr', 'de-CH', 'en'])).to.equal('de')
    expect(pickLocale(['xx'])).to.equal(undefined)
    expect(translator(['xx']).locale).to.equal('en')
    expect(translator(['../../package']).locale).to.equal('en')
  })
})

describe('addresses on pages', () => {
  it('are one address each', () => {
    for (const one of ['ada@example.com', "o'neil+tag@example.com", 'ada@xn--exmple-cua.de'])
      expect(isEmail(one), one).to.equal(true)
    for (const none of [
      'mallory@evil.example,corp.example',
      'ada,mallory@evil.example',
      'ada<mallory@evil.example>',
      'ada@evil.example(corp.example',
      'ada@example',
      'ada@@example.com',
      // The API could not take it at the next sign-in (SMTPUTF8, RFC 6531).
      'müller@exämple.de',
    ])
      expect(isEmail(none), none).to.equal(false)
  })
})

describe('colours of a tenant', () => {
  const parse = (css: string, name: string) =>
    [...new RegExp(`--${name}:#(..)(..)(..)`).exec(css)!.slice(1)].map((two) => Number.parseInt(two, 16)) as [
      number,
      number,
      number,
    ]

  it('stay readable whatever is chosen', () => {
    for (const hex of ['#000000', '#ffffff', '#ffee00', '#ff0000', '#0b6b63', '#888888', '#00ff88', '#1a1aff']) {
      const { light, dark } = palette(hex)!
      const onBrand: [number, number, number] = light.includes('--on-brand:#fff') ? [255, 255, 255] : [0, 0, 0]
      expect(contrast(parse(light, 'brand'), onBrand), hex).to.be.at.least(4.5)
      expect(contrast(parse(light, 'link'), [255, 255, 255]), hex).to.be.at.least(4.5)
      expect(contrast(parse(dark, 'link'), [23, 30, 30]), hex).to.be.at.least(4.5)
    }
  })

  it('are ignored when they are not a plain hex colour', () => {
    for (const value of ['red', '#fff', '#00000g', '#000000;}body{display:none', '']) {
      expect(palette(value)).to.equal(undefined)
    }
  })
})

describe('mails', () => {
  const data = {
    branding: { name: 'Acme\r\nBcc: eve@example.com <b>' },
    email: 'ada@example.com',
    link: 'https://id.example/verify-email?token=a&b="<',
    code: '483920',
    expires: 86_400,
    at: new Date(0),
    ip: '203.0.113.5',
    what: 'totp-added',
    host: 'hooks.example',
    why: 'failing' as const,
    forgotLink: 'https://id.example/forgot-password',
  }
  for (const locale of catalogues.keys()) {
    for (const name of mailNames) {
      it(`${name} in ${locale} says the same as HTML and as text`, () => {
        const mail = renderMail(name, locale, data)
        expect(mail.subject)
          .to.include('Acme Bcc: eve@example.com')
          .and.not.match(/[\r\n]/)
        expect(mail.text).to.include(data.link).and.not.include('&amp;')
        expect(mail.html).to.include('https://id.example/verify-email?token=a&amp;b=&quot;&lt;').and.not.include('<b>')
        expect(mail.html).to.include(`lang="${locale}"`)
        for (const part of [mail.text, mail.html]) expect(part).to.not.match(/mail\.\w+|undefined|\{\w+\}|\[object/)
        const words = mail.html.replace(/<style>[\s\S]*?<\/style>|<[^>]+>/g, ' ')
        if (mail.text.includes(data.code)) expect(words).to.include(data.code)
        expect(mail.html).to.not.match(/<script|src=/)
      })
    }
  }
})

describe('pages over HTTP', () => {
  let server: Awaited<ReturnType<typeof serveSamples>>
  before(async () => {
    server = await serveSamples({
      acme: {
        name: 'Acme <img>',
        primaryColor: '#ffcc00',
        policyUri: 'javascript:alert(1)',
        tosUri: 'https://a.example/',
      },
    })
  })
  after(() => server.close())

  const get = (path: string, headers: Record<string, string> = {}) => fetch(server.url + path, { headers })

  it('carry their headers, with another nonce each time', async () => {
    const first = await get('/view/login')
    const second = await get('/view/login')
    const policy = first.headers.get('content-security-policy')!
    expect(policy).to.include("default-src 'none'").and.include("frame-ancestors 'none'").and.include("base-uri 'none'")
    expect(policy).to.not.include('unsafe').and.not.include('form-action')
    expect(policy).to.not.equal(second.headers.get('content-security-policy'))
    const nonce = /script-src 'nonce-([^']+)'/.exec(policy)![1]
    expect(await first.text()).to.include(`nonce="${nonce}"`)
    expect(first.headers.get('x-frame-options')).to.equal('DENY')
    expect(first.headers.get('x-content-type-options')).to.equal('nosniff')
    expect(first.headers.get('referrer-policy')).to.equal('same-origin')
    expect(first.headers.get('cache-control')).to.equal('no-store')
  })

  it('have a sample each', () => {
    const names = readdirSync(views, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.eta') && !/^(parts|mail)\/|^layout|\/frame\./.test(file))
      .map((file) => file.replace(/\.eta$/, ''))
    const shown = new Set(Object.keys(samples).map((name) => name.split('.')[0]))
    // submit goes on by itself before anybody could look at it.
    expect(names.filter((view) => !shown.has(view))).to.deep.equal(['submit'])
  })

  it('render every view in every language without a missing word', async () => {
    for (const locale of catalogues.keys()) {
      for (const name of Object.keys(samples)) {
        const response = await get(`/view/${name}?lang=${locale}`)
        expect(response.status, name).to.equal(200)
        const html = await response.text()
        expect(html, name).to.include(`<html lang="${locale}"`)
        // The demo page carries its messages as data, variables still open.
        const text = html.replace(/<script[\s\S]*?<\/script>/g, '').replace(/<[^>]+>/g, ' ')
        expect(text, `${locale} ${name}`).to.not.match(/\bundefined\b|\[object|\{\w+\}|\bNaN\b/)
      }
    }
  })

  it('keep the stop behind an address on its line', async () => {
    const sent = await (await get('/view/forgot-password-sent')).text()
    expect(sent).to.match(/<strong class="name">[^<]+@[^<]+,<\/strong> a message/)
    const consent = await (await get('/view/register')).text()
    expect(consent, 'links end before it').to.not.match(/[.,:]<\/a>/)
  })

  it('lead to the field that is wrong', async () => {
    for (const name of ['account/totp.wrong', 'account/delete.wrong', 'account/email.wrong', 'login.wrong'])
      expect(await (await get(`/view/${name}`)).text(), name).to.match(/<input[^>]* autofocus>/)
  })

  it('escape what others chose and link only to web addresses', async () => {
    const html = await (await get('/view/login?brand=acme')).text()
    expect(html).to.include('Acme &lt;img&gt;').and.not.include('javascript:')
    expect(html).to.include('href="https://a.example/"').and.include('--brand:#ffcc00')
  })

  it('choose the language: switch, then the app, then the kept choice, then the browser', async () => {
    const lang = async (path: string, headers: Record<string, string> = {}) =>
      /<html lang="(\w+)"/.exec(await (await get(path, headers)).text())![1]
    expect(await lang('/view/login')).to.equal('en')
    expect(await lang('/view/login', { 'accept-language': 'fr, de;q=0.8, en;q=0.5' })).to.equal('de')
    expect(await lang('/view/login', { cookie: 'gh_locale=de', 'accept-language': 'en' })).to.equal('de')
    expect(await lang('/view/login?ui_locales=en', { cookie: 'gh_locale=de' })).to.equal('en')
    expect(await lang('/view/login?ui_locales=fr+de', { 'accept-language': 'en' })).to.equal('de')
    const chosen = await get('/view/login?ui_locales=en&lang=de')
    const cookie = chosen.headers.getSetCookie().find((line) => line.startsWith('gh_locale'))!
    expect(cookie).to.include('HttpOnly').and.include('SameSite=Lax')
    const kept = { cookie: cookie.split(';')[0]! }
    expect(await lang('/view/login?ui_locales=en', kept), 'same wish of the app').to.equal('de')
    expect(await lang('/view/login?ui_locales=en-GB', kept), 'another app').to.equal('en')
  })

  describe('CSRF', () => {
    let cookie: string
    let token: string
    before(async () => {
      const page = await get('/view/login')
      cookie = page.headers.getSetCookie()[0]!.split(';')[0]!
      token = /name="_csrf" value="([^"]+)"/.exec(await page.text())![1]!
    })
    const post = async (headers: Record<string, string>, fields: Record<string, string>) => {
      const response = await fetch(server.url, { method: 'POST', headers, body: new URLSearchParams(fields) })
      return ((await response.json()) as { csrf: string }).csrf
    }

    it('lets our own form pass, with and without Fetch Metadata', async () => {
      expect(await post({ cookie }, { _csrf: token })).to.equal('good')
      expect(await post({ cookie, origin: server.url }, { _csrf: token })).to.equal('good')
    })

    it('refuses other origins, even with a good token', async () => {
      expect(await post({ cookie, origin: 'https://evil.example' }, { _csrf: token })).to.equal('origin')
      expect(await post({ cookie, origin: 'null' }, { _csrf: token })).to.equal('origin')
    })

    it('refuses a missing cookie and a token of another cookie', async () => {
      expect(await post({}, { _csrf: token })).to.equal('cookie')
      expect(await post({ cookie: 'gh_csrf=other' }, { _csrf: token })).to.equal('token')
      for (const _csrf of ['', 'a', 'a.b', `${token}x`, `${token}.x`, `x${token}`]) {
        expect(await post({ cookie }, { _csrf })).to.equal('token')
      }
      expect(await post({ cookie }, {})).to.equal('token')
    })
  })

  describe('assets', () => {
    it('may be kept for ever under the address with their hash', async () => {
      const response = await get(asset('gatehouse.css'))
      expect(response.headers.get('content-type')).to.include('text/css')
      expect(response.headers.get('cache-control')).to.include('immutable')
      // Not by fetch, which adds "no-cache" to a conditional request of its caller.
      const again = await new Promise<number | undefined>((answered) => {
        const headers = { 'if-none-match': response.headers.get('etag')! }
        request(server.url + asset('gatehouse.css'), { headers }, (answer) =>
          answered(answer.resume().statusCode),
        ).end()
      })
      expect(again).to.equal(304)
      const plain = await get('/assets/gatehouse.css')
      expect(plain.headers.get('cache-control')).to.equal('no-cache')
      expect((await plain.text()).length).to.equal((await response.text()).length)
    })

    it('are an allow-list', async () => {
      for (const path of [
        '/assets/../package.json',
        '/assets/%2e%2e/layout.eta',
        '/assets/swagger/package.json',
        '/assets/',
      ]) {
        expect((await get(path)).status, path).to.equal(404)
      }
      expect(() => asset('../layout.eta')).to.throw()
      expect((await get(asset('swagger/swagger-ui-bundle.js'))).status).to.equal(200)
    })
  })
})
