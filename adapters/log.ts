/** The log: pino, one JSON object a line, without secrets; or one readable line each for development. */
import pino, { type DestinationStream, type Logger as PinoLogger } from 'pino'
import { errorFields, redact, redactText } from './redact.ts'

export type Logger = PinoLogger

export interface LogOptions {
  /** trace, debug, info, warn, error, fatal or silent. */
  level: string
  /** Readable lines instead of JSON. */
  pretty?: boolean
  /** Where lines go; standard output when left out. */
  stream?: DestinationStream
}

const childSecrets = [
  ...['authorization', 'cookie', 'password', 'token', 'secret', 'code', 'access_token', 'refresh_token', 'id_token'],
  ...['accessToken', 'refreshToken', 'idToken', 'client_secret', 'clientSecret'],
]

/** Makes the root logger. Put an error under `err`. */
export function createLogger({ level, pretty = false, stream }: LogOptions): Logger {
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redact(fields) as Record<string, unknown>,
      },
      // pino does not pass the fields of child loggers through `log` above.
      redact: { paths: childSecrets, censor: '[redacted]' },
      serializers: { msg: redactMessage, err: (e) => errorFields(e), error: (e) => errorFields(e) },
    },
    pretty ? readable(stream ?? process.stdout) : (stream ?? buffered()),
  )
}

let stamped = 0
let stamp = ''
/** As pino.stdTimeFunctions.isoTime; many lines are of one millisecond. */
function timestamp(): string {
  const now = Date.now()
  if (now !== stamped) stamp = `,"time":"${new Date(now).toISOString()}"`
  stamped = now
  return stamp
}

const BUFFER = 8192
const FLUSH_MS = 500

/** Standard output in pieces: a write for every line is a system call for every request. A killed process loses 0.5 s. */
function buffered(): DestinationStream {
  const out = pino.destination({ dest: 1, sync: false, minLength: BUFFER })
  setInterval(() => out.flush(), FLUSH_MS).unref()
  process.on('exit', () => out.flushSync())
  return out
}

/** pino takes the message of an error as the line's own. */
function redactMessage(message: unknown): unknown {
  return typeof message === 'string' ? redactText(message) : message
}

const colours: Record<string, number> = { trace: 90, debug: 90, info: 32, warn: 33, error: 31, fatal: 31 }

/** Turns pino's JSON lines into `12:00:00 info  message key=value`, a stack below. */
function readable(out: DestinationStream & { hasColors?: () => boolean }): DestinationStream {
  const coloured = out.hasColors?.() === true
  const paint = (code: number, text: string) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text)
  return {
    write(line: string) {
      const { level, time, pid: _pid, msg, err, ...rest } = JSON.parse(line)
      const fields = Object.entries(rest).map(([key, value]) => paint(90, `${key}=`) + plain(value))
      const head = `${paint(90, String(time).slice(11, 19))} ${paint(colours[level] ?? 0, String(level).padEnd(5))}`
      const text = [head, msg ?? err?.message, ...fields].filter(Boolean).join(' ')
      const stack = err ? `\n${indent(describe(err))}` : ''
      out.write(`${text}${stack}\n`)
    },
  }
}

function plain(value: unknown): string {
  return typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value)
}

function describe(err: { stack?: string; message?: string; code?: unknown; cause?: any }): string {
  const own = `${err.stack || err.message || JSON.stringify(err)}${err.code ? ` (${err.code})` : ''}`
  return err.cause ? `${own}\ncaused by ${describe(err.cause)}` : own
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ')
}
