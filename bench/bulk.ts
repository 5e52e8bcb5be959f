/** Many people at once: importing them, listing and exporting them while there are so many, and signing in meanwhile. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { expectStatus } from './http.ts'
import { percentile } from './load.ts'
import { ADMIN, type Side } from './sides.ts'

export const BULK = ['import', 'users_list'] as const
/** Rows in a quick run and in a full one. */
const ROWS = { quick: 100_000, full: 1_000_000 }

export interface BulkResult {
  title: string
  cells: string
}

/** Imports people and then reads them. Answers the lines of the report. */
export async function bulk(side: Side, wanted: (id: string) => boolean, quick: boolean): Promise<BulkResult[]> {
  const rows = quick ? ROWS.quick : ROWS.full
  const results = await importing(side, rows)
  if (wanted('users_list')) results.push(...(await listing(side)), await exporting(side))
  return results
}

const token = async (side: Side): Promise<string> =>
  JSON.parse(expectStatus(await side.http('/v1/auth/login', { json: ADMIN }), 200, 'login').body).tokens.access_token

async function get(side: Side, path: string): Promise<any> {
  return JSON.parse(expectStatus(await side.http(path, { bearer: await token(side) }), 200, path).body)
}

async function importing(side: Side, rows: number): Promise<BulkResult[]> {
  const watch = watchMemory(side)
  const idle = watch.now()
  const started = performance.now()
  const { id, total } = await upload(side, rows)
  const uploaded = performance.now()
  const times: number[] = []
  let state = await get(side, `/v1/admin/imports/${id}`)
  while (state.status !== 'done') {
    if (!['queued', 'running'].includes(state.status)) throw new Error(`the import ended: ${JSON.stringify(state)}`)
    const begun = performance.now()
    expectStatus(await side.http('/v1/auth/login', { json: side.people[0] }), 200, 'login')
    times.push(performance.now() - begun)
    await sleep(250)
    state = await get(side, `/v1/admin/imports/${id}`)
  }
  const done = performance.now()
  times.sort((a, b) => a - b)
  const rate = (ms: number) => `${((total / ms) * 1000).toFixed(0)} rows/s`
  return [
    line(`import of ${total} rows: upload`, uploaded - started, rate(uploaded - started)),
    line(`import of ${total} rows: job`, done - uploaded, rate(done - uploaded)),
    { title: 'sign-ins meanwhile', cells: `p50 ${ms(percentile(times, 0.5))}, p95 ${ms(percentile(times, 0.95))}` },
    { title: 'memory of the server', cells: `${idle} MiB before, at most ${watch.stop()} MiB` },
  ]
}

/** Lines of JSON, as fast as they are taken. */
async function upload(side: Side, rows: number): Promise<{ id: string; total: number }> {
  const run = Date.now().toString(36)
  function* lines() {
    for (let i = 0; i < rows; i += 1000) {
      const some = Array.from({ length: Math.min(1000, rows - i) }, (_, k) => person(run, i + k))
      yield `${some.map((one) => JSON.stringify(one)).join('\n')}\n`
    }
  }
  const sent = request({
    port: side.port,
    path: '/v1/admin/users/import',
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', authorization: `Bearer ${await token(side)}` },
  })
  Readable.from(lines()).pipe(sent)
  const [response] = await once(sent, 'response')
  let body = ''
  for await (const piece of response) body += piece
  if (response.statusCode !== 202) throw new Error(`import answered ${response.statusCode} ${body}`)
  return JSON.parse(body)
}

const NAMES = ['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald', 'Hedy', 'Tim', 'Radia', 'Ken']
const person = (run: string, i: number) => ({
  email: `person${i}.${run}@bulk.example`,
  given_name: `${NAMES[i % 10]}`,
  family_name: `Bulk${i % 5003}`,
  email_verified: i % 3 === 0,
  locale: 'en',
  attributes: { department: `D${i % 100}` },
})

const QUERIES: [string, string][] = [
  ['first page', ''],
  ['offset 100,000', '&offset=100000'],
  ['by address', '&sort=email'],
  ['beginning of a name', '&q=grace'],
  ['beginning of an address', '&q=person4242'],
  ['unverified, oldest first', '&email_verified=false&sort=created_at'],
  ['of a role that all have', '&role=user'],
  ['of a role, unverified, by address', '&role=user&email_verified=false&sort=email'],
  ['disabled, by last login', '&status=disabled&sort=-last_login_at'],
  ['never signed in, made this year', '&last_login_before=2000-01-01T00:00:00Z&created_after=2026-01-01T00:00:00Z'],
]

async function listing(side: Side): Promise<BulkResult[]> {
  const bearer = await token(side)
  const results: BulkResult[] = []
  for (const [title, query] of QUERIES) {
    const times: number[] = []
    for (let i = 0; i < 25; i += 1) {
      const begun = performance.now()
      expectStatus(await side.http(`/v1/users?limit=50${query}`, { bearer }), 200, title)
      times.push(performance.now() - begun)
    }
    times.sort((a, b) => a - b)
    results.push({
      title: `list: ${title}`,
      cells: `p50 ${ms(percentile(times, 0.5))}, p95 ${ms(percentile(times, 0.95))}`,
    })
  }
  return results
}

async function exporting(side: Side): Promise<BulkResult> {
  const watch = watchMemory(side)
  const started = performance.now()
  const headers = { authorization: `Bearer ${await token(side)}` }
  const [response] = await once(
    request({ port: side.port, path: '/v1/admin/users/export?format=csv', headers }).end(),
    'response',
  )
  let lines = 0
  for await (const piece of response) for (const byte of piece) if (byte === 10) lines += 1
  const took = performance.now() - started
  return line(
    `export of ${lines - 1} people as CSV`,
    took,
    `${((lines / took) * 1000).toFixed(0)} rows/s, memory at most ${watch.stop()} MiB`,
  )
}

const ms = (value: number) => `${value.toFixed(value >= 100 ? 0 : 1)} ms`
const line = (title: string, took: number, more: string): BulkResult => ({
  title,
  cells: `${(took / 1000).toFixed(1)} s, ${more}`,
})

/** The most resident memory of the server, looked at ten times a second, in MiB. */
function watchMemory(side: Side) {
  const now = () => {
    const [, kib = '0'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${side.pid}/status`, 'utf8')) ?? []
    return Math.round(Number(kib) / 1024)
  }
  let most = now()
  const timer = setInterval(() => {
    most = Math.max(most, now())
  }, 100)
  return {
    now,
    stop() {
      clearInterval(timer)
      return most
    },
  }
}

export const bulkReport = (results: BulkResult[]): string =>
  ['| | |', '| --- | --- |', ...results.map(({ title, cells }) => `| ${title} | ${cells} |`)].join('\n')
