/** Answers too long to be held: written while they are made, in no envelope, as fast as the client reads. */
import type { Readable } from 'node:stream'
import type { Context as KoaContext } from 'koa'
import { patience } from './patience.ts'

const described = new WeakMap<Readable, { type: string; filename?: string }>()

/** Says as what an answer that is a stream leaves. Without, it is JSON. */
export function download(body: Readable, type: string, filename?: string): Readable {
  described.set(body, { type, ...(filename !== undefined && { filename }) })
  return body
}

/** Makes the stream the body. What fails in it later cuts the connection, so that nobody takes a part for the whole. */
export function stream(koa: KoaContext, body: Readable): void {
  const { type, filename } = described.get(body) ?? { type: 'application/json' }
  if (filename !== undefined) koa.attachment(filename)
  koa.body = body
  koa.type = type
  // Cuts the connection of who reads nothing.
  koa.res.setTimeout(patience.download)
}
