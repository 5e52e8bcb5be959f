/** Writes small databases in MaxMind's format (maxmind.github.io/MaxMind-DB), so that none has to be shipped. */
import { isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'

type Value = string | number | Value[] | { [key: string]: Value }
const MARKER = Buffer.from('abcdef4d61784d696e642e636f6d', 'hex')

function control(type: number, size: number): Buffer {
  const sized = size < 29 ? size : 29
  const head = type < 8 ? [(type << 5) | sized] : [sized, type - 7]
  return Buffer.from(size < 29 ? head : [...head, size - 29])
}

function encode(value: Value): Buffer {
  if (typeof value === 'string') return Buffer.concat([control(2, Buffer.byteLength(value)), Buffer.from(value)])
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    return Buffer.concat([control(6, 4), bytes])
  }
  if (Array.isArray(value)) return Buffer.concat([control(11, value.length), ...value.map(encode)])
  const entries = Object.entries(value)
  return Buffer.concat([control(7, entries.length), ...entries.flatMap(([key, inner]) => [encode(key), encode(inner)])])
}

/** The bits of a network in a tree for IPv6, where IPv4 is ::/96. */
function bitsOf(cidr: string): number[] {
  const [address, length] = ipaddr.parseCIDR(cidr)
  const bytes = [...(isIPv4(cidr.split('/')[0]!) ? Array(12).fill(0) : []), ...address.toByteArray()]
  const all = bytes.flatMap((byte) => Array.from({ length: 8 }, (_, i) => (byte >> (7 - i)) & 1))
  return all.slice(0, length + all.length - address.toByteArray().length * 8)
}

type Node = [Node | Buffer | undefined, Node | Buffer | undefined]

/** A database of these networks, such as `{ '192.0.2.0/24': { country: { iso_code: 'DE' } } }`. */
export function mmdb(networks: Record<string, Value>): Buffer {
  const root: Node = [undefined, undefined]
  for (const [cidr, value] of Object.entries(networks)) {
    const bits = bitsOf(cidr)
    let at = root
    for (const bit of bits.slice(0, -1)) {
      at[bit] ??= [undefined, undefined]
      at = at[bit] as Node
    }
    at[bits.at(-1)!] = encode(value)
  }
  const nodes: Node[] = [root]
  for (const node of nodes) for (const side of node) if (Array.isArray(side)) nodes.push(side)
  let data = Buffer.alloc(0)
  const tree = Buffer.alloc(nodes.length * 6)
  nodes.forEach((node, i) => {
    node.forEach((side, bit) => {
      let record = nodes.length
      if (Array.isArray(side)) record = nodes.indexOf(side)
      else if (side) {
        record = nodes.length + 16 + data.length
        data = Buffer.concat([data, side])
      }
      tree.writeUIntBE(record, i * 6 + bit * 3, 3)
    })
  })
  const metadata = encode({
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: 1_700_000_000,
    database_type: 'Test-City',
    description: { en: 'A test' },
    ip_version: 6,
    languages: ['en'],
    node_count: nodes.length,
    record_size: 24,
  })
  return Buffer.concat([tree, Buffer.alloc(16), data, MARKER, metadata])
}
