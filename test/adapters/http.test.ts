/** The guarded client against servers that try to lead it astray. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { mayConnect, parseNetwork } from '../../adapters/addresses.ts'
import { createOutbound, OutboundRefused } from '../../adapters/http.ts'

const refused = (promise: Promise<unknown>) =>
  promise.then(
    () => 'passed',
    (error) => (error instanceof OutboundRefused ? error.reason : `other: ${error}`),
  )

describe('outbound addresses', () => {
  const forbidden = [
    ...['127.0.0.1', '127.9.9.9', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '0.0.0.0', '0.1.2.3'],
    ...['169.254.169.254', '169.254.0.1', '100.64.0.1', '100.100.100.200', '224.0.0.1', '255.255.255.255', '240.0.0.1'],
    ...['192.0.0.192', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '168.63.129.16'],
    ...['::', '::1', 'fe80::1', 'fc00::1', 'fd00:ec2::254', 'fec0::1', 'ff02::1', '2001:db8::1', '100::1', '::7f00:1'],
    ...['::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:7f00:1', '::ffff:0:127.0.0.1', '::127.0.0.1'],
    ...['64:ff9b::7f00:1', '64:ff9b::a9fe:a9fe', '64:ff9b:1::808:808', '2002:7f00:1::', '2002:a00:1::1', '2001:0:1::1'],
    ...['2a00::5efe:10.0.0.1', '2a00::200:5efe:7f00:1', 'not-an-address', '', '1.2.3', 'fe80::1%eth0'],
  ]
  const open = ['8.8.8.8', '1.1.1.1', '172.32.0.1', '192.169.0.1', '100.128.0.1', '2606:4700::1111', '2a00:1450::1']
  const embedding = ['::ffff:8.8.8.8', '64:ff9b::808:808', '2002:808:808::1']

  it('are public ones, also when embedded', () => {
    for (const address of forbidden) expect(mayConnect(address, []), address).to.equal(false)
    for (const address of [...open, ...embedding]) expect(mayConnect(address, []), address).to.equal(true)
  })

  it('are those that the operator allows', () => {
    const allow = ['10.1.0.0/16', '127.0.0.1', 'fd00:1::/32'].map(parseNetwork)
    for (const address of ['10.1.2.3', '127.0.0.1', 'fd00:1::5', '::ffff:10.1.0.1', '64:ff9b::a01:1']) {
      expect(mayConnect(address, allow), address).to.equal(true)
    }
    for (const address of ['10.2.0.1', '127.0.0.2', 'fd00:2::1', '169.254.169.254']) {
      expect(mayConnect(address, allow), address).to.equal(false)
    }
    expect(() => parseNetwork('10.0.0.0/99')).to.throw(TypeError, '10.0.0.0/99')
  })
})

describe('outbound client', function () {
  this.timeout(10_000)
  let server: Server
  let other: Server
  let base: string
  let otherBase: string
  let seen: { url: string; method: string; headers: IncomingHttpHeaders; body: string }[] = []
  const outbound = createOutbound({ allow: ['127.0.0.1/32'] })
  const strict = createOutbound({ allow: [] })

  before(async () => {
    server = await serve()
    other = await serve()
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    otherBase = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
  })
  beforeEach(() => (seen = []))
  after(async () => {
    await outbound.close()
    await strict.close()
    for (const one of [server, other]) {
      one.closeAllConnections()
      one.close()
    }
  })

  it('fetches what is allowed', async () => {
    const body = new URLSearchParams({ a: 'b c' })
    const response = await outbound.fetch(`${base}/echo`, { method: 'POST', body, headers: { authorization: 'x' } })
    expect(response.status).to.equal(200)
    expect(response.headers.get('x-test')).to.equal('yes')
    expect(await response.json()).to.deep.equal({ body: 'a=b+c' })
    expect(seen[0]?.headers).to.include({
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
      authorization: 'x',
    })
  })

  it('refuses our own network by address, however it is written', async () => {
    const port = base.split(':').at(-1)
    const hosts = [
      '127.0.0.1',
      '127.1',
      '0x7f000001',
      '2130706433',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '0',
      '169.254.169.254',
    ]
    for (const host of hosts) expect(await refused(strict.fetch(`http://${host}:${port}/`)), host).to.equal('address')
    expect(seen).to.have.length(0)
  })

  it('refuses our own network by name, where it counts what the name resolves to', async () => {
    const port = base.split(':').at(-1)
    expect(await refused(strict.fetch(`http://LOCALHOST:${port}/`))).to.equal('address')
    expect(seen).to.have.length(0)
    const response = await outbound.fetch(`http://localhost:${port}/`)
    expect(response.status).to.equal(200)
  })

  it('keeps calls that may be public only to public addresses, by what DNS says and without waiting for the system', async () => {
    const port = base.split(':').at(-1)
    const asked: string[] = []
    const both = createOutbound({
      allow: ['127.0.0.1/32'],
      resolve: () => new Promise(() => {}),
      ask: async (hostname) => {
        asked.push(hostname)
        return hostname === 'public.example'
          ? [{ address: '8.8.8.8', family: 4 }]
          : [{ address: '127.0.0.1', family: 4 }]
      },
    })
    const publicOnly = true
    for (const host of ['127.0.0.1', 'inside.example'])
      expect(await refused(both.fetch(`http://${host}:${port}/`, { publicOnly })), host).to.equal('address')
    expect((await both.fetch(`${base}/`)).status).to.equal(200)
    expect(seen).to.have.length(1)
    const place = (host: string, options = {}) => both.locate(new URL(`https://${host}/`), options)
    expect(await place('127.0.0.1')).to.equal('allowed')
    expect(await place('127.0.0.1', { publicOnly })).to.equal('refused')
    expect(await place('10.0.0.1')).to.equal('refused')
    expect(await place('[2606:4700::1111]')).to.equal('public')
    expect(await place('public.example', { publicOnly })).to.equal('public')
    expect(await place('inside.example', { publicOnly })).to.equal('refused')
    expect(asked).to.deep.equal(['inside.example', 'public.example', 'inside.example'])
    await both.close()
  })

  it('says that a name is unknown where it has no address', async () => {
    const none = createOutbound({
      allow: [],
      resolve: async () => [],
      ask: () => Promise.reject(new Error('ENOTFOUND')),
    })
    expect(await none.locate(new URL('https://nowhere.example/'))).to.equal('unknown')
    expect(await none.locate(new URL('https://nowhere.example/'), { publicOnly: true })).to.equal('unknown')
  })

  it('connects to the address that it checked, not to what the name says a moment later', async () => {
    const port = base.split(':').at(-1)
    const answers = [[{ address: '127.0.0.1', family: 4 }], [{ address: '169.254.169.254', family: 4 }]]
    let asked = 0
    const rebound = createOutbound({ allow: ['127.0.0.1'], resolve: async () => answers[asked++] ?? [] })
    expect((await rebound.fetch(`http://rebind.example:${port}/`)).status).to.equal(200)
    expect(asked).to.equal(1)
    await rebound.close()
    const fresh = createOutbound({ allow: ['127.0.0.1'], resolve: async () => answers[1]! })
    expect(await refused(fresh.fetch(`http://rebind.example:${port}/`))).to.equal('address')
    await fresh.close()
  })

  it('leaves out forbidden addresses of a name that has others', async () => {
    const port = base.split(':').at(-1)
    const mixed = ['10.0.0.1', '169.254.169.254', '127.0.0.1'].map((address) => ({ address, family: 4 }))
    const client = createOutbound({ allow: ['127.0.0.1'], resolve: async () => mixed })
    const since = Date.now()
    expect((await client.fetch(`http://mixed.example:${port}/`)).status).to.equal(200)
    expect(Date.now() - since).to.be.below(200)
    await client.close()
  })

  it('refuses other schemes', async () => {
    for (const url of ['file:///etc/passwd', 'ftp://example.org/', 'data:text/plain,x', 'gopher://x/', 'unix:/run/x']) {
      expect(await refused(outbound.fetch(url)), url).to.equal('scheme')
    }
  })

  it('checks each redirect', async () => {
    for (const to of ['http://10.0.0.1/', 'http://169.254.169.254/latest/meta-data/', 'http://[::1]/']) {
      expect(await refused(outbound.fetch(`${base}/to?${to}`)), to).to.equal('address')
    }
    expect(await refused(outbound.fetch(`${base}/to?file:///etc/passwd`))).to.equal('scheme')
  })

  it('follows 3 redirects and no more, none where asked', async () => {
    expect((await outbound.fetch(`${base}/hops?3`)).status).to.equal(200)
    expect(await refused(outbound.fetch(`${base}/hops?4`))).to.equal('redirect')
    expect(await refused(outbound.fetch(`${base}/hops?1`, { redirect: 'error' }))).to.equal('redirect')
    const manual = await outbound.fetch(`${base}/hops?1`, { redirect: 'manual' })
    expect([manual.status, manual.headers.get('location')]).to.deep.equal([302, '/hops?0'])
  })

  it('gives credentials only to the origin they were meant for', async () => {
    const headers = { authorization: 'secret', cookie: 'secret', 'x-kept': '1' }
    await outbound.fetch(`${base}/to?${base}/end`, { headers })
    await outbound.fetch(`${base}/to?${otherBase}/end`, { headers })
    const ends = seen.filter((request) => request.url === '/end')
    expect(ends[0]?.headers).to.include(headers)
    expect(ends[1]?.headers).to.include({ 'x-kept': '1' }).and.not.have.any.keys('authorization', 'cookie')
  })

  it('turns a POST into a GET by 302 and 303, and repeats it by 307', async () => {
    for (const status of [302, 303, 307]) {
      await outbound.fetch(`${base}/to?${base}/end&${status}`, { method: 'POST', body: 'hello' })
    }
    const ends = seen.filter((request) => request.url === '/end')
    expect(ends.map((end) => [end.method, end.body])).to.deep.equal([
      ['GET', ''],
      ['GET', ''],
      ['POST', 'hello'],
    ])
  })

  it('stops reading at the limit, also of what is packed small', async () => {
    expect(await refused(outbound.fetch(`${base}/large`))).to.equal('size')
    expect(await refused(outbound.fetch(`${base}/bomb`))).to.equal('size')
    for (const path of ['large', 'bomb', 'endless']) {
      const start = await outbound.fetch(`${base}/${path}`, { maxBytes: 3, cut: true })
      expect((await start.arrayBuffer()).byteLength, path).to.equal(3)
    }
    const bytes = await (await outbound.fetch(`${base}/large`, { maxBytes: 3_000_000 })).arrayBuffer()
    expect(bytes.byteLength).to.equal(2_000_000)
  })

  it('gives up in time on who does not answer or never ends', async () => {
    for (const path of ['/silent', '/endless']) {
      const since = Date.now()
      const error = await outbound.fetch(`${base}${path}`, { timeout: 300 }).catch((e) => e)
      expect(error.name, path).to.equal('TimeoutError')
      expect(Date.now() - since).to.be.below(1500)
    }
  })

  it('tells refusals from failures of the network', async () => {
    const error = await outbound.fetch('http://127.0.0.1:1/').catch((e) => e)
    expect(error).to.be.instanceOf(Error).and.not.instanceOf(OutboundRefused)
    const unknown = await strict.fetch('http://does-not-exist.invalid/').catch((e) => e)
    expect(unknown).to.be.instanceOf(Error).and.not.instanceOf(OutboundRefused)
  })

  async function serve(): Promise<Server> {
    const made = createServer(async (req, res) => {
      const url = new URL(req.url!, 'http://x')
      let body = ''
      for await (const chunk of req) body += chunk
      seen.push({ url: req.url!, method: req.method!, headers: req.headers, body })
      const argument = decodeURIComponent(url.search.slice(1))
      const [to, status] = argument.split('&')
      if (url.pathname === '/to') return res.writeHead(Number(status ?? 302), { location: to }).end()
      if (url.pathname === '/hops' && argument !== '0')
        return res.writeHead(302, { location: `/hops?${Number(argument) - 1}` }).end()
      if (url.pathname === '/large') return res.end(Buffer.alloc(2_000_000))
      if (url.pathname === '/bomb')
        return res.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(20_000_000)))
      if (url.pathname === '/silent') return
      if (url.pathname === '/endless') {
        const more = setInterval(() => res.write('x'), 20)
        return res.on('close', () => clearInterval(more))
      }
      res.writeHead(200, { 'content-type': 'application/json', 'x-test': 'yes' }).end(JSON.stringify({ body }))
    }).listen(0, '127.0.0.1')
    await once(made, 'listening')
    return made
  }
})
