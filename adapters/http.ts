/**
 * HTTP to addresses that others choose (webhooks, back-channel logout, jwks_uri, identity providers), without being led
 * into our own network: every address is checked when it is connected to, on each redirect anew.
 */
import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import type { Agent } from 'undici'
import { mayConnect, parseNetwork } from './addresses.ts'
import { lazily } from './lazily.ts'
import { createQueue } from './queue.ts'

/** 12 MB. */
const undici = lazily<typeof import('undici')>('undici')

/** What was asked for is forbidden, whoever answers. Failures of the network are other errors (TypeError, TimeoutError). */
export class OutboundRefused extends Error {
  readonly reason: 'address' | 'scheme' | 'redirect' | 'size'
  constructor(reason: OutboundRefused['reason'], message: string) {
    super(message)
    this.name = 'OutboundRefused'
    this.reason = reason
  }
}

export interface OutboundInit {
  method?: string
  headers?: Headers | Record<string, string> | [string, string][]
  body?: string | Uint8Array | URLSearchParams | null
  /** follow (the default; at most 3), manual (the 3xx is the answer) or error. */
  redirect?: 'follow' | 'manual' | 'error'
  signal?: AbortSignal | null
  /** Milliseconds for everything, redirects and body included; 10,000. */
  timeout?: number
  /** Bytes of the decoded body; 1 MiB. */
  maxBytes?: number
  /** A longer body is cut there, and what follows is not waited for; it is refused otherwise. */
  cut?: boolean
  /** Not even what `allow` adds, and only by names that DNS knows: whose name servers take long hold up nobody else. */
  publicOnly?: boolean
}

/** `allowed` is reached by OUTBOUND_ALLOW alone; `unknown` is a name that has no address now. */
export type Place = 'public' | 'allowed' | 'refused' | 'unknown'

export interface Outbound {
  /** Like the global fetch. The answer has been read to its end when this resolves. Throws OutboundRefused. */
  fetch(url: string | URL, init?: OutboundInit): Promise<Response>
  /** Where a URL's host is at the moment, for advice: what counts is checked when it is connected to. */
  locate(url: URL, options?: { publicOnly?: boolean }): Promise<Place>
  close(): Promise<void>
}

type UndiciFetch = typeof import('undici').fetch
interface Client {
  fetch: UndiciFetch
  agent: Agent
}
interface Step {
  url: URL
  method: string
  headers: Headers
  body: OutboundInit['body']
}

const MAX_REDIRECTS = 3
const secretHeaders = ['authorization', 'cookie', 'proxy-authorization']
const bodyHeaders = ['content-type', 'content-length', 'content-encoding', 'content-language', 'content-location']

interface Options {
  /** Networks that may be reached besides public addresses, such as 10.0.0.0/8. */
  allow: string[]
  /** All addresses of a name; the system's resolver. */
  resolve?: Resolve
  /** The same, for what may be public only; DNS. */
  ask?: Resolve
}
type Resolve = (hostname: string) => Promise<LookupAddress[]>
interface Reach {
  networks: ReturnType<typeof parseNetwork>[]
  find: Resolve
}

/** Throws TypeError for an entry of `allow` that is no network. */
export function createOutbound({ allow, resolve = resolveAll, ask = askDns }: Options): Outbound {
  // getaddrinfo blocks one of libuv's few threads for as long as a name server likes.
  const line = createQueue(2, 1000)
  const reaches = {
    all: { networks: allow.map(parseNetwork), find: (hostname: string) => line.run(() => resolve(hostname)) },
    public: { networks: [], find: ask },
  } satisfies Record<string, Reach>
  const open = ({ networks, find }: Reach): Client => {
    const agent = new (undici().Agent)({
      connect: { lookup: checkedLookup(find, (address) => mayConnect(address, networks)), timeout: 5000 },
      // Longer than any call may take as a whole.
      headersTimeout: 30_000,
      bodyTimeout: 30_000,
      keepAliveTimeout: 2000,
      maxHeaderSize: 16_384,
      // Each call may be to a host that never answers; none may wait for another's.
      connections: null,
    })
    return { fetch: undici().fetch, agent }
  }
  const clients: { all?: Client; public?: Client } = {}

  async function send(step: Step, signal: AbortSignal, reach: keyof typeof reaches) {
    const host = hostOf(step.url)
    // A literal address is connected to without a look-up.
    if (isIP(host) && !mayConnect(host, reaches[reach].networks)) throw refusedAddress(host)
    const { url, method, headers, body } = step
    clients[reach] ??= open(reaches[reach])
    const { fetch, agent } = clients[reach]
    try {
      const options = {
        method,
        headers: [...headers],
        body: body ?? null,
        redirect: 'manual',
        signal,
        dispatcher: agent,
      }
      return await fetch(url, options as Parameters<UndiciFetch>[1])
    } catch (error) {
      throw cause(error)
    }
  }

  async function fetch(target: string | URL, init: OutboundInit = {}): Promise<Response> {
    const { redirect = 'follow', timeout = 10_000, maxBytes = 1_048_576, cut = false, publicOnly = false } = init
    const signal = AbortSignal.any([AbortSignal.timeout(timeout), ...(init.signal ? [init.signal] : [])])
    const headers = new Headers(init.headers)
    if (!headers.has('user-agent')) headers.set('user-agent', 'Gatehouse')
    let step: Step = { url: checkedUrl(target), method: (init.method ?? 'GET').toUpperCase(), headers, body: init.body }
    if (step.body instanceof URLSearchParams && !headers.has('content-type')) {
      headers.set('content-type', 'application/x-www-form-urlencoded;charset=UTF-8')
    }
    for (let redirects = 0; ; redirects++) {
      const response = await send(step, signal, publicOnly ? 'public' : 'all')
      const location = response.headers.get('location')
      const moved = [301, 302, 303, 307, 308].includes(response.status) && location !== null
      if (!moved || redirect === 'manual') return whole(response, step.url, maxBytes, cut)
      await response.body?.cancel()
      if (redirect === 'error') throw new OutboundRefused('redirect', `${step.url.host} redirects`)
      if (redirects === MAX_REDIRECTS) throw new OutboundRefused('redirect', `${step.url.host} redirects too often`)
      step = follow(step, response.status, location)
    }
  }

  async function locate(url: URL, { publicOnly = false } = {}): Promise<Place> {
    const { networks, find }: Reach = publicOnly ? reaches.public : reaches.all
    const host = hostOf(url)
    const found = isIP(host) ? [{ address: host }] : await find(host).catch(() => [])
    if (found.length === 0) return 'unknown'
    const good = found.filter(({ address }) => mayConnect(address, networks))
    if (good.length === 0) return 'refused'
    return good.every(({ address }) => mayConnect(address, [])) ? 'public' : 'allowed'
  }

  async function close(): Promise<void> {
    for (const { agent } of Object.values(clients)) await agent.destroy()
  }
  return { fetch, locate, close }
}

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '')

