/** JSON too long to be held, by @streamparser/json: the items of one list as they come, and what stands beside the list. */
import type { JSONParser } from '@streamparser/json'
import { lazily } from './lazily.ts'

const streamparser = lazily<typeof import('@streamparser/json')>('@streamparser/json')

export class JsonFault extends Error {
  override name = 'JsonFault'
}

export interface Layout {
  /** The key whose list is read item by item; undefined where the whole is a list. */
  list: string | undefined
  /** Called for everything beside the list, in its order. */
  onBeside(key: string, value: unknown): void
  /** Most bytes without the end of an item, which bounds what is held. */
  maxGap: number
}

/**
 * Items, some at a time. Throws JsonFault for what is no JSON, no such object or list, has a key twice, or holds more than
 * `maxGap` bytes in one piece.
 */
export async function* readJsonItems(source: AsyncIterable<Buffer>, layout: Layout): AsyncGenerator<unknown[]> {
  const state: State = { items: [], keys: new Set() }
  const parser = parserOf(layout, state)
  let gap = 0
  for await (const bytes of source) {
    parser.write(bytes)
    if (state.fault) throw state.fault
    gap = state.items.length > 0 ? 0 : gap + bytes.length
    if (gap > layout.maxGap) throw new JsonFault('one piece of the body is too large')
    if (state.items.length > 0) yield state.items
    state.items = []
  }
  if (!parser.isEnded) throw new JsonFault('the body is not valid JSON: it ends too early')
}

interface State {
  items: unknown[]
  keys: Set<string>
  fault?: Error
}

function parserOf({ list, onBeside }: Layout, state: State): JSONParser {
  const parser = new (streamparser().JSONParser)({ paths: list === undefined ? ['$.*'] : ['$.*', `$.${list}.*`] })
  let count = 0
  const wanted = list === undefined ? 'a list' : 'an object'
  const refuse = (message: string) => {
    state.fault ??= new JsonFault(message)
  }
  parser.onError = () => refuse(`the body is not valid JSON (after item ${count})`)
  parser.onValue = ({ value, key, parent, stack }) => {
    // Forgotten by the parser as well: nothing but this piece is held.
    if (parent && key !== undefined) delete (parent as any)[key]
    const isItem = stack.length === (list === undefined ? 1 : 2)
    if (isItem && typeof key !== 'number')
      return refuse(list === undefined ? `the body must be ${wanted}` : `${list} must be a list`)
    if (isItem) {
      count += 1
      return void state.items.push(value)
    }
    if (typeof key === 'number') return refuse(`the body must be ${wanted}`)
    const name = String(key)
    if (state.keys.has(name)) return refuse(`${name} is there twice`)
    state.keys.add(name)
    if (name !== list) return onBeside(name, value)
    if (!Array.isArray(value)) refuse(`${list} must be a list`)
  }
  return parser
}

export interface JsonLine {
  /** From 1. */
  line: number
  value?: unknown
  fault?: string
}

/** Lines of JSON, each by itself: what cannot be read is told apart by `fault`. Throws JsonFault for a line past `maxLine` bytes. */
export async function* readJsonLines(source: AsyncIterable<Buffer>, maxLine: number): AsyncGenerator<JsonLine[]> {
  let rest = ''
  let line = 0
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const decode = (bytes?: Buffer) => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined })
    } catch {
      throw new JsonFault(`the text is not UTF-8 (after line ${line})`)
    }
  }
  const parsed = (text: string): JsonLine[] => {
    line += 1
    if (!text.trim()) return []
    try {
      return [{ line, value: JSON.parse(text) as unknown }]
    } catch {
      return [{ line, fault: 'is not valid JSON' }]
    }
  }
  for await (const bytes of source) {
    const lines = (rest + decode(bytes)).split('\n')
    rest = lines.pop()!
    if (rest.length > maxLine) throw new JsonFault(`line ${line + lines.length + 1} is too large`)
    const found = lines.flatMap(parsed)
    if (found.length > 0) yield found
  }
  const last = parsed(rest + decode())
  if (last.length > 0) yield last
}
