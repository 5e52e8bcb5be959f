/** Which IP addresses the server may connect to on somebody else's word: public ones, and what the operator allows. */
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Network = [Address, number]

// A public address, but inside Azure it is the platform's own.
const metadata = ipaddr.IPv4.parse('168.63.129.16')
const publicV6: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3]
const nat64: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('64:ff9b::'), 96]

/** Parses `10.0.0.0/8`, `fd00::/8` or a single address. Throws TypeError with the entry in words. */
export function parseNetwork(text: string): Network {
  try {
    if (text.includes('/')) return ipaddr.parseCIDR(text)
    const address = ipaddr.parse(text)
    return [address, address.kind() === 'ipv4' ? 32 : 128]
  } catch {
    throw new TypeError(`"${text}" is neither an IP address nor a network such as 10.0.0.0/8`)
  }
}

/** True for public unicast addresses (the address inside counts where one is embedded) and for those in `allow`. */
export function mayConnect(text: string, allow: Network[]): boolean {
  if (!isIP(text)) return false
  const address = ipaddr.process(text)
  const inner = embedded(address)
  const all = inner ? [address, inner] : [address]
  if (all.some((one) => allow.some((network) => within(one, network)))) return true
  return inner
    ? isPublicV4(inner)
    : address.kind() === 'ipv4'
      ? isPublicV4(address as ipaddr.IPv4)
      : isPublicV6(address)
}

function isPublicV4(address: ipaddr.IPv4): boolean {
  return address.range() === 'unicast' && address.toString() !== metadata.toString()
}

/** Only 2000::/3 is handed out; what lies outside is local, or not yet anybody's. */
function isPublicV6(address: Address): boolean {
  return address.range() === 'unicast' && within(address, publicV6)
}

/** The IPv4 address that traffic to this IPv6 address ends at: NAT64 (RFC 6052), 6to4 (RFC 3056), ISATAP (RFC 5214). */
function embedded(address: Address): ipaddr.IPv4 | undefined {
  if (address.kind() === 'ipv4') return undefined
  const { parts } = address as ipaddr.IPv6
  if (within(address, nat64)) return v4(parts[6], parts[7])
  if (parts[0] === 0x2002) return v4(parts[1], parts[2])
  if (((parts[4] ?? 0) & 0xfdff) === 0 && parts[5] === 0x5efe) return v4(parts[6], parts[7])
  return undefined
}

function v4(high = 0, low = 0): ipaddr.IPv4 {
  return new ipaddr.IPv4([high >> 8, high & 255, low >> 8, low & 255])
}

function within(address: Address, [network, bits]: Network): boolean {
  return address.kind() === network.kind() && address.match(network as never, bits as never)
}
