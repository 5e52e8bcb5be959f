/** Runs the test files given as arguments in this process and sends the counts to the parent. Started by run.ts. */
import Mocha from 'mocha'
import { reasonOf } from './skip.ts'

const mocha = new Mocha({ reporter: 'spec', timeout: 20_000, slow: 1000, color: process.stdout.isTTY })
for (const file of process.argv.slice(2)) mocha.addFile(file)
await mocha.loadFilesAsync()
const counts = { passed: 0, failed: 0, skipped: 0 }
const skips: string[] = []
const runner = mocha.run(() => {
  for (const line of skips) console.log(line)
  process.exitCode = counts.failed > 0 ? 1 : 0
  process.send?.(counts, () => process.disconnect())
  // Something still keeps this process alive: say so, since the same would keep the app from stopping.
  setTimeout(() => {
    console.log('  note: the tests are over but handles are still open:', [
      ...new Set(process.getActiveResourcesInfo()),
    ])
    process.exit()
  }, 5000).unref()
})
runner.on('pass', () => (counts.passed += 1))
runner.on('fail', () => (counts.failed += 1))
runner.on('pending', (test) => {
  counts.skipped += 1
  skips.push(`  skipped: ${test.fullTitle()}: ${reasonOf(test)}`)
})
