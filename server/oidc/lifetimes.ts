/** How long what is issued lives: as the tenant says, or less where the client or the API resource does. In seconds. */
import type { Lifetimes } from '../domain/directory.ts'
import type { Settings } from '../domain/settings.ts'

const of = (client: any): Lifetimes => client?.record?.lifetimes ?? {}

export function lifetimes(settings: Settings) {
  const accessToken = (_ctx: unknown, token: any, client: any) =>
    Math.min(
      token.resourceServer?.accessTokenTTL ?? settings.access_token_lifetime,
      of(client).access_token ?? Infinity,
    )
  return {
    AccessToken: accessToken,
    ClientCredentials: accessToken,
    IdToken: (_ctx: unknown, _token: any, client: any) =>
      Math.min(settings.access_token_lifetime, of(client).id_token ?? Infinity),
    /** `iiat` is when the first of the rotated ones was made, which is the sign-in. */
    RefreshToken(_ctx: unknown, token: any, client: any): number {
      const { refresh_token: own = Infinity, session = Infinity } = of(client)
      const age = Math.floor(Date.now() / 1000) - token.iiat
      return Math.max(1, Math.min(settings.refresh_token_lifetime, own, session - age))
    },
  }
}
