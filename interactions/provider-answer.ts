/** What an identity provider sent back in the address: one string a name, nothing overlong (RFC 6749 4.1.2, RFC 9207). */
import type { Context as KoaContext } from 'koa'

const LONGEST = 4096

export function providerAnswer(koa: KoaContext) {
  const word = (name: string) => {
    const value = koa.query[name]
    return typeof value === 'string' && value.length <= LONGEST ? value : undefined
  }
  return {
    code: word('code'),
    state: word('state'),
    iss: word('iss'),
    error: word('error'),
    errorDescription: word('error_description'),
    user: word('user'),
  }
}
