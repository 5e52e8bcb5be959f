/** Callers with addresses of their own, for apps started with TRUST_PROXY=1. */
let last = 0

/** Headers of a caller nobody was before (RFC 2544's range). */
export function from(): { 'x-forwarded-for': string } {
  last += 1
  return { 'x-forwarded-for': `198.18.${Math.floor(last / 250)}.${(last % 250) + 1}` }
}

export const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))
