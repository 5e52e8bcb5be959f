/** What is peculiar to Apple: a secret that is a signed assertion, answers by form_post, "true" in quotes, a name told once. */
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'

export interface Apple {
  url: string
  clientId: string
  teamId: string
  keyId: string
  /** The private key of the developer, PEM. */
  secret: string
  who: { sub: string; email: string; firstName?: string; lastName?: string }
  /** What came to the token endpoint as client_secret. */
  assertions: string[]
  close(): Promise<void>
}

export async function startApple(): Promise<Apple> {
  const developer = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signing = await generateKeyPair('ES256')
  const codes = new Map<string, { nonce: string; who: Apple['who'] }>()
  const server = createServer(async (req, res) => {
    const url = new URL(req.url!, apple.url)
    const json = (status: number, body: unknown) =>
      void res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (url.pathname === '/.well-known/openid-configuration')
      return json(200, {
        issuer: apple.url,
        authorization_endpoint: `${apple.url}/auth/authorize`,
        token_endpoint: `${apple.url}/auth/token`,
        jwks_uri: `${apple.url}/auth/keys`,
        response_types_supported: ['code'],
        response_modes_supported: ['query', 'fragment', 'form_post'],
        subject_types_supported: ['pairwise'],
        id_token_signing_alg_values_supported: ['ES256'],
        token_endpoint_auth_methods_supported: ['client_secret_post'],
      })
    if (url.pathname === '/auth/keys')
      return json(200, { keys: [{ ...(await exportJWK(signing.publicKey)), kid: 'a1', alg: 'ES256', use: 'sig' }] })
    if (url.pathname === '/auth/authorize') {
      const { response_mode, redirect_uri, state, nonce } = Object.fromEntries(url.searchParams)
      // Apple refuses to tell name and address by anything else.
      if (response_mode !== 'form_post') return json(400, { error: 'invalid_request' })
      const { who } = apple
      const code = randomBytes(12).toString('hex')
      codes.set(code, { nonce: nonce!, who })
      const { firstName, lastName, email } = who
      const user = firstName ? JSON.stringify({ name: { firstName, lastName }, email }) : undefined
      return json(200, { to: redirect_uri, form: { code, state, ...(user && { user }) } })
    }
    if (url.pathname !== '/auth/token') return json(404, {})
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const form = new URLSearchParams(Buffer.concat(chunks).toString())
    const assertion = form.get('client_secret') ?? ''
    apple.assertions.push(assertion)
    try {
      const { protectedHeader } = await jwtVerify(assertion, createPublicKey(developer.privateKey), {
        issuer: apple.teamId,
        subject: apple.clientId,
        audience: apple.url,
        algorithms: ['ES256'],
        requiredClaims: ['iat', 'exp'],
      })
      if (protectedHeader.kid !== apple.keyId || form.get('client_id') !== apple.clientId) throw new Error('key')
    } catch {
      return json(400, { error: 'invalid_client' })
    }
    const found = codes.get(form.get('code') ?? '')
    codes.delete(form.get('code') ?? '')
    if (!found) return json(400, { error: 'invalid_grant' })
    const { sub, email } = found.who
    const idToken = await new SignJWT({ email, email_verified: 'true', nonce: found.nonce, nonce_supported: true })
      .setProtectedHeader({ alg: 'ES256', kid: 'a1' })
      .setIssuer(apple.url)
      .setAudience(apple.clientId)
      .setSubject(sub)
      .setIssuedAt()
      .setExpirationTime('10m')
      .sign(signing.privateKey)
    json(200, { access_token: 'a-token', token_type: 'Bearer', expires_in: 3600, id_token: idToken })
  })
  const apple: Apple = {
    url: '',
    clientId: 'com.example.gatehouse',
    teamId: 'TEAM123456',
    keyId: 'KEY1234567',
    secret: developer.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    who: { sub: '', email: '' },
    assertions: [],
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  apple.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return apple
}
