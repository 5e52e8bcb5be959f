/** /health and /metrics: answered before everything else, at most 200 ms, without names of hosts. */

import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { sha256 } from '../adapters/sealing.ts'
import type { Deps } from './deps.ts'

const PATIENCE_MS = 150

export interface Readiness {
  /** False while starting or draining. */
  ready: boolean
}

/** Answers the two paths; false for all others. */
export function createProbes(deps: Deps, readiness: Readiness) {
  const { config } = deps.out

  return async (req: IncomingMessage, res: ServerResponse): Promise<boolean> => {
    const path = (req.url ?? '').split('?')[0]
    if (path !== '/health' && path !== '/metrics') return false
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      res.writeHead(405, { Allow: 'GET, HEAD' }).end()
      return true
    }
    if (path === '/metrics') {
      await metrics(req, res)
      return true
    }
    const database = await deps.pulse.beats(PATIENCE_MS)
    const ok = database && readiness.ready
    res.setHeader('Cache-Control', 'no-store')
    res.setHeader('Content-Type', 'application/json')
    if (!ok) res.setHeader('Retry-After', '2')
    res.writeHead(ok ? 200 : 503)
    res.end(JSON.stringify({ status: ok ? 'ok' : 'unavailable', services: { database: database ? 'up' : 'down' } }))
    return true
  }

  async function metrics(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (!mayScrape(req)) {
      res.writeHead(config.metricsToken ? 401 : 404, config.metricsToken ? { 'WWW-Authenticate': 'Bearer' } : {}).end()
      return
    }
    res.setHeader('Content-Type', deps.metrics.contentType)
    res.end(await deps.metrics.text())
  }

  function mayScrape(req: IncomingMessage): boolean {
    if (config.metricsToken === undefined) return !config.production
    const sent = sha256((req.headers.authorization ?? '').replace(/^Bearer /i, ''))
    return timingSafeEqual(sent, sha256(config.metricsToken))
  }
}
