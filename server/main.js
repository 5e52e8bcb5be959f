/**
 * The entry point. Plain JavaScript, so that with a warm compile cache Node never loads its TypeScript stripper (20 MB).
 * The cache lies with the dependencies, where nobody else on the machine can write.
 */
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/gatehouse', import.meta.url)))
await import('./main.ts')
