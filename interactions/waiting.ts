/** Sign-ins that wait, where one may have gone meanwhile. */
import * as second from '../server/domain/factors/second.ts'
import type { Failure } from '../server/kernel/errors.ts'
import type { Step } from './step.ts'

export type Waiting = Awaited<ReturnType<typeof second.open>>

/** What was opened, or undefined where nothing waits. */
export const ifWaiting = <T>(opened: Promise<T>): Promise<T | undefined> =>
  opened.catch((error) => {
    if ((error as Failure).code === 'UNAUTHORIZED') return undefined
    throw error
  })

/** The sign-in of this interaction that waits for its second factor. */
export const waiting = (s: Step): Promise<Waiting | undefined> =>
  ifWaiting(second.open(s.ctx, { interactionId: s.interaction.uid }))
