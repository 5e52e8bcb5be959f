/**
 * What an app's developer does on the command line, by sso-api: `npm run sso-client -- init | status | link-ui | generate-ui | setup`.
 * Talks to a running Gatehouse: --server or GATEHOUSE_URL (an issuer, such as https://id.example.com/t/acme). What it knows
 * of the app is kept in sso-client.json of the current folder.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { readArguments } from './arguments.ts'
import { type ClientConfig, files, guide } from './sso-client/ui.ts'

const USAGE = `sso-client init         ask for approval of an app: --name --key --callback --email
                        [--redirect --description --developer --framework --purpose]
                        [--organization [--organization-model --organization-features a,b --onboarding-flow]]
sso-client status       how the request stands [--wait]
sso-client link-ui      link this folder with the app, once it is approved
sso-client generate-ui  write the sign-in of the app into a folder [--out sso] [--force]
sso-client setup        what is to be done next
Everywhere: [--server URL] [--key app]`

const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const
const { positionals, values } = readArguments(
  {
    server: text,
    key: text,
    name: text,
    callback: text,
    email: text,
    redirect: text,
    description: text,
    developer: text,
    framework: text,
    purpose: text,
    organization: flag,
    'organization-model': text,
    'organization-features': text,
    'onboarding-flow': text,
    out: text,
    force: flag,
    wait: flag,
    help: flag,
  },
  USAGE,
)

const FILE = 'sso-client.json'
interface Known {
  server: string
  clientKey?: string
  linked?: boolean
}
const kept: Partial<Known> = existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : {}
const server = (values.server ?? process.env.GATEHOUSE_URL ?? kept.server ?? 'http://localhost:3000').replace(
  /\/+$/,
  '',
)
const keep = (known: Partial<Known>) =>
  writeFileSync(FILE, `${JSON.stringify({ ...kept, server, ...known }, null, 2)}\n`)

async function call(method: string, path: string, body?: unknown): Promise<any> {
  const response = await fetch(server + path, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  }).catch((error) => {
    throw new Error(`${server} does not answer: ${error.cause?.message ?? error.message}`)
  })
  const answer: any = await response.json().catch(() => ({}))
  if (!response.ok)
    throw new Error(`${response.status} ${answer.error?.message ?? answer.detail ?? response.statusText}`)
  return answer.data
}

/** The option, else what is typed; without a terminal it must be an option. */
async function required(option: 'name' | 'key' | 'callback' | 'email', question: string): Promise<string> {
  const given = values[option]
  if (given) return given
  if (!process.stdin.isTTY) throw new Error(`--${option} is required`)
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  const typed = (await terminal.question(`${question}: `)).trim()
  terminal.close()
  if (typed === '') throw new Error(`--${option} is required`)
  return typed
}

function key(): string {
  const found = values.key ?? kept.clientKey
  if (!found) throw new Error(`which app? Give --key, or run sso-client init in this folder first`)
  return found
}
const look = () => call('GET', `/auth/client-requests/${encodeURIComponent(key())}/status`)

async function init(): Promise<void> {
  const clientKey = await required('key', 'Key of the app, such as my-app')
  const { request, message } = await call('POST', '/auth/client-requests', {
    name: await required('name', 'Name of the app'),
    clientKey,
    callbackUrl: await required('callback', 'Callback address'),
    developerEmail: await required('email', 'Your e-mail address'),
    ...(values.redirect && { redirectUrl: values.redirect }),
    ...(values.description && { description: values.description }),
    ...(values.developer && { developerName: values.developer }),
    ...(values.framework && { framework: values.framework }),
    ...(values.purpose && { purpose: values.purpose }),
    requiresOrganization: values.organization ?? false,
    ...(values['organization-model'] && { organizationModel: values['organization-model'] }),
    ...(values['organization-features'] && { organizationFeatures: values['organization-features'].split(',') }),
    ...(values['onboarding-flow'] && { onboardingFlow: values['onboarding-flow'] }),
  })
  keep({ clientKey, linked: false })
  console.log(`${message}: ${request.clientKey} is ${request.status}. An administrator decides, and you are mailed.`)
}

const EVERY_MS = 5000

async function status(): Promise<void> {
  let found = await look()
  while (values.wait && found.status === 'pending') {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
    found = await look()
  }
  console.log(
    `${found.clientKey} is ${found.status}, asked for ${found.createdAt}${found.decidedAt ? `, decided ${found.decidedAt}` : ''}`,
  )
}

async function linkUi(): Promise<void> {
  const found = await look()
  if (found.status !== 'approved')
    throw new Error(`${found.clientKey} is ${found.status}: only an approved app can be linked`)
  keep({ clientKey: found.clientKey, linked: true })
  console.log(`This folder is linked with ${found.clientKey}. Next: sso-client generate-ui`)
}

async function generateUi(): Promise<void> {
  if (!kept.linked && !values.key)
    throw new Error('this folder is not linked: run sso-client link-ui first, or give --key')
  const config: ClientConfig = await call('GET', `/auth/clients/${encodeURIComponent(key())}/config`)
  const folder = values.out ?? 'sso'
  const made = Object.entries(files(config))
  const there = made.map(([name]) => join(folder, name)).filter((path) => existsSync(path))
  if (there.length > 0 && !values.force)
    throw new Error(`${there.join(', ')} would be overwritten: give --force if that is meant`)
  mkdirSync(folder, { recursive: true })
  for (const [name, content] of made) {
    writeFileSync(join(folder, name), content)
    console.log(join(folder, name))
  }
}

const setup = (): void => console.log(guide({ server, clientKey: kept.clientKey, linked: kept.linked ?? false }))

const commands: Record<string, () => void | Promise<void>> = {
  init,
  status,
  'link-ui': linkUi,
  'generate-ui': generateUi,
  setup,
}
const command = commands[positionals[0] ?? '']
if (!command || values.help) {
  console.log(USAGE)
  process.exitCode = values.help ? 0 : 2
} else {
  await Promise.resolve()
    .then(command)
    .catch((error) => {
      console.error(`sso-client: ${error.message}`)
      process.exitCode = 1
    })
}
