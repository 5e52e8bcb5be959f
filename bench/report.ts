/** The results as markdown. */
import { cpus } from 'node:os'
import type { Figures, Result } from './measure.ts'

export interface Setting {
  postgres: string
  provider: string
  concurrency: number
  mode: string
  cpuComplete: boolean
}

const ms = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2))
const row = (cells: (string | number)[]) => `| ${cells.join(' | ')} |`

function verdict({ ratio, ours, target }: Result): string {
  const fast = target.atLeast ? ratio >= target.ratio : ratio <= target.ratio
  // The version check of cached tenants adds a statement every few seconds, which no request caused.
  const few = ours.sql < target.sql + 0.1
  return fast && few ? 'PASS' : `FAIL (${[!fast && 'CPU', !few && 'SQL'].filter(Boolean).join(', ')})`
}

export function report(results: Result[], setting: Setting): string {
  const lines = [
    `${cpus().length} cores (${cpus()[0]?.model.trim()}), Node ${process.version}, PostgreSQL ${setting.postgres}, oidc-provider ${setting.provider}, ${setting.concurrency} requests at once, ${setting.mode} run.`,
    ...(setting.cpuComplete ? [] : ['', '**The CPU of PostgreSQL is not in these figures: it runs elsewhere.**']),
    '',
    row(['operation', 'ratio to bare', 'lowest – highest round', 'target', 'SQL', 'target', 'result']),
    row(['---', '---:', '---:', '---:', '---:', '---:', '---']),
    ...results.map((r) => {
      const show = (value: number) => (r.target.atLeast ? `${(value * 100).toFixed(0)} %` : value.toFixed(2))
      return row([
        r.title,
        show(r.ratio),
        `${show(r.low)} – ${show(r.high)}`,
        `${r.target.atLeast ? '≥' : '≤'} ${show(r.target.ratio)}`,
        r.ours.sql.toFixed(2),
        r.target.sql,
        verdict(r),
      ])
    }),
    '',
    row([
      'operation',
      'server',
      'per second',
      'p50 ms',
      'p95 ms',
      'p99 ms',
      'CPU ms',
      'of it Node',
      'of it PostgreSQL',
    ]),
    row(['---', '---', '---:', '---:', '---:', '---:', '---:', '---:', '---:']),
    ...results.flatMap((r) => [
      detail(r.title, 'Gatehouse', r.ours),
      ...(r.bare ? [detail('', 'bare', r.bare)] : []),
      ...(r.note ? [row(['', r.note, '', '', '', '', '', '', ''])] : []),
    ]),
  ]
  return `${lines.join('\n')}\n`
}

const detail = (title: string, server: string, f: Figures) =>
  row([
    title,
    server,
    f.rate.toFixed(0),
    ms(f.p50),
    ms(f.p95),
    ms(f.p99),
    ms(f.node + f.postgres),
    ms(f.node),
    ms(f.postgres),
  ])
