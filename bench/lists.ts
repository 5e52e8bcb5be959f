/**
 * Lists of a million people: every filter and every two of them, in every order, first page with its total, the next one, and far ones.
 * `npm run bench -- --only=lists`. Counts the CPU of the one PostgreSQL process that answers, which other work on the machine does not
 * lengthen.
 */
import { connect } from '../adapters/knex.ts'
import { migrate } from '../migrations/index.ts'
import type { Context } from '../server/domain/context.ts'
import { DEFAULT_TENANT } from '../server/domain/ids.ts'
import type { UserFilter } from '../server/domain/user-admin/filter.ts'
import { list, SORTS, type Window } from '../server/domain/user-admin/list.ts'
import { ofProcess } from './cpu.ts'
import { type Crowd, crowdOf } from './crowd.ts'

const PEOPLE = { quick: 100_000, full: 1_000_000 }
const DAY = 86_400_000
/** Milliseconds. */
const TARGET = 50
const OFFSETS = [1000]
/** Lines of the report. */
const SHOWN = 15

interface Case {
  title: string
  filter: UserFilter
}
interface Measured {
  title: string
  cpu: number
  wall: number
}

/** Filters of each kind; two of one kind are not combined. */
function kinds(crowd: Crowd): Record<string, Case[]> {
  const ago = (days: number) => new Date(Date.now() - days * DAY)
  return {
    q: ['Maria', 'Schmidt', 'm', 'hk', 'mari', 'maria.schmidt', 'nobody'].map((q) => ({
      title: `q=${q}`,
      filter: { q },
    })),
    status: (['active', 'disabled', 'locked', 'deleted'] as const).map((status) => ({
      title: status,
      filter: { status },
    })),
    role: Object.entries(crowd.roles)
      .filter(([name]) => !name.startsWith('other'))
      .map(([name, id]) => ({ title: `role ${name}`, filter: { roleIds: [id] } })),
    organization: Object.entries(crowd.organizations).map(([name, organizationId]) => ({
      title: `organization ${name}`,
      filter: { organizationId },
    })),
    verified: [true, false].map((emailVerified) => ({ title: `verified ${emailVerified}`, filter: { emailVerified } })),
    created: [
      { title: 'created this month', filter: { createdAfter: ago(30) } },
      { title: 'created this year', filter: { createdAfter: ago(365) } },
      { title: 'created in the first month', filter: { createdBefore: ago(3 * 365 - 30) } },
      { title: 'created in the first years', filter: { createdBefore: ago(365) } },
    ],
    login: [
      { title: 'seen this day', filter: { lastLoginAfter: ago(1) } },
      { title: 'seen this quarter', filter: { lastLoginAfter: ago(90) } },
      { title: 'not seen this year', filter: { lastLoginBefore: ago(365) } },
      { title: 'never seen', filter: { lastLoginBefore: ago(36_500) } },
    ],
  }
}

/** No filter, each alone, each two of different kinds. */
function cases(crowd: Crowd): Case[] {
  const all = Object.values(kinds(crowd))
  const pairs = all.flatMap((ones, i) =>
    ones.flatMap((one) =>
      all
        .slice(i + 1)
        .flat()
        .map((other) => ({ title: `${one.title}, ${other.title}`, filter: { ...one.filter, ...other.filter } })),
    ),
  )
  return [{ title: 'all', filter: {} }, ...all.flat(), ...pairs]
}

/** Measures all of them, or those whose titles match, and answers the report. */
export async function lists(url: string, quick: boolean, only = process.env.BENCH_LISTS): Promise<string> {
  const people = quick ? PEOPLE.quick : PEOPLE.full
  const several = connect(url)
  const crowd = await prepare(several, people).finally(() => several.destroy())
  const db = connect(url, { max: 1 })
  const wanted = new RegExp(only ?? '')
  try {
    return report(
      people,
      await measure(
        db,
        cases(crowd).filter(({ title }) => wanted.test(title)),
      ),
    )
  } finally {
    await db.destroy()
  }
}

async function prepare(db: ReturnType<typeof connect>, people: number): Promise<Crowd> {
  await migrate(db)
  process.stderr.write(`${people} people …\n`)
  return crowdOf(db, people)
}

async function measure(db: ReturnType<typeof connect>, all: Case[]): Promise<Measured[]> {
  const [{ pid }] = (await db.raw('select pg_backend_pid() as pid')).rows
  // What others compute for it would be counted nowhere.
  await db.raw('set max_parallel_workers_per_gather = 0')
  const ctx = { db, tenant: { id: DEFAULT_TENANT } } as Context
  const measured: Measured[] = []
  const timed = async (title: string, filter: UserFilter, window: Window) => {
    const [cpu, wall] = [ofProcess(pid), performance.now()]
    const page = await list(ctx, filter, window)
    measured.push({ title, cpu: ofProcess(pid) - cpu, wall: performance.now() - wall })
    return page
  }
  for (const { title, filter } of all) {
    process.stderr.write(`\r${measured.length} ${title}`.padEnd(100))
    for (const sort of SORTS) {
      const name = `${title}, by ${sort}`
      const { nextCursor, total } = await timed(name, filter, { limit: 50, offset: 0, sort })
      if (nextCursor) await timed(`${name}, next page`, filter, { limit: 50, offset: 0, sort, cursor: nextCursor })
      for (const offset of OFFSETS.filter((offset) => offset < total))
        await timed(`${name}, offset ${offset}`, filter, { limit: 50, offset, sort })
    }
  }
  process.stderr.write('\n')
  return measured
}

function report(people: number, measured: Measured[]): string {
  const over = (limit: number) => measured.filter(({ cpu }) => cpu > limit).length
  const worst = measured.toSorted((a, b) => b.cpu - a.cpu)
  const middle = worst[Math.floor(worst.length / 2)]!
  return [
    `${measured.length} requests of ${people} people: median ${middle.cpu.toFixed(1)} ms of PostgreSQL's CPU, ${over(TARGET)} above ${TARGET} ms. The slowest:`,
    '',
    '| people | CPU ms | wall ms |',
    '| --- | ---: | ---: |',
    ...worst.slice(0, SHOWN).map(({ title, cpu, wall }) => `| ${title} | ${cpu.toFixed(1)} | ${wall.toFixed(1)} |`),
  ].join('\n')
}
