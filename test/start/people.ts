/** People who use the program: registered, signed in, and writing without pause. */
import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { from } from '../support/address.ts'
import { ADMIN, type Program } from './program.ts'

export const PASSWORD = 'SecurePassword123!'
export interface Tokens {
  access_token: string
  refresh_token: string
}

export const someone = () => `p${randomBytes(5).toString('hex')}@example.com`

export async function register(program: Program, email = someone()): Promise<string> {
  const body = { email, password: PASSWORD }
  const { status, body: answer } = await program.call('POST', '/v1/auth/register', { body, headers: from() })
  if (status !== 201) throw new Error(`register answered ${status} ${JSON.stringify(answer)}`)
  return email
}

export async function signIn(program: Program, email: string, password = PASSWORD): Promise<Tokens> {
  const { status, body } = await program.call('POST', '/v1/auth/login', { body: { email, password }, headers: from() })
  if (status !== 200) throw new Error(`login answered ${status} ${JSON.stringify(body)}`)
  return body.tokens
}

export const administrator = async (program: Program) =>
  (await signIn(program, ADMIN.email, ADMIN.password)).access_token

export interface Client {
  id: string
  client_id: string
  client_secret: string
}

export async function makeClient(program: Program, token: string, fields: object = {}): Promise<Client> {
  const body = { client_name: 'Client', redirect_uris: ['https://rp.example.com/callback'], ...fields }
  const { status, body: made } = await program.call('POST', '/clients', { token, body, headers: from() })
  if (status !== 201) throw new Error(`client: ${status} ${JSON.stringify(made)}`)
  return made
}

export const basic = ({ client_id, client_secret }: Client) => ({
  authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`,
})

export interface Writers {
  /** E-mail addresses whose registration was acknowledged. */
  registered: string[]
  /** Refresh tokens that were handed out. */
  refreshed: string[]
  /** Every status seen besides success, and `0` for a broken connection. */
  statuses: Map<number, number>
  stop(): Promise<void>
}

/** Two who register people and three who refresh tokens, all the time. Failures are noted and tried again. */
export async function write(program: Program): Promise<Writers> {
  const writers: Writers = { registered: [], refreshed: [], statuses: new Map(), stop: async () => {} }
  let stopped = false
  const attempt = async (path: string, body: object, good: number) => {
    const answer = await program.call('POST', path, { body, headers: from() }).catch(() => undefined)
    if (answer?.status === good) return answer.body
    const status = answer?.status ?? 0
    writers.statuses.set(status, (writers.statuses.get(status) ?? 0) + 1)
    await sleep(20)
    return undefined
  }
  const registering = async () => {
    while (!stopped) {
      const email = someone()
      if (await attempt('/v1/auth/register', { email, password: PASSWORD }, 201)) writers.registered.push(email)
    }
  }
  const refreshing = async (first: Tokens) => {
    let token = first.refresh_token
    while (!stopped) {
      const body = await attempt('/v1/auth/refresh', { refresh_token: token }, 200)
      // A rotation whose answer was lost is an old token used twice: this one is out.
      if (!body) return
      token = (body.tokens ?? body).refresh_token
      writers.refreshed.push(token)
    }
  }
  const email = await register(program)
  const tokens = [await signIn(program, email), await signIn(program, email), await signIn(program, email)]
  const all = Promise.all([registering(), registering(), ...tokens.map(refreshing)])
  writers.stop = async () => {
    stopped = true
    await all
  }
  return writers
}

export const storedId = (token: string) => createHash('sha256').update(token).digest('base64url')
