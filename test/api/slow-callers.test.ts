/** Who sends or reads so slowly that a connection would be held for ever is cut off; who is only slow is not. */
import { once } from 'node:events'
import { get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { patience } from '../../server/kernel/patience.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'

const SHORT = 700

describe('slow callers', () => {
  let app: TestApp
  let token: string
  const usual = { ...patience }
  before(async () => {
    expect(usual).to.deep.equal({ body: 30_000, upload: 30_000, download: 60_000, leave: 10_000 })
    app = await startApp()
    token = await app.admin()
  })
  after(() => app.close())
  afterEach(() => {
    Object.assign(patience, usual)
  })

  /** A request whose body comes as the test sends it. */
  async function begin(path: string, type: string, length: number): Promise<{ socket: Socket; answer: () => string }> {
    const { hostname, port } = new URL(app.url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    let text = ''
    socket.on('data', (chunk) => (text += chunk)).on('error', () => {})
    const head = [`POST ${path} HTTP/1.1`, `Host: ${hostname}:${port}`, `Authorization: Bearer ${token}`]
    socket.write([...head, `Content-Type: ${type}`, `Content-Length: ${length}`, '', ''].join('\r\n'))
    return { socket, answer: () => text }
  }
  const closed = async (socket: Socket, within: number): Promise<number> => {
    const started = Date.now()
    if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(within) })
    return Date.now() - started
  }

  it('of a body have so long from its first byte to its last, however steadily they drip', async () => {
    patience.body = SHORT
    const body = JSON.stringify({ name: 'dripping' })
    const { socket, answer } = await begin('/v1/admin/roles', 'application/json', body.length)
    const drip = (async () => {
      for (const letter of body.slice(0, -1)) {
        if (socket.destroyed || answer() !== '') return
        socket.write(letter)
        await pause(100)
      }
    })()
    expect(await closed(socket, 10_000)).to.be.within(SHORT - 100, 8000)
    await drip
    expect(answer())
      .to.match(/^HTTP\/1\.1 408 /)
      .and.match(/\r\nConnection: close\r\n/)
    expect(await app.db('roles').where({ name: 'dripping' })).to.deep.equal([])
  })

  it('of a body are served when they are only slow', async () => {
    patience.body = 5000
    const body = JSON.stringify({ name: 'patient' })
    const { socket, answer } = await begin('/v1/admin/roles', 'application/json', body.length)
    for (const part of [body.slice(0, 5), body.slice(5, 9), body.slice(9)]) {
      await pause(150)
      socket.write(part)
    }
    await eventually(async () => expect(answer()).to.match(/^HTTP\/1\.1 201 /))
    expect(await app.db('roles').where({ name: 'patient' })).to.have.length(1)
    socket.destroy()
  })

  it('of an upload may take longer than a body, but not stand still', async () => {
    Object.assign(patience, { body: 400, upload: 900 })
    const lines = Array.from({ length: 6 }, (_, i) => `{"email":"slow${i}@example.com"}\n`)
    const length = lines.join('').length
    const steady = await begin('/v1/admin/users/import', 'application/x-ndjson', length)
    for (const line of lines) {
      steady.socket.write(line)
      await pause(200)
    }
    await eventually(async () => expect(steady.answer()).to.match(/^HTTP\/1\.1 20[02] /))
    await eventually(async () => expect(await people('slow')).to.equal(6))
    steady.socket.destroy()

    const stalled = await begin('/v1/admin/users/import', 'application/x-ndjson', length)
    stalled.socket.write(lines[0]!.replace('slow', 'stalled'))
    expect(await closed(stalled.socket, 10_000)).to.be.within(500, 8000)
    expect(stalled.answer()).to.not.match(/^HTTP\/1\.1 2/)
    expect(await people('stalled')).to.equal(0)
  })
  const people = async (prefix: string) =>
    Number((await app.db('users').where('email', 'like', `${prefix}%`).count({ n: '*' }))[0]!.n)

  it('of a download are cut off when they read nothing, and served when they read slowly', async () => {
    // More than the buffers between two sockets of one machine hold.
    await app.db.raw(
      `insert into users (tenant_id, id, email, email_key, attributes)
       select tenant_id, gen_random_uuid(), n, n, jsonb_build_object('note', repeat('x', 2000))
       from (select t.id as tenant_id, 'bulk' || i || '@example.com' as n
             from tenants t, generate_series(1, 12000) i where t.slug = 'default') x`,
    )
    patience.download = SHORT
    const ask = async () => {
      const headers = { authorization: `Bearer ${token}` }
      const request = get(`${app.url}/v1/admin/users/export?format=ndjson`, { headers, agent: false })
      const [answer] = await once(request, 'response')
      expect(answer.statusCode).to.equal(200)
      return answer
    }
    const slow = await ask()
    let size = 0
    for await (const chunk of slow) {
      size += chunk.length
      if (size < 2_000_000) await pause(30)
    }
    expect(slow.complete).to.equal(true)
    expect(size).to.be.greaterThan(24_000_000)

    const idle = await ask()
    idle.pause()
    await pause(SHORT * 4)
    const seen = await (async () => {
      let read = 0
      for await (const chunk of idle) read += chunk.length
      return read
    })().catch((error) => error.code)
    expect(idle.complete, String(seen)).to.equal(false)
    expect(seen).to.be.oneOf(['ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE'])
  }).timeout(60_000)
})
