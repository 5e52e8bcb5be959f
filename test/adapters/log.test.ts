/** Nothing secret reaches the log, whatever it is nested in; development lines stay readable. */
import { expect } from 'chai'
import { createLogger } from '../../adapters/log.ts'

function capture(pretty = false) {
  const lines: string[] = []
  const log = createLogger({ level: 'debug', pretty, stream: { write: (line: string) => void lines.push(line) } })
  return { log, text: () => lines.join(''), last: () => JSON.parse(lines.at(-1) ?? '{}') }
}

describe('log', () => {
  it('hides secrets by name at any depth and keeps the rest', () => {
    const { log, text, last } = capture()
    log.info(
      {
        req: {
          headers: { authorization: 'Bearer s3cret', Cookie: 's3cret', 'set-cookie': ['s3cret'], host: 'a.example' },
        },
        body: { email: 'a@b.c', password: 's3cret', list: [{ client_secret: 's3cret', refreshToken: 's3cret' }] },
        code: 's3cret',
        mfa_token: 's3cret',
        token_type: 'Bearer',
        mfa_required: true,
      },
      'hello',
    )
    expect(text()).not.to.contain('s3cret')
    expect(last()).to.include({ level: 'info', msg: 'hello', token_type: 'Bearer', mfa_required: true })
    expect(last().req.headers.host).to.equal('a.example')
    expect(last().body.email).to.equal('a@b.c')
  })

  it('hides secrets inside URLs and header-like strings, of errors and of child loggers too', () => {
    const { log, text } = capture()
    log.child({ password: 's3cret' }).warn({ url: '/cb?code=s3cret&state=kept', header: 'Basic czNjcmV0OnMzY3JldA==' })
    log.error({ err: new Error('GET https://u:s3cret@h.example/?token=s3cret failed') })
    expect(text()).not.to.contain('s3cret').and.not.to.contain('czNjcmV0')
    expect(text()).to.contain('state=kept').and.to.contain('h.example')
  })

  it('writes errors with code and cause but without rows of the database', () => {
    const { log, last, text } = capture()
    const pgError = Object.assign(new Error('duplicate key'), { code: '23505', detail: 'Key (email)=(a@b.c)' })
    log.error({ err: new Error('outer', { cause: pgError }) }, 'failed')
    expect(last().err.cause.code).to.equal('23505')
    expect(text()).not.to.contain('a@b.c')
  })

  it('does not change what is logged', () => {
    const body = { password: 'kept' }
    capture().log.info({ body })
    expect(body.password).to.equal('kept')
  })

  it('is one line in development, with a stack below', () => {
    const { log, text } = capture(true)
    log.info({ port: 3000, path: 'a b' }, 'listening')
    expect(text()).to.match(/^\d\d:\d\d:\d\d info {2}listening port=3000 path="a b"\n$/)
    log.error({ err: new Error('boom') }, 'failed')
    expect(text()).to.contain('    Error: boom')
  })
})
