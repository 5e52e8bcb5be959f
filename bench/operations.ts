/** The operations that are measured, how one is done, and what was promised of each. */
import { codeFlow, grant, type Tokens } from './flows.ts'
import { expectStatus, type Jar } from './http.ts'
import type { Once } from './load.ts'
import type { Side } from './sides.ts'

export interface Operation {
  id: string
  title: string
  /** CPU at most, as a multiple of bare oidc-provider's. */
  ratio: number
  /** SQL round trips at most. */
  sql: number
  /** Operations in a round of --quick; a full run does twice as many. */
  count: number
  /** Runs on the server without hashing. */
  withoutHash?: boolean
  /** Gives worker number `n` its own state for a round, unmeasured, and answers how it does the operation once. */
  worker(side: Side, n: number): Promise<Once> | Once
}

const SCOPE = 'openid profile email'
/** Bare gets its kind of JWT access token by asking for the scope of its resource server. */
const scopeOf = (side: Side) => (side.name === 'bare' ? `${SCOPE} users:read` : SCOPE)

async function signedIn(side: Side, n: number, app = side.app): Promise<{ jar: Jar; tokens: Tokens }> {
  const jar: Jar = new Map()
  const tokens = await codeFlow(side.http, app, jar, app === side.app ? scopeOf(side) : SCOPE, side.people[n])
  return { jar, tokens }
}

const credentials = { grant_type: 'client_credentials', scope: 'users:read' }

export const operations: Operation[] = [
  {
    id: 'client_credentials',
    title: 'client_credentials, JWT',
    ratio: 1.2,
    sql: 0,
    count: 1600,
    worker: (side, n) => () => grant(side.http, side.services[n]!, credentials),
  },
  {
    id: 'client_credentials_500',
    title: 'client_credentials, 500 active clients',
    ratio: 1.2,
    sql: 0,
    count: 1600,
    worker(side, n) {
      let turn = n
      return () => {
        turn = (turn + 8) % side.services.length
        return grant(side.http, side.services[turn]!, credentials)
      }
    },
  },
  {
    id: 'introspection',
    title: 'introspection',
    ratio: 1.4,
    sql: 1,
    count: 1600,
    async worker(side, n) {
      const { tokens } = await signedIn(side, n, side.readable)
      const form = { token: tokens.access_token }
      return async () => {
        const answer = await side.http('/oauth/introspect', { form, basic: side.readable.basic })
        if (!expectStatus(answer, 200, 'introspection').body.includes('"active":true')) throw new Error(answer.body)
      }
    },
  },
  {
    id: 'userinfo',
    title: 'userinfo',
    ratio: 1.4,
    sql: 1,
    count: 1600,
    async worker(side, n) {
      const { tokens } = await signedIn(side, n, side.readable)
      return async () =>
        expectStatus(await side.http('/oauth/userinfo', { bearer: tokens.access_token }), 200, 'userinfo')
    },
  },
  {
    id: 'refresh',
    title: 'refresh with rotation',
    ratio: 1.7,
    sql: 2,
    count: 640,
    async worker(side, n) {
      let { tokens } = await signedIn(side, n)
      return async () => {
        tokens = await grant(side.http, side.app, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token })
      }
    },
  },
  {
    id: 'code',
    title: 'authorization code, existing session (2 requests)',
    ratio: 1.5,
    sql: 5,
    count: 400,
    async worker(side, n) {
      const { jar } = await signedIn(side, n)
      return () => codeFlow(side.http, side.app, jar, scopeOf(side))
    },
  },
  {
    id: 'password',
    title: 'authorization code with a password in a known browser (5 requests, hash not counted)',
    ratio: 1.7,
    sql: 9,
    count: 240,
    withoutHash: true,
    async worker(side, n) {
      const { jar } = await signedIn(side, n)
      const known = [...jar].filter(([name]) => name.includes('device'))
      return () => codeFlow(side.http, side.app, new Map(known), scopeOf(side), side.people[n])
    },
  },
]

/** At least this share of the rate of bare argon2id. */
export const LOGIN = { id: 'login', title: 'POST /v1/auth/login', rate: 0.9, sql: 5, count: 80 }

export const login =
  (side: Side, n: number): Once =>
  async () =>
    expectStatus(await side.http('/v1/auth/login', { json: side.people[n] }), 200, 'login')
