/** Every limited row says what is left, by both sets of headers; every other says nothing. Taken from the rows. */
import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { someone } from '../support/roles.ts'
import { allRows, nameOf, pathOf } from '../support/rows.ts'

describe('headers of limits', () => {
  let app: TestApp
  let token: string
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    token = (await someone(app, ROLE.superAdmin)).accessToken
  })
  after(() => app.close())

  it('are sent by every row that has one, with its own numbers', async () => {
    const wrong: string[] = []
    let limited = 0
    for (const bound of allRows.filter(({ surface }) => surface.id !== 'oauth')) {
      const { method, op } = bound.row
      if (!op.limit && method === 'GET') continue
      // No JSON: nothing is done.
      const { headers } = await fetch(app.url + pathOf(bound), {
        method,
        redirect: 'manual',
        headers: { ...from(), authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(method !== 'GET' && { body: '{"no' }),
      })
      const said = [
        headers.get('ratelimit-policy'),
        headers.get('x-ratelimit-limit'),
        headers.get('x-ratelimit-remaining'),
      ]
      const left = headers.get('ratelimit')
      const reset = Number(headers.get('x-ratelimit-reset')) - Date.now() / 1000
      if (!op.limit) {
        if (said.some((value) => value !== null) || left !== null) wrong.push(`${nameOf(bound)} has none: ${said}`)
        continue
      }
      limited += 1
      const { name, count, seconds } = op.limit
      const should = [`"${name}";q=${count};w=${seconds}`, String(count), String(count - 1)]
      if (String(said) !== String(should)) wrong.push(`${nameOf(bound)}: ${said}, should be ${should}`)
      const [, remaining, wait] = /^"[^"]+";r=(\d+);t=(\d+)$/.exec(left ?? '') ?? []
      if (Number(remaining) !== count - 1 || Number(wait) > seconds || reset > seconds + 1)
        wrong.push(`${nameOf(bound)}: ${left}, reset in ${reset} s`)
    }
    expect(wrong.join('\n')).to.equal('')
    expect(limited).to.be.greaterThan(30)
  }).timeout(60_000)
})
