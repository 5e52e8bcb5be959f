/** What failures look like, for tests of every surface. */
import { expect } from 'chai'
import type { Answer } from './app.ts'

/** An RFC 9457 problem with this code; nothing of the database or the code behind it. */
export function expectProblem(answer: Answer, status: number, code?: string): void {
  expect(answer.status, JSON.stringify(answer.body)).to.equal(status)
  expect(answer.headers.get('content-type')).to.match(/^application\/problem\+json/)
  expect(answer.body).to.include.keys('type', 'title', 'status', 'detail', 'code', 'request_id')
  expect(answer.body.status).to.equal(status)
  expect(answer.body.type).to.equal(`urn:gatehouse:error:${answer.body.code.toLowerCase().replaceAll('_', '-')}`)
  if (code) expect(answer.body.code).to.equal(code)
  expectNoInsides(answer)
}

/** The failure envelope of sso-api. */
export function expectSsoFailure(answer: Answer, status: number, code?: string): void {
  expect(answer.status, JSON.stringify(answer.body)).to.equal(status)
  expect(answer.headers.get('content-type')).to.match(/^application\/json/)
  expect(answer.body.success).to.equal(false)
  expect(answer.body.error).to.include.keys('code', 'message')
  expect(answer.body).to.not.have.property('data')
  if (code) expect(answer.body.error.code).to.equal(code)
  expectNoInsides(answer)
}

export function expectNoInsides(answer: Answer): void {
  const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body)
  expect(text).to.not.match(
    /(select|insert into|update) [\w"]+|relation "|violates|SQLSTATE|node_modules|\.ts:\d|\bat \w+ \(/i,
  )
}
