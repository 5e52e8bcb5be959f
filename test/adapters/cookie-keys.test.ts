import { createHmac } from 'node:crypto'
import { expect } from 'chai'
import { cookieKeys } from '../../adapters/cookie-keys.ts'

describe('cookie keys', () => {
  const keys = cookieKeys('a secret')

  it('make the signatures of keygrip, so that cookies of earlier versions stay good', () => {
    const digest = createHmac('sha1', 'a secret').update('gh_session=abc').digest('base64url')
    expect(keys.sign('gh_session=abc')).to.equal(digest)
    expect(keys.index('gh_session=abc', digest)).to.equal(0)
  })

  it('refuse what was signed with another key, changed, cut or lengthened', () => {
    const digest = keys.sign('gh_session=abc')
    for (const bad of [
      cookieKeys('another').sign('gh_session=abc'),
      keys.sign('gh_session=abd'),
      digest.slice(1),
      `${digest}x`,
      '',
    ]) {
      expect(keys.index('gh_session=abc', bad), bad).to.equal(-1)
      expect(keys.verify('gh_session=abc', bad), bad).to.equal(false)
    }
  })
})
