import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/** A library that is loaded with its first use, since an idle process is smaller without it. */
export function lazily<Library>(name: string): () => Library {
  let loaded: Library | undefined
  return () => {
    loaded ??= require(name) as Library
    return loaded
  }
}