/** Resolves names and hands on only the addresses that pass, so that what was checked is what is connected to. */
function checkedLookup(resolve: Resolve, passes: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname)
      .then((found) => {
        const good = found.filter(({ address }) => passes(address))
        if (good.length === 0) throw refusedAddress(hostname)
        return good
      })
      .then(
        (good) => {
          if (options.all) callback(null, good)
          else callback(null, good[0]!.address, good[0]!.family)
        },
        (error) => callback(error, ''),
      )
  }
}

function resolveAll(hostname: string): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    dnsLookup(hostname, { all: true }, (error, found) => (error ? reject(error) : resolve(found)))
  })
}

/** What DNS has for a name, /etc/hosts aside. Waits in no thread, and not for long. */
async function askDns(hostname: string): Promise<LookupAddress[]> {
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  const [v4, v6] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)])
  const found = [
    ...(v4.status === 'fulfilled' ? v4.value.map((address) => ({ address, family: 4 })) : []),
    ...(v6.status === 'fulfilled' ? v6.value.map((address) => ({ address, family: 6 })) : []),
  ]
  if (found.length === 0 && v4.status === 'rejected') throw v4.reason
  return found
}

/** RFC 9110, 15.4. Credentials stay with the origin they were meant for. */
function follow(step: Step, status: number, location: string): Step {
  const target = URL.parse(location, step.url.href)
  if (!target) throw new OutboundRefused('redirect', `${step.url.host} redirects to no URL`)
  const url = checkedUrl(target)
  if (step.url.protocol === 'https:' && url.protocol === 'http:') {
    throw new OutboundRefused('redirect', `${step.url.host} redirects from https to http`)
  }
  const headers = new Headers(step.headers)
  if (url.origin !== step.url.origin) for (const name of secretHeaders) headers.delete(name)
  const asGet = status === 303 ? step.method !== 'HEAD' : (status === 301 || status === 302) && step.method === 'POST'
  if (!asGet) return { ...step, url, headers }
  for (const name of bodyHeaders) headers.delete(name)
  return { url, method: 'GET', headers, body: null }
}

function checkedUrl(target: string | URL): URL {
  const url = URL.parse(String(target))
  if (!url) throw new TypeError('Not an absolute URL')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new OutboundRefused('scheme', `${url.protocol} is not reachable, only http and https`)
  }
  return url
}

/** Reads the body, as far as allowed, into an answer that needs the network no more. */
async function whole(
  response: Awaited<ReturnType<UndiciFetch>>,
  url: URL,
  maxBytes: number,
  cut: boolean,
): Promise<Response> {
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for await (const chunk of response.body ?? []) {
      size += chunk.byteLength
      if (size > maxBytes && cut) {
        // Leaving the loop closes the connection.
        chunks.push(chunk.subarray(0, chunk.byteLength - (size - maxBytes)))
        break
      }
      if (size > maxBytes) throw new OutboundRefused('size', `${url.host} answers with more than ${maxBytes} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    throw cause(error)
  }
  const headers = new Headers([...response.headers])
  // The body is decoded already.
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) headers.delete(name)
  const { status, statusText } = response
  const empty = [204, 205, 304].includes(status)
  const answer = new Response(empty ? null : Buffer.concat(chunks), { status, statusText, headers })
  return Object.defineProperty(answer, 'url', { value: url.href })
}

/** fetch wraps what went wrong below it; a refusal or a time-out must be told as such. */
function cause(error: unknown): unknown {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof OutboundRefused) return at
  return error
}

function refusedAddress(host: string): OutboundRefused {
  return new OutboundRefused('address', `${host} is not a public address (see OUTBOUND_ALLOW)`)
}
