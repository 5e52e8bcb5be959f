// Static files of our pages: views/assets and the few files of swagger-ui that /docs needs. An address made by asset()
// carries the content's hash and may be kept for ever; the plain address is revalidated by ETag.
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Middleware } from 'koa'

const own = fileURLToPath(new URL('../views/assets/', import.meta.url))
const swagger = dirname(fileURLToPath(import.meta.resolve('swagger-ui-dist/package.json')))

const files: ReadonlyMap<string, string> = new Map([
  ...['gatehouse.css', 'page.js', 'passkey-add.js', 'passkey.js', 'demo.js', 'docs.css', 'docs.js', 'favicon.svg'].map(
    (name) => entry(name, own, name),
  ),
  ...['swagger-ui.css', 'swagger-ui-bundle.js'].map((name) => entry(`swagger/${name}`, swagger, name)),
])

const types: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

const hashes = new Map<string, { mtime: number; size: number; hash: string }>()

/** The cacheable address of a file, such as /assets/3f9a…/gatehouse.css. Throws for a name that is not served. */
export function asset(name: string): string {
  const path = files.get(name)
  if (!path) throw new Error(`No such asset: ${name}`)
  return `/assets/${stamp(path).hash}/${name}`
}

/** Serves GET and HEAD of /assets/*; other paths pass on. */
export function assets(): Middleware {
  return async (ctx, next) => {
    const found = /^\/assets\/(?:([0-9a-f]{16})\/)?(.+)$/.exec(ctx.path)
    const path = found && files.get(found[2]!)
    if (!path || !['GET', 'HEAD'].includes(ctx.method)) return next()
    const { hash, size } = stamp(path)
    ctx.status = 200
    ctx.type = types[extname(path)]!
    ctx.etag = hash
    ctx.length = size
    // During a rolling update a page may ask for the hash of another version: answer, but let nobody keep it.
    ctx.set('Cache-Control', found[1] === hash ? 'public, max-age=31536000, immutable' : 'no-cache')
    ctx.set('X-Content-Type-Options', 'nosniff')
    ctx.set('Cross-Origin-Resource-Policy', 'same-origin')
    if (ctx.fresh) {
      ctx.status = 304
      return
    }
    if (ctx.method === 'GET') ctx.body = createReadStream(path)
    ctx.length = size
  }
}

function stamp(path: string) {
  const { mtimeMs: mtime, size } = statSync(path)
  const known = hashes.get(path)
  if (known?.mtime === mtime && known.size === size) return known
  const hash = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16)
  const made = { mtime, size, hash }
  hashes.set(path, made)
  return made
}

function entry(name: string, folder: string, file: string): [string, string] {
  return [name, join(folder, file)]
}
