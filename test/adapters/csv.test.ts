/** What is written comes back, and is no formula to anybody: texts made of all that matters, in every order of a few. */
import { Readable } from 'node:stream'
import { expect } from 'chai'
import { csvLines, defuse, readCsv, restore } from '../../adapters/csv.ts'

const PARTS = ["'", '"', '=', '-', '＠', ' ', '\t', '\n', '\r', ',', ';', '|', 'a']
const texts = (length: number): string[] =>
  length === 0 ? [''] : texts(length - 1).flatMap((text) => PARTS.map((part) => text + part))
const all = [0, 1, 2, 3, 4].flatMap(texts)

describe('cells of CSV', () => {
  it('come back as they were', () => {
    for (const text of all) if (restore(defuse(text)) !== text) expect.fail(JSON.stringify(text))
  })

  it('are no formula, whatever is taken for the separator, with quotes and without', () => {
    for (const text of all)
      for (const line of defuse(text).split(/[\r\n]/))
        for (const separator of [',', ';', '\t', '|'])
          for (const piece of line.split(separator))
            if (/^[\s"]*[=+\-@＝＋－＠]/.test(piece)) expect.fail(`${JSON.stringify(text)} with ${separator}`)
  })

  it('stay as they are where nothing is dangerous', () => {
    const plain = [
      'Ada',
      'ada@example.com',
      'a-b',
      '2026-01-02T03:04:05.678Z',
      'Smith, Ada; editor',
      "O'Neil",
      '{"a":[1,2]}',
    ]
    for (const text of plain) expect(defuse(text)).to.equal(text)
  })

  it('are read by what wrote them', async () => {
    const rows = texts(3).map((text) => ['id', text, `${text};=1`, 'end'])
    const file = csvLines([['a', 'b', 'c', 'd'], ...rows])
    const read: string[][] = []
    for await (const records of readCsv(Readable.from([Buffer.from(file)]), { maxRecord: 1000 }))
      read.push(...records.map(({ cells }) => cells))
    expect(read.slice(1)).to.deep.equal(rows)
  })

  it('of fifty thousand of the same character take no time to speak of', () => {
    const started = performance.now()
    for (const part of PARTS) restore(defuse(part.repeat(50_000)))
    expect(performance.now() - started).to.be.lessThan(2000)
  })
})
