/** One server under test as seen by the load generator: keep-alive connections, cookies by hand, a new address each time. */
import { Pool } from 'undici'

export interface Answer {
  status: number
  body: string
  location: string
  cookies: string[]
}
export type Jar = Map<string, string>
export interface Ask {
  method?: 'GET' | 'POST'
  form?: Record<string, string>
  json?: unknown
  basic?: string
  bearer?: string
  jar?: Jar
}
export interface Http {
  (path: string, ask?: Ask): Promise<Answer>
  close(): Promise<void>
}

/** What a browser would call the server; nothing is sent there. */
export const ISSUER = 'https://id.example.com'

let visitors = 0
/** As behind a proxy with many people: nobody meets a rate limit. */
function nextAddress(): string {
  visitors += 1
  return `10.${(visitors >> 16) & 255}.${(visitors >> 8) & 255}.${visitors & 255}`
}

export function connectTo(port: number, connections: number): Http {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections, pipelining: 1, keepAliveTimeout: 60_000 })
  const http = (async (path, { method, form, json, basic, bearer, jar } = {}) => {
    const headers: Record<string, string> = {
      host: 'id.example.com',
      'user-agent': 'bench',
      'x-forwarded-for': nextAddress(),
      'x-forwarded-proto': 'https',
    }
    if (form) headers['content-type'] = 'application/x-www-form-urlencoded'
    if (form && jar) headers.origin = ISSUER
    if (json) headers['content-type'] = 'application/json'
    if (basic) headers.authorization = basic
    if (bearer) headers.authorization = `Bearer ${bearer}`
    if (jar?.size) headers.cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await pool.request({
      path,
      method: method ?? (form || json ? 'POST' : 'GET'),
      headers,
      body: form ? new URLSearchParams(form).toString() : json ? JSON.stringify(json) : null,
    })
    const body = await response.body.text()
    const cookies = ([] as string[]).concat(response.headers['set-cookie'] ?? [])
    if (jar) for (const line of cookies) keep(jar, line)
    return { status: response.statusCode, body, location: String(response.headers.location ?? ''), cookies }
  }) as Http
  http.close = () => pool.destroy()
  return http
}

function keep(jar: Jar, line: string): void {
  const pair = line.slice(0, line.indexOf(';') === -1 ? undefined : line.indexOf(';'))
  const at = pair.indexOf('=')
  const [name, value] = [pair.slice(0, at), pair.slice(at + 1)]
  if (value === '' || line.includes('01 Jan 1970')) jar.delete(name)
  else jar.set(name, value)
}

export function expectStatus(answer: Answer, status: number, what: string): Answer {
  if (answer.status !== status)
    throw new Error(`${what}: ${answer.status} ${answer.location} ${answer.body.slice(0, 500)}`)
  return answer
}
