/**
 * Libraries that come with their first use, since an idle process is smaller without them. The one way to do so: what is
 * loaded by import() is our own.
 */
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/** Loads the package `name` when its result is first called. Throws then what loading throws. */
export function lazily<Library>(name: string): () => Library {
  let loaded: Library | undefined
  return () => {
    loaded ??= require(name) as Library
    return loaded
  }
}
