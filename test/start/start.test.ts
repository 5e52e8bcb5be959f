/** Starting, stopping and starting again, as a newcomer and an operator see it. */
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { register, signIn } from './people.ts'
import {
  ADMIN,
  cleanUp,
  filesIn,
  freePort,
  isAlive,
  launch,
  type Program,
  postmasterOf,
  residentMB,
  runToEnd,
  temporary,
  until,
} from './program.ts'

describe('start and stop', function () {
  this.timeout(60_000)
  after(cleanUp)

  it('cold: serves within 10 s, stays below 150 MB, says where everything is; again within 3 s, with Ada still known', async () => {
    const dataDir = temporary()
    // As a fresh clone: nothing compiled yet, and the command of the README.
    const env = { NODE_COMPILE_CACHE: temporary(), ADMIN_EMAIL: undefined, ADMIN_PASSWORD: undefined }
    const cold = await launch({ dataDir, env, command: ['npm', 'start'] })
    expect(cold.took).to.be.below(10_000)
    await sleep(2500)
    expect(residentMB(cold.pid)).to.be.below(150)
    await until('the banner', 2000, () => cold.output().includes('Gatehouse is ready'))
    for (const part of [`Issuer     ${cold.url}\n`, '/set-up?token=', '/docs', '/demo', '/dev/mailbox'])
      expect(cold.output()).to.contain(part)
    // npm has its own opinion of what is set on this machine.
    const ours = cold.output().replace(/^npm .*$/gm, '')
    expect(ours).to.not.match(/warn|deprecat|experimental/i)
    const email = await register(cold)
    const setUp = /set-up\?token=\S+/.exec(cold.output())![0]
    expect((await cold.call('GET', `/${setUp}`)).status).to.equal(200)
    const postmaster = postmasterOf(dataDir)!
    await cold.stop()
    expect(isAlive(postmaster)).to.equal(false)
    expect(postmasterOf(dataDir)).to.equal(undefined)

    let warm = await launch({ dataDir, env, port: cold.port })
    if (warm.took > 3000) {
      // The machine may have been busy with something else.
      await warm.stop()
      warm = await launch({ dataDir, env, port: cold.port })
    }
    expect(warm.took).to.be.below(3000)
    await signIn(warm, email)
    await sleep(2000)
    expect(residentMB(warm.pid)).to.be.below(150)
    expect(await warm.stop()).to.equal(0)
  })

  it('on SIGTERM answers the request in flight, takes no new one, and stops the database last', async () => {
    const dataDir = temporary()
    const program = await launch({ dataDir })
    const postmaster = postmasterOf(dataDir)!
    const slow = halfSent(program)
    await sleep(200)
    process.kill(program.pid, 'SIGTERM')
    await until('the port is closed', 3000, () =>
      program.call('GET', '/health').then(
        () => false,
        () => true,
      ),
    )
    expect(isAlive(postmaster)).to.equal(true)
    slow.finish()
    expect(await slow.status).to.equal(401)
    const since = Date.now()
    expect(await program.ended).to.equal(0)
    expect(Date.now() - since).to.be.below(3000)
    expect(isAlive(postmaster)).to.equal(false)
  })

  it('does not wait for idle connections, and takes Ctrl+C twice', async () => {
    const dataDir = temporary()
    const program = await launch({ dataDir })
    await program.call('GET', '/health', { headers: { connection: 'keep-alive' } })
    const postmaster = postmasterOf(dataDir)!
    const since = Date.now()
    // What a terminal does: to the whole group. npm passes it on once more.
    process.kill(-program.child.pid!, 'SIGINT')
    process.kill(program.pid, 'SIGINT')
    expect(await program.ended).to.equal(0)
    expect(Date.now() - since).to.be.below(3000)
    expect(isAlive(postmaster)).to.equal(false)
    expect(program.output()).to.not.match(/error/i)
  })

  it('ends a start that is interrupted without leaving a database behind', async () => {
    const dataDir = temporary()
    const program = await launch({ dataDir, early: true })
    await until('the database starts', 15_000, () => postmasterOf(dataDir) !== undefined)
    process.kill(program.pid, 'SIGINT')
    const postmaster = postmasterOf(dataDir)!
    await program.ended
    expect(isAlive(postmaster)).to.equal(false)
    const again = await launch({ dataDir })
    expect(await again.stop()).to.equal(0)
  })

  it('starts again after kill -9, with the server it left running', async () => {
    const dataDir = temporary()
    const first = await launch({ dataDir })
    const email = await register(first)
    await first.stop('SIGKILL')
    expect(isAlive(postmasterOf(dataDir)!)).to.equal(true)
    const second = await launch({ dataDir, port: first.port })
    await signIn(second, email)
    expect(await second.stop()).to.equal(0)
    expect(postmasterOf(dataDir)).to.equal(undefined)
  })

  it('says which port is taken and ends, with its database, also with WORKERS', async () => {
    const port = await freePort()
    const other = createServer().listen(port, 'localhost')
    await once(other, 'listening')
    for (const WORKERS of ['1', '2']) {
      const dataDir = temporary()
      const program = await launch({ dataDir, port, early: true, env: { WORKERS } })
      expect(await program.ended).to.equal(1)
      expect(program.output()).to.contain(`port ${port} is in use`)
      expect(program.output()).to.not.contain('is ready')
      expect(postmasterOf(dataDir)).to.equal(undefined)
    }
    other.close()
  })

  it('names another Gatehouse on the same DATA_DIR and leaves it alone', async () => {
    const dataDir = temporary()
    const first = await launch({ dataDir })
    const second = await launch({ dataDir, early: true })
    expect(await second.ended).to.equal(1)
    expect(second.output()).to.contain('in use by another Gatehouse')
    expect((await first.call('GET', '/health')).status).to.equal(200)
    await first.stop()
  })

  it('migrates by npm run migrate and ends; npm run dev serves', async () => {
    const dataDir = temporary()
    const migrated = await runToEnd(['npm', 'run', 'migrate'], { DATA_DIR: dataDir })
    expect(migrated.code, migrated.output).to.equal(0)
    expect(migrated.output).to.contain('The schema is up to date')
    expect(postmasterOf(dataDir)).to.equal(undefined)
    expect(filesIn(join(dataDir, 'postgres'))).to.include('cluster')
    const program = await launch({ dataDir, command: ['npm', 'run', 'dev'] })
    await signIn(program, ADMIN.email, ADMIN.password)
    process.kill(-program.child.pid!, 'SIGINT')
    await program.ended
    await until('the database ends', 5000, () => postmasterOf(dataDir) === undefined)
  })
})

/** A login of which the last byte is missing until finish(). */
function halfSent(program: Program): { finish(): void; status: Promise<number> } {
  const body = JSON.stringify({ email: 'nobody@example.com', password: 'Whatever-Password-1!' })
  const { hostname, port } = new URL(program.url)
  const sent = request({
    hostname,
    port,
    method: 'POST',
    path: '/v1/auth/login',
    headers: { 'content-type': 'application/json', 'content-length': body.length },
  })
  sent.write(body.slice(0, -1))
  const status = once(sent, 'response').then(([response]) => {
    response.resume()
    return response.statusCode
  })
  return { finish: () => sent.end(body.slice(-1)), status }
}
