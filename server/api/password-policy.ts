/** Says whether a password would be accepted, before it is chosen. */
import { operation } from '../domain/context.ts'
import { explanations, weaknesses } from '../domain/password-policy.ts'
import { array, boolean, object, string } from '../kernel/schema.ts'
import { Password } from './shapes.ts'

export const validate = operation({
  id: 'password.validate',
  summary: 'Validate password',
  description: 'Whether the password meets the policy. Never tells whether it is, or was, the password of an account.',
  tag: 'Password',
  auth: 'user',
  effect: 'read',
  limit: { name: 'password-validate', count: 60, seconds: 900 },
  input: object({ password: Password }),
  example: { password: 'NewSecurePassword123!' },
  output: object({
    valid: boolean(),
    errors: array(object({ rule: string(), message: string() })),
  }),
  async run(ctx, { password }) {
    const broken = weaknesses(ctx, password, ctx.actor!.user!)
    return {
      valid: broken.length === 0,
      errors: broken.map((rule) => ({ rule, message: `The password ${explanations[rule]}` })),
    }
  },
})
