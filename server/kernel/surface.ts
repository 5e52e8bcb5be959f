/** A surface spells operations for one published document: names, envelopes, failures, and its rows (paths). */
import type { Failure } from './errors.ts'
import type { Operation } from './operation.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
export type Json = Record<string, any>

export interface RowOptions {
  status?: number
  /** Fills this input key with the caller's own user id. */
  self?: string
  /** Input keys fixed by the row. */
  fixed?: Record<string, unknown>
  /** Renames the one list of the output, as this document calls it. */
  as?: string
  /** A permission this row asks for besides the operation's own. Adds, never removes. */
  permission?: string
  /** Takes a form as well as JSON, and ignores unknown fields in it (OAuth 2.0 Form Post Response Mode). */
  form?: boolean
  /** Input keys under other names on this row: wire name → input key. */
  names?: Record<string, string>
}
export interface Row extends RowOptions {
  method: Method
  path: string
  op: Operation
}
export interface Surface {
  id: string
  title: string
  /** The wire name of a key of the named resource. */
  name(resource: string | undefined, key: string): string
  ok(data: unknown): unknown
  okSchema(data: Json): Json
  /** `method` is the request's, since sso-api names faults by it. */
  fail(failure: Failure, requestId: string, method: string): { type: string; body: unknown }
  failSchema: Json
  /** Media type of failures. */
  failType: string
  rows: Row[]
}

export const row = (method: Method, path: string, op: Operation, options: RowOptions = {}): Row => ({
  method,
  path: path.replace(/\{(\w+)\}/g, ':$1'),
  op,
  ...options,
})

export const snake = (key: string) => key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)

type Speller = Pick<Surface, 'name'>

/** The schema as this surface spells it. */
export function wire(surface: Speller, json: Json): Json {
  if (json.anyOf) return { ...json, anyOf: json.anyOf.map((j: Json) => wire(surface, j)) }
  if (json.type === 'array') return { ...json, items: wire(surface, json.items) }
  if (json.type !== 'object' || !json.properties) return { ...json }
  const spell = (key: string) => surface.name(json.title, key)
  return {
    ...json,
    ...(json.required && { required: json.required.map(spell) }),
    properties: Object.fromEntries(
      Object.entries<Json>(json.properties).map(([key, j]) => [spell(key), wire(surface, j)]),
    ),
  }
}

/** A function that spells a domain value for the wire; keys the schema does not declare are dropped. */
export function encoder(surface: Speller, json: Json): (value: any) => any {
  if (json.anyOf) {
    const branches = json.anyOf
      .filter((j: Json) => j.type !== 'null')
      .map((j: Json) => ({ required: (j.required ?? []) as string[], encode: encoder(surface, j) }))
    return (value) => {
      if (value === null || value === undefined) return value
      const fits = branches.find((b: { required: string[] }) => b.required.every((k) => value[k] !== undefined))
      return (fits ?? branches[0]).encode(value)
    }
  }
  if (json.type === 'array') {
    const item = encoder(surface, json.items)
    return (value) => value?.map(item)
  }
  if (json.type === 'object' && json.properties) {
    const fields = Object.entries<Json>(json.properties).map(
      ([key, j]) => [key, surface.name(json.title, key), encoder(surface, j)] as const,
    )
    return (value) => {
      if (value === null || value === undefined) return value
      const out: Json = {}
      for (const [key, name, encode] of fields) if (value[key] !== undefined) out[name] = encode(value[key])
      return out
    }
  }
  return (value) => (value instanceof Date ? value.toISOString() : value)
}

/** The inverse of encoder, for validated input. */
export function decoder(surface: Speller, json: Json): (value: any) => any {
  if (json.anyOf) {
    const branches = json.anyOf.filter((j: Json) => j.type !== 'null')
    if (branches.length === 1) {
      const decode = decoder(surface, branches[0])
      return (value) => (value === null ? null : decode(value))
    }
    return (value) => value
  }
  if (json.type === 'array') {
    const item = decoder(surface, json.items)
    return (value) => value?.map(item)
  }
  if (json.type === 'object' && json.properties) {
    const fields = Object.entries<Json>(json.properties).map(
      ([key, j]) => [key, surface.name(json.title, key), decoder(surface, j)] as const,
    )
    return (value) => {
      if (value === null || value === undefined) return value
      const out: Json = {}
      for (const [key, name, decode] of fields) if (value[name] !== undefined) out[key] = decode(value[name])
      return out
    }
  }
  if (json.format === 'date-time') return (value) => (typeof value === 'string' ? new Date(value) : value)
  return (value) => value
}
