import { expect } from 'chai'
import { from } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { expectNoInsides } from '../support/problems.ts'
import { allRows, type Bound, nameOf, pathOf } from '../support/rows.ts'

const deep = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
const json = { 'content-type': 'application/json' }
const form = { 'content-type': 'application/x-www-form-urlencoded' }

/** Bodies nobody in their right mind sends; each with its headers. */
const bodies: Record<string, { headers: Record<string, string>; body: string | Uint8Array<ArrayBuffer> }> = {
  'not JSON': { headers: json, body: '{"email":' },
  array: { headers: json, body: '[1,2,3]' },
  'a string': { headers: json, body: '"hello"' },
  null: { headers: json, body: 'null' },
  'a form': { headers: form, body: 'email=a@example.com&password=x' },
  'no type': { headers: { 'content-type': '' }, body: '{}' },
  'invalid UTF-8': { headers: json, body: new Uint8Array([0x7b, 0x22, 0x61, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]) },
  'deep objects': { headers: json, body: deep(20_000) },
  'deep arrays with U+0000': {
    headers: json,
    body: `{"email":"\\u0000","x":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
  },
  '300 KiB': { headers: json, body: `{"email":"${'x'.repeat(300 * 1024)}"}` },
}
/** Values put into every known key by itself, and these with more into all at once. */
const telling: unknown[] = [null, 1e308, '', 'x'.repeat(100_000), 'a\u0000b', '\ud800', ['a', { b: 'c' }], {}]
const values: unknown[] = [
  ...telling,
  true,
  -1,
  '\u202e\ufeff💥',
  `' or 1=1; --`,
  '%00',
  [],
  { $ne: 1 },
  { toString: 1, constructor: { prototype: {} } },
]

describe('garbage', () => {
  let app: TestApp
  let user: string
  let admin: string
  const faults: string[] = []
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1', LOG_LEVEL: 'silent' })
    user = (await app.person()).accessToken
    admin = await app.admin()
  })
  after(() => app.close())

  async function send(
    what: string,
    method: string,
    path: string,
    init: { headers?: Record<string, string>; body?: any } = {},
  ) {
    const response = await fetch(app.url + path, {
      method,
      redirect: 'manual',
      headers: { ...from(), ...init.headers },
      ...(init.body !== undefined && { body: init.body }),
    })
    const body = await response.text()
    if (response.status >= 500)
      faults.push(`${response.status} ${method} ${path.slice(0, 80)}: ${what}: ${body.slice(0, 200)}`)
    if (/json/.test(response.headers.get('content-type') ?? '')) {
      expectNoInsides({ status: response.status, headers: response.headers, body })
    }
    return response
  }
  const clean = () => {
    expect(faults.splice(0).join('\n')).to.equal('')
  }
  const withAuth = (bound: Bound) => ({ authorization: `Bearer ${bound.admin || bound.row.permission ? admin : user}` })
  /** Rows that would end the session the other calls need. */
  const harmful = /logout|revoke-all|account\/sessions$/
  const rows = allRows.filter(({ row }) => !harmful.test(row.path))
  /** Rows of one operation on one surface differ in their path only. */
  const distinct = [...new Map(rows.map((bound) => [`${bound.row.op.id} ${bound.surface.id}`, bound])).values()]
  const writes = distinct.filter(({ row }) => row.method !== 'GET')
  /** A few at a time: the database has a core of its own. */
  async function each(all: Bound[], visit: (bound: Bound) => Promise<void>): Promise<void> {
    const waiting = [...all]
    const work = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await visit(next)
    }
    await Promise.all(Array.from({ length: 6 }, work))
  }

  it('in bodies is refused by every row, never with a fault', async () => {
    await each(writes, async (bound) => {
      for (const [what, { headers, body }] of Object.entries(bodies)) {
        const response = await send(what, bound.row.method, pathOf(bound), {
          headers: { ...headers, ...withAuth(bound) },
          body,
        })
        // Files may be larger.
        if (what === '300 KiB' && !bound.row.op.upload) expect(response.status, nameOf(bound)).to.equal(413)
      }
    })
    clean()
  }).timeout(180_000)

  it('in every field is refused, never with a fault', async () => {
    await each(writes, async (bound) => {
      const keys = Object.keys(bound.row.op.input.properties as object).map((key) => bound.surface.name(undefined, key))
      for (const value of values) {
        const whole = Object.fromEntries(keys.map((key) => [key, value]))
        const headers = { ...json, ...withAuth(bound) }
        await send(`all fields ${JSON.stringify(value).slice(0, 40)}`, bound.row.method, pathOf(bound), {
          headers,
          body: JSON.stringify(whole),
        })
      }
      const polluted = '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}'
      await send('__proto__', bound.row.method, pathOf(bound), {
        headers: { ...json, ...withAuth(bound) },
        body: polluted,
      })
      expect(({} as any).admin).to.equal(undefined)
    })
    clean()
  }).timeout(180_000)

  it('one field at a time beside a good example is refused, never with a fault', async () => {
    await each(writes, async (bound) => {
      const { example } = bound.row.op as { example?: Record<string, unknown> }
      if (!example) return
      const good = Object.fromEntries(
        Object.entries(example).map(([key, value]) => [bound.surface.name(undefined, key), value]),
      )
      const keys = Object.keys(bound.row.op.input.properties as object).map((key) => bound.surface.name(undefined, key))
      for (const key of keys) {
        for (const value of telling) {
          const body = JSON.stringify({ ...good, [key]: value })
          await send(`${key} ${JSON.stringify(value).slice(0, 40)}`, bound.row.method, pathOf(bound), {
            headers: { ...json, ...withAuth(bound) },
            body,
          })
        }
      }
    })
    clean()
  }).timeout(180_000)

  it('in paths and queries is refused, never with a fault', async () => {
    const odd = [
      '%00',
      'a%00b',
      '%ff%fe',
      '%E0%A4%A',
      '..%2f..%2fetc',
      'x'.repeat(3000),
      `'"><script>`,
      '%F0%9F%92%A9',
      '0',
      '-',
      '%2e%2e',
      "1'%20or%20'1'='1",
    ]
    await each(rows, async (bound) => {
      for (const value of odd) {
        if (bound.row.path.includes(':'))
          await send('path', bound.row.method, pathOf(bound, value), { headers: withAuth(bound) })
        if (bound.row.method !== 'GET' || !distinct.includes(bound)) continue
        const known = Object.keys(bound.row.op.input.properties as object).map((key) =>
          bound.surface.name(undefined, key),
        )
        for (const key of [...known, '%00']) {
          await send(`query ${key}`, 'GET', `${pathOf(bound)}?${key}=${value}`, { headers: withAuth(bound) })
        }
        await send('query of everything', 'GET', `${pathOf(bound)}?constructor=${value}&__proto__=${value}`, {
          headers: withAuth(bound),
        })
        await send('query twice', 'GET', `${pathOf(bound)}?limit=1&limit=2&limit[a]=3`, { headers: withAuth(bound) })
      }
    })
    clean()
  }).timeout(180_000)

  it('as credentials is 401, never a fault', async () => {
    const [head, body] = user.split('.')
    const odd = [
      'Bearer',
      'Bearer ',
      'Bearer a b',
      'Bearer eyJ.eyJ.x',
      `Bearer ${head}.${body}.`,
      `Bearer ${head}.${body}.AAAA`,
      'Bearer at_x',
      'Bearer rt_x',
      'Bearer null',
      `Bearer ${'x'.repeat(10_000)}`,
      'Digest x',
      `bearer ${user}x`,
      `Bearer ${user}=`,
    ]
    for (const authorization of odd) {
      const response = await send(authorization, 'GET', '/v1/auth/me', { headers: { authorization } })
      expect(response.status, authorization).to.equal(401)
    }
    clean()
  })

  it('at the OAuth endpoints is refused, never with a fault', async () => {
    const names = [
      'grant_type',
      'client_id',
      'client_secret',
      'code',
      'redirect_uri',
      'refresh_token',
      'token',
      'scope',
      'resource',
      'code_verifier',
      'state',
      'nonce',
      'prompt',
      'max_age',
      'claims',
      'request',
      'request_uri',
      'id_token_hint',
      'login_hint',
      'ui_locales',
      'client_assertion',
      'client_assertion_type',
      'post_logout_redirect_uri',
      'response_mode',
      'dpop_jkt',
      'code_challenge',
    ]
    const odd = [
      '',
      '\u0000',
      'a\u0000b',
      '\ud800',
      'x'.repeat(9000),
      '[]',
      '{"a":',
      '-1',
      'eyJhbGciOiJub25lIn0.e30.',
      '💥',
      'openid',
      'refresh_token',
      'gatehouse',
      'urn:x',
    ]
    const base = {
      client_id: 'gatehouse',
      response_type: 'code',
      grant_type: 'refresh_token',
      redirect_uri: 'https://x.example.com',
      scope: 'openid',
      code_challenge: 'x'.repeat(43),
      code_challenge_method: 'S256',
    }
    for (const path of ['token', 'introspect', 'revoke', 'par', 'authorize', 'logout', 'userinfo']) {
      for (const name of names) {
        for (const value of odd) {
          const params = new URLSearchParams({ ...base, [name]: value }).toString()
          await send(`${name}=${value.slice(0, 20)}`, 'POST', `/oauth/${path}`, { headers: form, body: params })
          if (/authorize|logout/.test(path) && value.length < 5000)
            await send(`${name}=${value.slice(0, 20)}`, 'GET', `/oauth/${path}?${params}`)
        }
      }
      for (const [what, init] of Object.entries(bodies)) await send(what, 'POST', `/oauth/${path}`, init)
      await send('large form', 'POST', `/oauth/${path}`, {
        headers: form,
        body: `grant_type=${'x'.repeat(300 * 1024)}`,
      })
      for (const authorization of [
        'Basic',
        'Basic !!!',
        'Basic YTpi',
        'Basic AAAA',
        `Basic ${'x'.repeat(8000)}`,
        'Bearer x',
        'DPoP x',
      ]) {
        await send(authorization, 'POST', `/oauth/${path}`, {
          headers: { ...form, authorization, dpop: 'x' },
          body: 'token=x&grant_type=client_credentials',
        })
      }
      await send('delete', 'DELETE', `/oauth/${path}`)
    }
    for (const path of [
      '/oauth/',
      '/oauth/authorize/nothing',
      '/oauth/authorize/%00',
      '/oauth/%E0%A4%A',
      '/.well-known/openid-configuration/t/%00',
      '/.well-known/openid-configuration/t/none',
      '/t/',
      '/t/none/',
      '/t/%00/x',
      '/t//',
      '//',
      '/%',
      '/?%00',
    ]) {
      await send('path', 'GET', path)
    }
    clean()
  }).timeout(180_000)

  it('at the pages is refused, never with a fault', async () => {
    const pages = [
      '/interaction/x',
      '/interaction/x/register',
      '/interaction/x/consent',
      '/interaction/x/account',
      '/interaction/x/abort',
      '/verify-email',
      '/forgot-password',
      '/reset-password',
      '/set-up',
      '/',
      '/docs',
      '/demo',
      '/dev/mailbox',
      '/dev/mailbox/%00',
      '/dev/mailbox/x',
    ]
    for (const path of pages) {
      for (const value of ['', '%00', 'x'.repeat(3000), '%E0%A4%A', '%ff']) {
        await send('page', 'GET', `${path}?token=${value}&interaction=${value}&ui_locales=${value}`, {
          headers: { accept: 'text/html', cookie: `gh_session=${value}; gh_interaction=x; csrf=%00` },
        })
        await send('page', 'POST', `${path}?token=${value}`, {
          headers: { ...form, accept: 'text/html' },
          body: `email=${value}&password=${value}&token=${value}&csrf=${value}`,
        })
      }
      for (const [what, init] of Object.entries(bodies))
        await send(what, 'POST', path, { ...init, headers: { ...init.headers, accept: 'text/html' } })
    }
    clean()
  }).timeout(180_000)

  it('in headers changes nothing', async () => {
    for (const [name, value] of [
      ['x-forwarded-for', '1.2.3'],
      ['x-forwarded-for', 'fe80::1%eth0'],
      ['x-forwarded-for', ':::'],
      ['x-forwarded-for', `${'1.1.1.1,'.repeat(500)}`],
      ['user-agent', 'ÿþ\u0080'.repeat(300)],
      ['accept-language', `${'x-'.repeat(300)},*;q=0,de;q=x`],
      ['accept', 'image/*'],
      ['content-length', '0'],
      ['x-request-id', '../../x'],
      ['host', 'evil.example.com'],
    ]) {
      const response = await send(`${name}: ${value!.slice(0, 30)}`, 'POST', '/v1/auth/login', {
        headers: { ...json, [name!]: value! },
        ...(name !== 'content-length' && { body: '{"email":"nobody@example.com","password":"Some-Password-1"}' }),
      })
      expect(response.status, `${name}: ${value}`).to.be.oneOf([400, 401])
    }
    clean()
  })
})
