/**
 * `node --import` this to run our server with password hashing cut out, for the one operation whose hash is not to be
 * counted: a hash costs several times the rest, so that subtracting a measured one would leave mostly its noise.
 */
import { registerHooks } from 'node:module'

const stub = `data:text/javascript,${encodeURIComponent(
  'export const hash = async () => "none"; export const verify = async () => true',
)}`

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === '@node-rs/argon2' ? { url: stub, shortCircuit: true } : next(specifier, context),
})
