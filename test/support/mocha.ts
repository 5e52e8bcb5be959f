/** Runs the test files given as arguments in this process and sends what came of each to the parent. Started by run.ts. */
import Mocha from 'mocha'
import { reasonOf } from './skip.ts'

export interface Outcome {
  passed: number
  failed: number
  skipped: number
  failures: { test: string; reason: string }[]
}

const mocha = new Mocha({ reporter: 'spec', timeout: 20_000, slow: 1000, color: process.stdout.isTTY })
const outcomes: Record<string, Outcome> = {}
for (const file of process.argv.slice(2)) {
  outcomes[file] = { passed: 0, failed: 0, skipped: 0, failures: [] }
  mocha.addFile(file)
}
await mocha.loadFilesAsync()
const skips: string[] = []
const runner = mocha.run((failed) => {
  for (const line of skips) console.log(line)
  process.exitCode = failed > 0 ? 1 : 0
  process.send?.(outcomes, () => process.disconnect())
  // Something still keeps this process alive: say so, since the same would keep the app from stopping.
  setTimeout(() => {
    console.log('  note: the tests are over but handles are still open:', [
      ...new Set(process.getActiveResourcesInfo()),
    ])
    process.exit()
  }, 5000).unref()
})
runner.on('pass', (test) => (outcomes[test.file!]!.passed += 1))
runner.on('fail', (test, error) => {
  // A root hook belongs to no file: any will do, so that it counts.
  const outcome = outcomes[test.file!] ?? Object.values(outcomes)[0]!
  outcome.failed += 1
  outcome.failures.push({ test: test.fullTitle(), reason: String(error?.message ?? error).split('\n', 1)[0]! })
})
runner.on('pending', (test) => {
  outcomes[test.file!]!.skipped += 1
  skips.push(`  skipped: ${test.fullTitle()}: ${reasonOf(test)}`)
})
