/** Which authentication context an app asks for (acr_values: OIDC Core 3.1.2.1, RFC 9470). */
import { ACR } from '../domain/proofs.ts'

/** Only a second factor will do. */
export function demandsMfa(params: { acr_values?: string | undefined }): boolean {
  const values = params.acr_values?.split(' ') ?? []
  return values.includes(ACR.mfa) && !values.includes(ACR.single)
}
