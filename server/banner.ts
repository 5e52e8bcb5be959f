/** What a newcomer reads after the start: one short block. */
import type { Config } from './config.ts'
import type { Installed } from './domain/installation.ts'

export function banner(config: Config, installed: Installed): void {
  if (config.production && !installed.setUpToken) return
  const url = config.publicUrl
  const admin = installed.setUpToken
    ? `${url}/set-up?token=${installed.setUpToken}\n               (one-time link: make the first administrator)`
    : `${config.adminPort === undefined ? url : `port ${config.adminPort}`} with an administrator's access token`
  const lines = [
    ['Issuer', url],
    ['Admin', admin],
    ['API docs', `${url}/docs`],
    ...(config.production ? [] : [['Demo app', `${url}/demo`]]),
    ...(config.production || config.smtpUrl ? [] : [['Mailbox', `${url}/dev/mailbox`]]),
  ]
  console.log(
    `\n  Gatehouse is ready\n\n${lines.map(([name, value]) => `    ${name!.padEnd(10)} ${value}`).join('\n')}\n`,
  )
}
