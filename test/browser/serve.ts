// A small server that shows every sample at /view/<name>, with the real renderer, assets and headers.
import { createSecretKey, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import type { Branding } from '../../adapters/branding.ts'
import { assets } from '../../interactions/assets.ts'
import { checkCsrf } from '../../interactions/csrf.ts'
import { pages, render } from '../../interactions/render.ts'
import { samples } from './samples.ts'

const openapi = {
  openapi: '3.1.0',
  info: { title: 'Sample', version: '1', description: 'A document to look at.' },
  components: {
    securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
    schemas: {
      User: { type: 'object', properties: { id: { type: 'string', format: 'uuid' }, email: { type: 'string' } } },
    },
  },
  security: [{ bearer: [] }],
  paths: Object.fromEntries(
    ['get', 'post', 'put', 'patch', 'delete'].map((method) => [
      `/v1/users/${method}`,
      {
        [method]: {
          tags: ['users'],
          summary: `Something to ${method}`,
          parameters: [{ name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1 } }],
          ...(method === 'get' || method === 'delete'
            ? {}
            : { requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/User' } } } } }),
          responses: {
            200: {
              description: 'A user',
              content: { 'application/json': { schema: { $ref: '#/components/schemas/User' } } },
            },
          },
        },
      },
    ]),
  ),
}

/** Starts on a free port. `brandings` are chosen by ?brand=name; POST answers what the CSRF check says. */
export async function serveSamples(brandings: Record<string, Branding> = {}) {
  const csrfKey = createSecretKey(randomBytes(32))
  const app = new Koa({ env: 'test' })
  // A browser that leaves early is no news.
  app.on('error', (error) => error.code === 'ERR_STREAM_PREMATURE_CLOSE' || console.error(error))
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  const url = `http://localhost:${(server.address() as AddressInfo).port}`
  app.use(pages({ publicUrl: url, csrfKey, development: true }))
  app.use(assets())
  app.use(async (ctx) => {
    const brand = brandings[String(ctx.query.brand)]
    if (brand) ctx.state.page.branding = brand
    if (ctx.query.ui_locales) ctx.state.page.uiLocales = String(ctx.query.ui_locales)
    // The answers below are no pages of ours, and a browser asks for a picture of theirs.
    if (ctx.path === '/favicon.ico') ctx.status = 204
    else if (ctx.path.startsWith('/openapi')) {
      ctx.body = openapi
    } else if (ctx.method === 'POST') {
      const chunks: Buffer[] = []
      for await (const chunk of ctx.req) chunks.push(chunk)
      const body = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()))
      ctx.body = { csrf: checkCsrf(ctx, body, csrfKey, url) ?? 'good', body }
    } else {
      const name = ctx.path.replace('/view/', '')
      const data = samples[name]
      if (data) render(ctx, name.split('.')[0]!, name === 'demo' ? { ...data, issuer: url } : data)
    }
  })
  server.on('request', app.callback())
  const stop = () =>
    new Promise((done) => {
      server.close(done)
      server.closeAllConnections()
    })
  return { url, close: stop }
}
