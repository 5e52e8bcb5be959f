/** Callers by where they come from. */

/**
 * What counts as one address for limits: an IPv4 address, or the /64 of an IPv6 address, since whoever has one of its
 * 2^64 addresses has them all, and privacy extensions change it daily (RFC 8981).
 */
export function networkOf(ip: string): string {
  if (!ip.includes(':')) return ip
  const canonical = new URL(`http://[${ip}]/`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const left = head.split(':').filter(Boolean)
  const right = (tail ?? '').split(':').filter(Boolean)
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0')
  return `${[...left, ...zeros, ...right].slice(0, 4).join(':')}::/64`
}
