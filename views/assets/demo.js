// The demo relying party: authorization code + PKCE (RFC 7636, RFC 9207, OpenID Connect Core) in a browser with plain
// JavaScript. It decodes tokens to show them; a real app must verify the ID token's signature or use a library.
const root = document.getElementById('demo')
const { issuer, client, scope, resource, locale } = root.dataset
const words = JSON.parse(document.getElementById('words').textContent)
const redirectUri = `${location.origin}/demo`
const byId = (id) => document.getElementById(id)

const read = (key) => JSON.parse(sessionStorage.getItem(`demo.${key}`) ?? 'null')
const write = (key, value) => sessionStorage.setItem(`demo.${key}`, JSON.stringify(value))
const drop = (key) => sessionStorage.removeItem(`demo.${key}`)

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (c) => ({ '+': '-', '/': '_', '=': '' })[c])
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const sha256 = async (text) =>
  base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))))

function decode(part) {
  const bytes = Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
  return JSON.parse(new TextDecoder().decode(bytes))
}

const say = (key, vars = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => vars[name] ?? '')

/** Every message to a person is thrown as one of these. */
class Problem extends Error {}

async function call(step, url, init) {
  const response = await fetch(url, init).catch(() => {
    throw new Problem(say('failed', { step: say(`step.${step}`), reason: words.unreachable }))
  })
  const text = await response.text()
  let body = {}
  try {
    body = JSON.parse(text)
  } catch {
    body = { error: text.slice(0, 200) }
  }
  note(step, `${init?.method ?? 'GET'} ${new URL(url).pathname} → ${response.status}`)
  if (response.ok) return body
  const reason = body.error_description ?? body.detail ?? body.error ?? response.status
  throw new Problem(say('failed', { step: say(`step.${step}`), reason }))
}

let metadata
const discover = async () => {
  metadata ??= await call('discovery', `${issuer}/.well-known/openid-configuration`)
  return metadata
}

const form = (values) => ({ method: 'POST', body: new URLSearchParams(values) })

async function login() {
  const endpoints = await discover()
  const request = { state: random(), nonce: random(), verifier: random() }
  write('request', request)
  const offline = byId('offline').checked
  const prompts = [byId('relogin').checked && 'login', offline && 'consent'].filter(Boolean)
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: client,
    redirect_uri: redirectUri,
    scope: offline ? `${scope} offline_access` : scope,
    state: request.state,
    nonce: request.nonce,
    code_challenge: await sha256(request.verifier),
    code_challenge_method: 'S256',
    ui_locales: locale,
  })
  if (prompts.length) query.set('prompt', prompts.join(' '))
  if (resource) query.set('resource', resource)
  note('authorize', new URL(endpoints.authorization_endpoint).pathname)
  location.assign(`${endpoints.authorization_endpoint}?${query}`)
}

/** Checks the answer in our address, then swaps the code for tokens. */
async function callback(answer) {
  const request = read('request')
  drop('request')
  if (!request || answer.get('state') !== request.state) throw new Problem(words.state)
  if (answer.get('iss') && answer.get('iss') !== issuer) throw new Problem(words.issuer)
  if (answer.get('error')) {
    const reason = answer.get('error_description') ?? answer.get('error')
    note('error', answer.get('error'))
    throw new Problem(say('failed', { step: say('step.authorize'), reason }))
  }
  note('callback', `code=${answer.get('code').slice(0, 6)}…`)
  const endpoints = await discover()
  const tokens = await call(
    'token',
    endpoints.token_endpoint,
    form({
      grant_type: 'authorization_code',
      client_id: client,
      code: answer.get('code'),
      redirect_uri: redirectUri,
      code_verifier: request.verifier,
    }),
  )
  const claims = decode(tokens.id_token.split('.')[1])
  if (claims.nonce !== request.nonce) throw new Problem(words.nonce)
  if (claims.iss !== issuer) throw new Problem(words.issuer)
  write('tokens', tokens)
  await userinfo().catch(problem)
}

