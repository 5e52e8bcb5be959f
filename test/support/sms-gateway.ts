/** A fake SMS gateway in a process of its own: takes texts as our generic gateway and as Twilio's API would. */
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { fileURLToPath } from 'node:url'

export interface Received {
  to: string
  text: string
  path: string
  authorization: string | undefined
  fields: Record<string, string>
}
export interface SmsGateway {
  port: number
  /** Everything received so far. */
  texts(): Promise<Received[]>
  /** The newest text to the number, waited for up to 10 s. */
  waitFor(to: string): Promise<Received & { code: string }>
  /** So many next ones are refused with 503. */
  refuse(times: number): Promise<void>
  close(): Promise<void>
}

export async function startGateway(): Promise<SmsGateway> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'serve'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (line) => resolve(Number(String(line))))
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)))
  })
  // Must not keep a failed test run alive.
  child.unref()
  ;(child.stdout as Socket).unref()
  const texts = async () => (await fetch(`http://127.0.0.1:${port}/received`)).json() as Promise<Received[]>
  return {
    port,
    texts,
    async waitFor(to) {
      for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
        const found = (await texts()).findLast((t) => t.to === to)
        if (found) return { ...found, code: /\b\d{6}\b/.exec(found.text)![0] }
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      throw new Error(`no text to ${to}`)
    },
    refuse: async (times) => void (await fetch(`http://127.0.0.1:${port}/refuse/${times}`)),
    close: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve())
        child.kill()
      }),
  }
}

function serve(): void {
  const received: Received[] = []
  let refusals = 0
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const path = req.url ?? '/'
    if (path === '/received') return void res.end(JSON.stringify(received))
    if (path.startsWith('/refuse/')) {
      refusals = Number(path.split('/')[2])
      return void res.end()
    }
    if (refusals > 0) {
      refusals -= 1
      return void res.writeHead(503).end()
    }
    const body = Buffer.concat(chunks).toString()
    const isJson = req.headers['content-type'] === 'application/json'
    const fields: Record<string, string> = isJson ? JSON.parse(body) : Object.fromEntries(new URLSearchParams(body))
    const { authorization } = req.headers
    received.push({ to: fields.to ?? fields.To!, text: fields.text ?? fields.Body!, path, authorization, fields })
    res.writeHead(201).end('{}')
  })
  server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
}
if (process.argv[2] === 'serve' && process.argv[1] === fileURLToPath(import.meta.url)) serve()
