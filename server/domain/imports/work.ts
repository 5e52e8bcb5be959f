/** A row of an import on its way, which ends once: by what became of it. */
import { Failure } from '../../kernel/errors.ts'
import type { Problem } from '../../kernel/validate.ts'
import type { Candidate } from './rows.ts'
import type { Outcome } from './store.ts'

export interface Work extends Candidate {
  importId: string
  /** Of the address, as people are found by it. */
  key: string
  roleIds: string[]
  organizationIds: string[]
  ended: boolean
  end(outcome: Outcome, userId: string | null, errors?: Problem[]): void
}

export const refuse = (work: Work, field: string, message: string, userId: string | null = null) =>
  work.end('failed', userId, [{ field, message }])

/** What a refusal says. Throws what is none. */
export const messageOf = (error: unknown): string => {
  if (error instanceof Failure) return error.message
  throw error
}
