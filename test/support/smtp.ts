/** A real SMTP server that keeps what it is sent. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'

export interface Received {
  to: string
  /** The whole message with headers, quoted-printable undone. */
  raw: string
  /** First link whose path ends with the given name, such as verify-email. */
  link(path: string): string
}
export interface SmtpSink {
  url: string
  mails: Received[]
  /** The newest mail to the address that matches, waited for up to 10 s. */
  waitFor(to: string, match?: RegExp): Promise<Received>
  close(): Promise<void>
}

export async function startSmtp(): Promise<SmtpSink> {
  const mails: Received[] = []
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, session, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk) => chunks.push(chunk))
      stream.on('end', () => {
        const raw = decode(Buffer.concat(chunks).toString('utf8'))
        for (const { address } of session.envelope.rcptTo)
          mails.push({ to: address, raw, link: (path) => linkIn(raw, path) })
        done()
      })
    },
  })
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  const { port } = server.server.address() as AddressInfo
  return {
    url: `smtp://127.0.0.1:${port}`,
    mails,
    async waitFor(to, match = /./) {
      const deadline = Date.now() + 10_000
      for (;;) {
        const found = mails.findLast((m) => m.to.toLowerCase() === to.toLowerCase() && match.test(m.raw))
        if (found) return found
        if (Date.now() > deadline) throw new Error(`no mail to ${to} matching ${match}`)
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

const decode = (raw: string) =>
  raw
    .replace(/=\r?\n/g, '')
    .replace(/(?:=[0-9A-F]{2})+/g, (bytes) => Buffer.from(bytes.replaceAll('=', ''), 'hex').toString('utf8'))

function linkIn(raw: string, path: string): string {
  const found = new RegExp(`https?://[^\\s"<>]+/${path}\\?token=[\\w-]+`).exec(raw)
  if (!found) throw new Error(`no ${path} link in the mail`)
  return found[0]
}
