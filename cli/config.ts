/**
 * A tenant's configuration in a repository: `npm run config -- export [file]`, `npm run config -- apply file [--dry-run] [--prune]`.
 * Talks to a running Gatehouse: GATEHOUSE_URL (an issuer, such as https://id.example.com/t/acme) and GATEHOUSE_TOKEN (an
 * access token or API key). `${env:NAME}` in a document is filled in from the environment.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { readArguments } from './arguments.ts'

interface Change {
  section: string
  key: string
  action: 'create' | 'update' | 'delete'
  old?: unknown
  new?: unknown
}

const USAGE = 'usage: export [file] | apply <file> [--dry-run] [--prune]'
const { positionals, values } = readArguments({ 'dry-run': { type: 'boolean' }, prune: { type: 'boolean' } }, USAGE)
const [command, file] = positionals
const { GATEHOUSE_URL: url = 'http://localhost:3000', GATEHOUSE_TOKEN: token } = process.env

async function ask(method: string, path: string, body?: unknown): Promise<any> {
  const response = await fetch(url.replace(/\/+$/, '') + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  }).catch((error) => {
    throw new Error(`${url} does not answer: ${error.cause?.message ?? error.message}`)
  })
  const answer: any = await response.json().catch(() => ({}))
  if (!response.ok) throw new Error(`${response.status} ${answer.detail ?? response.statusText}`)
  return answer
}

/** What the environment has not got stays as it is: Gatehouse then keeps the stored secret. */
const filled = (text: string): string =>
  text.replace(/"\$\{env:([A-Z0-9_]+)\}"/g, (all, name) =>
    process.env[name] === undefined ? all : JSON.stringify(process.env[name]),
  )

const sign = { create: '+', update: '~', delete: '-' }
const short = (value: unknown) => (value === undefined ? '' : JSON.stringify(value))
function show({ section, key, action, old, new: now }: Change): void {
  const change = action === 'update' ? `${short(old)} → ${short(now)}` : short(now ?? old)
  console.log(`${sign[action]} ${section}.${key} ${change}`)
}

async function main(): Promise<void> {
  if (!token) throw new Error('set GATEHOUSE_TOKEN to an access token or API key')
  if (command === 'export') {
    const text = `${JSON.stringify(await ask('GET', '/v1/admin/configuration'), null, 2)}\n`
    if (file) writeFileSync(file, text)
    else process.stdout.write(text)
    return
  }
  if (command !== 'apply' || !file) throw new Error(USAGE)
  const plan = await ask('POST', '/v1/admin/configuration/apply', {
    configuration: JSON.parse(filled(readFileSync(file, 'utf8'))),
    dry_run: values['dry-run'] ?? false,
    prune: values.prune ?? false,
  })
  plan.changes.forEach(show)
  for (const { client_id, client_secret } of plan.secrets) console.log(`! ${client_id}: client_secret ${client_secret}`)
  console.log(`${plan.changes.length} changes${plan.applied ? ' applied' : ', none applied (dry run)'}`)
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
