/** Receives webhooks in a process of its own, well or badly: the path of an address says how. */
import { spawn } from 'node:child_process'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { generate } from 'selfsigned'

export interface Message {
  /** Where it was sent; every test uses paths of its own, such as /ok/ada. */
  path: string
  headers: Record<string, string>
  body: string
  /** Milliseconds since 1970. */
  at: number
}
export interface Receiver {
  /** http://127.0.0.1:port */
  url: string
  /** The same by TLS, with a certificate nobody knows. */
  tlsUrl: string
  /** What came to paths that begin like this, oldest first. */
  messages(path: string): Promise<Message[]>
  /** Waits up to `patience` ms until so many have come. */
  waitFor(path: string, count?: number, patience?: number): Promise<Message[]>
  close(): Promise<void>
}

export async function startReceiver(): Promise<Receiver> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'serve'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [port, tlsPort] = await new Promise<number[]>((resolve, reject) => {
    child.stdout.once('data', (line) => resolve(JSON.parse(String(line))))
    child.once('exit', (code) => reject(new Error(`the receiver ended with ${code}`)))
  })
  // Must not keep a failed test run alive.
  child.unref()
  for (const stream of [child.stdin, child.stdout]) (stream as Socket).unref()
  const url = `http://127.0.0.1:${port}`
  const messages = async (path: string) =>
    (await (await fetch(`${url}/received?path=${encodeURIComponent(path)}`)).json()) as Message[]
  return {
    url,
    tlsUrl: `https://127.0.0.1:${tlsPort}`,
    messages,
    async waitFor(path, count = 1, patience = 10_000) {
      for (const deadline = Date.now() + patience; ; await sleep(50)) {
        const found = await messages(path)
        if (found.length >= count) return found
        if (Date.now() > deadline) throw new Error(`${found.length} of ${count} messages came to ${path}`)
      }
    },
    close: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve())
        child.kill()
      }),
  }
}

async function serve(): Promise<void> {
  const received: Message[] = []
  const seen = new Map<string, number>()
  const listener = async (req: IncomingMessage, res: ServerResponse) => {
    const { pathname: path, searchParams } = new URL(req.url!, 'http://localhost')
    if (path === '/received')
      return void res.end(JSON.stringify(received.filter((m) => m.path.startsWith(searchParams.get('path')!))))
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk)
    received.push({ path, headers: req.headers as any, body: Buffer.concat(chunks).toString(), at: Date.now() })
    const times = (seen.get(path) ?? 0) + 1
    seen.set(path, times)
    const [, how, detail] = path.split('/')
    await (ways[how!] ?? ways.ok!)(res, detail ?? '', times)
  }
  const { private: key, cert } = await generate([{ name: 'commonName', value: '127.0.0.1' }])
  const servers = [createServer(listener), createTlsServer({ key, cert }, listener)]
  const ports = servers.map(async (server) => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return (server.address() as AddressInfo).port
  })
  console.log(JSON.stringify(await Promise.all(ports)))
  // Not without the tests.
  process.stdin.on('end', () => process.exit()).resume()
}

type Way = (res: ServerResponse, detail: string, times: number) => unknown
const ways: Record<string, Way> = {
  ok: (res) => res.end('thanks'),
  hang: () => {},
  reset: (res) => res.socket!.resetAndDestroy(),
  /** /status/503/…, and 200 to a message that comes again. */
  status: (res, detail, times) => {
    res.statusCode = times > 1 ? 200 : Number(detail)
    res.end(`answer ${times}`)
  },
  always: (res, detail) => res.writeHead(Number(detail)).end('always'),
  later: (res) => res.writeHead(503, { 'retry-after': '3600' }).end(),
  redirect: (res) => res.writeHead(307, { location: '/ok/redirected' }).end(),
  huge: async (res) => {
    res.on('error', () => {})
    const block = Buffer.alloc(65_536, 'x')
    while (!res.destroyed && res.write(block)) await sleep(1)
  },
  drip: async (res) => {
    for (let i = 0; i < 600 && !res.destroyed; i += 1) {
      res.write('.')
      await sleep(100)
    }
  },
  nul: (res) => res.end('a\u0000b'),
}

if (process.argv[2] === 'serve') await serve()
