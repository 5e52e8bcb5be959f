/** Opening a port with time limits that hold against slow clients, and closing it without cutting anybody off. */
import type { Server } from 'node:http'

/** How long (ms) running requests may take to end. */
const DRAIN_MS = 10_000

/** Throws in words when the port is taken. */
export function listen(server: Server, port: number, host: string): Promise<Server> {
  server.keepAliveTimeout = 65_000
  server.headersTimeout = 20_000
  // Node has one limit for all requests. The front door's is lifted for those that may take long.
  server.requestTimeout = 0
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, port)))
    server.listen(port, host, () => resolve(server))
  })
}

function explain(error: NodeJS.ErrnoException, port: number): Error {
  if (error.code === 'EADDRINUSE') return new Error(`port ${port} is in use; stop what uses it, or set PORT to another`)
  if (error.code === 'EACCES') return new Error(`port ${port} is not allowed to this user; set PORT to 1024 or more`)
  return error
}

/** Takes no new requests and lets the running ones end; their connections close behind them. */
export function drain(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // A connection that was kept alive by its last answer is idle again.
    const sweep = setInterval(() => server.closeIdleConnections(), 100)
    const limit = setTimeout(() => server.closeAllConnections(), DRAIN_MS)
    server.close(() => {
      clearInterval(sweep)
      clearTimeout(limit)
      resolve()
    })
    server.closeIdleConnections()
  })
}
