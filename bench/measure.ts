/** Both servers in turn, so that whatever else the machine does meets both; CPU and SQL are read around each block. */
import { type Measured, percentile, run } from './load.ts'
import { LOGIN, login, type Operation } from './operations.ts'
import { CONCURRENCY, type Hashing, type Side } from './sides.ts'

export interface Plan {
  rounds: number
  /** Multiplies the operations of a round. */
  factor: number
}
export interface Figures {
  /** Operations a second. */
  rate: number
  /** Milliseconds. */
  p50: number
  p95: number
  p99: number
  /** Milliseconds of CPU for one operation. */
  node: number
  postgres: number
  /** SQL statements for one operation. */
  sql: number
}
export interface Result {
  id: string
  title: string
  ours: Figures
  bare?: Figures
  /** CPU of ours over CPU of bare, of all rounds, and of the lowest and highest round; for login: rate over rate of hashing. */
  ratio: number
  low: number
  high: number
  target: { ratio: number; sql: number; atLeast?: boolean }
  note?: string
}
interface Block extends Measured {
  node: number
  postgres: number
  sql: number
}

const workersOf = (side: Side, make: (side: Side, n: number) => any) =>
  Promise.all(Array.from({ length: CONCURRENCY }, (_, n) => make(side, n)))

async function block(side: Side, make: Operation['worker'], count: number): Promise<Block> {
  const workers = await workersOf(side, make)
  const sql = await side.statements()
  const before = side.cpu()
  const measured = await run(workers, count)
  const after = side.cpu()
  return {
    ...measured,
    node: after.node - before.node,
    postgres: after.postgres - before.postgres,
    sql: (await side.statements()) - sql,
  }
}

function figures(blocks: Block[]): Figures {
  const sum = (pick: (b: Block) => number) => blocks.reduce((total, b) => total + pick(b), 0)
  const operations = sum((b) => b.operations)
  const times = blocks.flatMap((b) => b.times).sort((a, b) => a - b)
  return {
    rate: operations / sum((b) => b.seconds),
    p50: percentile(times, 0.5),
    p95: percentile(times, 0.95),
    p99: percentile(times, 0.99),
    node: sum((b) => b.node) / operations,
    postgres: sum((b) => b.postgres) / operations,
    sql: sum((b) => b.sql) / operations,
  }
}

const cpuOf = (b: Block) => (b.node + b.postgres) / b.operations

/** One operation at both, after an unmeasured round at each. */
export async function compare(op: Operation, ours: Side, bare: Side, plan: Plan): Promise<Result> {
  const count = op.count * plan.factor
  const blocks = { ours: [] as Block[], bare: [] as Block[] }
  for (const side of [ours, bare]) await block(side, op.worker, count)
  for (let round = 0; round < plan.rounds; round += 1) {
    blocks.ours.push(await block(ours, op.worker, count))
    blocks.bare.push(await block(bare, op.worker, count))
  }
  const mine = figures(blocks.ours)
  const theirs = figures(blocks.bare)
  const ratios = blocks.ours.map((b, i) => cpuOf(b) / cpuOf(blocks.bare[i]!)).sort((a, b) => a - b)
  return {
    id: op.id,
    title: op.title,
    ours: mine,
    bare: theirs,
    ratio: (mine.node + mine.postgres) / (theirs.node + theirs.postgres),
    low: ratios[0]!,
    high: ratios.at(-1)!,
    target: { ratio: op.ratio, sql: op.sql },
  }
}

/** Sign-ins by the API beside bare hashing with as many hashes at once as we allow ourselves. */
export async function compareLogin(ours: Side, hashing: Hashing, atOnce: number, plan: Plan): Promise<Result> {
  const count = LOGIN.count * plan.factor
  const blocks: Block[] = []
  const rates: number[] = []
  await block(ours, login, count / 2)
  await hashing.rate(count / 2, atOnce)
  for (let round = 0; round < plan.rounds; round += 1) {
    blocks.push(await block(ours, login, count))
    rates.push(await hashing.rate(count, atOnce))
  }
  const mine = figures(blocks)
  const mean = rates.length / rates.reduce((total, rate) => total + 1 / rate, 0)
  const shares = blocks.map((b, i) => b.operations / b.seconds / rates[i]!).sort((a, b) => a - b)
  return {
    id: LOGIN.id,
    title: LOGIN.title,
    ours: mine,
    ratio: mine.rate / mean,
    low: shares[0]!,
    high: shares.at(-1)!,
    target: { ratio: LOGIN.rate, sql: LOGIN.sql, atLeast: true },
    note: `argon2id alone, ${atOnce} at once: ${mean.toFixed(1)}/s`,
  }
}
