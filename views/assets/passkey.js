// Passkeys on pages: the button, and passkeys offered in the e-mail field (conditional mediation). The server sends the
// options when they are asked for; the answer goes back as an ordinary form, so that everything after it is a page again.
const form = document.getElementById('passkey')
const buttons = document.querySelectorAll('[data-passkey]')
const problem = document.querySelector('[data-passkey-error]')
let waiting

const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0))
const text = (buffer) =>
  buffer &&
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
const decode = (list) => list?.map((entry) => ({ ...entry, id: bytes(entry.id) }))

async function begin() {
  const answer = await fetch(form.dataset.begin, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams(new FormData(form)),
  })
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`)
  const { options } = await answer.json()
  return {
    ...options,
    challenge: bytes(options.challenge),
    ...(options.user && { user: { ...options.user, id: bytes(options.user.id) } }),
    ...(options.allowCredentials && { allowCredentials: decode(options.allowCredentials) }),
    ...(options.excludeCredentials && { excludeCredentials: decode(options.excludeCredentials) }),
  }
}

function encode(credential) {
  const { response } = credential
  const parts = ['clientDataJSON', 'authenticatorData', 'signature', 'userHandle', 'attestationObject']
  const found = Object.fromEntries(parts.filter((part) => response[part]).map((part) => [part, text(response[part])]))
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: { ...found, ...(response.getTransports && { transports: response.getTransports() }) },
  }
}

/** Asks the browser; what it answers is sent. `quietly` waits in the e-mail field until somebody picks a passkey there. */
async function ask({ quietly = false } = {}) {
  waiting?.abort()
  const mine = new AbortController()
  waiting = mine
  problem.hidden = true
  try {
    const publicKey = await begin()
    const { signal } = mine
    const making = form.dataset.make !== undefined
    const credential = making
      ? await navigator.credentials.create({ publicKey, signal })
      : await navigator.credentials.get({ publicKey, signal, ...(quietly && { mediation: 'conditional' }) })
    form.elements.credential.value = JSON.stringify(encode(credential))
    HTMLFormElement.prototype.submit.call(form)
  } catch {
    if (quietly || mine.signal.aborted) return
    problem.hidden = false
    buttons[0]?.focus()
  }
}

if (form && window.PublicKeyCredential) {
  document.querySelector('[data-passkey-missing]')?.remove()
  for (const button of buttons) {
    button.hidden = false
    button.addEventListener('click', (event) => {
      event.preventDefault()
      ask()
    })
  }
  const offered = () => PublicKeyCredential.isConditionalMediationAvailable?.() ?? false
  if (form.dataset.autofill !== undefined)
    Promise.resolve(offered()).then((available) => available && ask({ quietly: true }))
}
