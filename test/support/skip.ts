/** Skipping with a reason, which the test run prints. Call it inside a test or a before hook: `skip(this, 'no Redis')`. */
import type { Context } from 'mocha'

const reasons = new WeakMap<object, string>()

export function skip(context: Context, reason: string): never {
  const running = context.test
  if (running)
    reasons.set((running as { type?: string }).type === 'hook' && running.parent ? running.parent : running, reason)
  return context.skip()
}

/** Why this test, or a suite around it, was skipped. */
export function reasonOf(test: { parent?: object | undefined }): string {
  for (let at: { parent?: object | undefined } | undefined = test; at; at = at.parent as typeof at) {
    const reason = reasons.get(at)
    if (reason) return reason
  }
  return 'no reason given'
}