async function userinfo() {
  const endpoints = await discover()
  const headers = { authorization: `Bearer ${read('tokens').access_token}` }
  write('user', await call('userinfo', endpoints.userinfo_endpoint, { headers }))
  show()
}

async function refresh() {
  const endpoints = await discover()
  const tokens = read('tokens')
  const fields = { grant_type: 'refresh_token', client_id: client, refresh_token: tokens.refresh_token }
  write('tokens', { ...tokens, ...(await call('refresh', endpoints.token_endpoint, form(fields))) })
  show()
}

async function logout() {
  const endpoints = await discover()
  const query = new URLSearchParams({
    id_token_hint: read('tokens').id_token,
    post_logout_redirect_uri: redirectUri,
    state: 'signed-out',
    ui_locales: locale,
  })
  drop('tokens')
  drop('user')
  location.assign(`${endpoints.end_session_endpoint}?${query}`)
}

function note(step, detail) {
  write('steps', [...(read('steps') ?? []), { step, detail }].slice(-12))
  showSteps()
}

function showSteps() {
  const steps = read('steps') ?? []
  byId('no-steps').hidden = steps.length > 0
  byId('steps').hidden = steps.length === 0
  byId('steps').replaceChildren(
    ...steps.map(({ step, detail }) => {
      const item = document.createElement('li')
      item.append(element('span', say(`step.${step}`)), element('code', detail))
      return item
    }),
  )
}

function show() {
  const tokens = read('tokens')
  byId('out').hidden = Boolean(tokens)
  byId('in').hidden = !tokens
  byId('refresh').hidden = !tokens?.refresh_token
  for (const name of ['id_token', 'access_token', 'refresh_token']) showToken(name, tokens?.[name])
  const user = read('user')
  byId('answer').hidden = !user
  byId('answer').querySelector('pre').textContent = JSON.stringify(user, null, 2)
  const person = tokens && (user ?? decode(tokens.id_token.split('.')[1]))
  byId('who').textContent = person
    ? say('signedIn', { name: person.name ?? person.email ?? person.sub })
    : words.signedOut
  showSteps()
}

function showToken(name, token) {
  const panel = byId(name)
  panel.hidden = !token
  if (!token) return
  const parts = token.split('.')
  const details = document.createElement('details')
  details.append(element('summary', words.raw), block(token))
  const readable = parts.length === 3 && name !== 'refresh_token'
  const shown = readable
    ? [
        element('h3', words.header),
        block(JSON.stringify(decode(parts[0]), null, 2)),
        element('h3', words.claims),
        block(JSON.stringify(decode(parts[1]), null, 2)),
      ]
    : [element('p', words.opaque)]
  panel.replaceChildren(panel.querySelector('h2'), ...shown, details)
}

function block(text) {
  const pre = element('pre', text)
  pre.tabIndex = 0
  return pre
}

function element(name, text) {
  const made = document.createElement(name)
  made.textContent = text
  return made
}

function problem(error) {
  if (!(error instanceof Problem)) console.error(error)
  byId('problem').hidden = false
  byId('problem').querySelector('p').textContent = error.message
}

function guarded(action) {
  return () => {
    byId('problem').hidden = true
    return Promise.resolve(action()).catch(problem)
  }
}

function forget() {
  for (const key of ['tokens', 'user', 'steps', 'request']) drop(key)
  show()
}

for (const [id, action] of Object.entries({ login, userinfo, refresh, logout, forget })) {
  byId(id).addEventListener('click', guarded(action))
}

async function start() {
  root.hidden = false
  if (location.origin !== new URL(issuer).origin) throw new Problem(say('origin', { origin: new URL(issuer).origin }))
  const query = new URLSearchParams(location.search)
  if (query.has('code') || query.has('error')) {
    // Out of the address first: a reload must not send the code again.
    history.replaceState(null, '', '/demo')
    await callback(query)
  } else if (query.get('state') === 'signed-out') {
    history.replaceState(null, '', '/demo')
    drop('steps')
    show()
    byId('who').textContent = words.loggedOut
    return
  }
  show()
}

show()
start().catch(problem)
