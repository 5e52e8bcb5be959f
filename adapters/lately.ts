/** Bounded maps whose end is what was used last, and whose beginning goes first. */

/** To be called at each use of an entry. Which is first matters only once something has to go, so a map half empty is left as it is. */
export function used<K, V>(map: Map<K, V>, key: K, value: V, max: number): void {
  if (map.size <= max / 2) return
  map.delete(key)
  map.set(key, value)
}
