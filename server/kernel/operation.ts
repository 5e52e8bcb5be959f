/** An operation is one thing the system can do. It knows no path, no envelope and no Koa. */
import type { Code } from './errors.ts'
import type { ObjectSchema, Schema, Static } from './schema.ts'
import type { Upload } from './upload.ts'

/**
 * Who may call: nobody in particular, any signed-in user, holders of a permission (or also the user the call is about, or any
 * user, who then sees less), or holders of a permission inside what the call is about, which only the operation can find.
 */
export type Auth = 'anyone' | 'user' | { permission: string; orSelf?: string; orUser?: true } | { inside: string }

/** The permission an operation asks for, wherever it must be held. */
export const permissionOf = (auth: Auth): string | undefined => {
  if (typeof auth === 'string') return undefined
  return 'inside' in auth ? auth.inside : auth.permission
}

export interface Limit {
  /** Operations with one name share one budget. */
  name: string
  count: number
  seconds: number
}

/** How a caller stands to a limit. */
export interface LimitState {
  ok: boolean
  limit: number
  remaining: number
  /** When the window is over: Unix time in whole seconds. */
  reset: number
  /** Whole seconds to wait; 0 while `ok`. */
  retryAfter: number
}

export interface Operation<C = any, I extends ObjectSchema = any, O extends Schema = any, P = any> {
  readonly id: string
  readonly summary: string
  readonly description?: string
  readonly tag: string
  readonly auth: Auth
  /** write runs in a transaction; delegated leaves committing to the OpenID provider it calls. */
  readonly effect: 'read' | 'write' | 'delegated'
  readonly input: I
  readonly output: O
  readonly errors?: readonly Code[]
  readonly limit?: Limit
  /** Open to callers who have proven less of themselves than is asked for today: it lets them prove more, or leave. */
  readonly evenIfWeak?: true
  /** Example request body, in this operation's own (camelCase) keys. */
  readonly example?: unknown
  /**
   * The version of what it is about, for ETag, If-Match and If-None-Match. `lock` when a change follows: whoever asks next
   * must wait for it.
   */
  version?(ctx: C, input: Static<I>, lock: boolean): Promise<string>
  /** A body of one of these media types, read while it comes in; input is then of path and query alone. */
  readonly upload?: Readonly<Record<string, Schema>>
  /** Media types in which the answer can come besides JSON, written while it is made. */
  readonly downloads?: readonly string[]
  /** May answer 202, in the same shape: the work goes on as a job. */
  readonly mayTakeLong?: boolean
  /** Slow or outside work (argon2, another server's HTTP) before the transaction opens. `upload` where there is one. */
  prepare?(ctx: C, input: Static<I>, upload: Upload): Promise<P>
  run(ctx: C, input: Static<I>, prepared: P): Promise<Static<O>>
}

/** Binds the context type once, so that operations infer the rest. */
export const operationsOf =
  <C>() =>
  <I extends ObjectSchema, O extends Schema, P = undefined>(op: Operation<C, I, O, P>): Operation<C, I, O, P> =>
    op
