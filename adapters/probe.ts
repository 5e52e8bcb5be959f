/** Whether a server that the operator named takes connections. Says nothing about what it would answer. */
import { connect } from 'node:net'

const PORTS: Record<string, number> = { smtp: 587, smtps: 465, redis: 6379, rediss: 6379, http: 80, https: 443 }

/** Milliseconds until it took the connection; undefined when it did not within `patience` ms. */
export function reach(address: string, patience: number): Promise<number | undefined> {
  const url = new URL(address.startsWith('twilio:') ? 'https://api.twilio.com' : address)
  const port = Number(url.port) || PORTS[url.protocol.slice(0, -1)]
  if (!port) return Promise.resolve(undefined)
  const started = performance.now()
  return new Promise((resolve) => {
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ''), port })
    const end = (took: number | undefined) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(took)
    }
    const timer = setTimeout(end, patience, undefined)
    socket.once('connect', () => end(Math.round(performance.now() - started)))
    socket.once('error', () => end(undefined))
  })
}
