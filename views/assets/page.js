// Small conveniences on top of pages that work without them: show a password, tick off its rules, send a form once.
for (const button of document.querySelectorAll('[data-reveal]')) {
  const input = document.getElementById(button.dataset.reveal)
  button.hidden = false
  input.classList.add('revealable')
  const show = (visible) => {
    input.type = visible ? 'text' : 'password'
    button.textContent = visible ? button.dataset.hide : button.dataset.show
    button.setAttribute('aria-pressed', String(visible))
  }
  button.addEventListener('click', () => {
    show(input.type === 'password')
    input.focus()
  })
  // Sent as a password, so that browsers neither complete nor remember it as text.
  input.form?.addEventListener('submit', () => show(false))
  show(false)
}

const tests = {
  length: (value, rule) => [...value].length >= Number(rule.dataset.min),
  upper: (value) => /\p{Lu}/u.test(value),
  lower: (value) => /\p{Ll}/u.test(value),
  digit: (value) => /\p{Nd}/u.test(value),
  symbol: (value) => /[^\p{L}\p{N}\s]/u.test(value),
}

for (const list of document.querySelectorAll('[data-rules]')) {
  const input = document.getElementById(list.dataset.rules)
  input.addEventListener('input', () => {
    for (const rule of list.children) rule.classList.toggle('met', tests[rule.dataset.rule](input.value, rule))
  })
}

// The server estimates; what is typed goes nowhere else, and only after a pause.
for (const place of document.querySelectorAll('[data-meter]')) {
  const input = document.getElementById(place.dataset.meter)
  const [meter, words] = place.children
  let waiting
  let asked = 0
  const ask = async () => {
    const turn = ++asked
    const form = new FormData(input.form)
    const body = new URLSearchParams({ typed: input.value })
    for (const name of ['_csrf', 'email', 'given_name', 'family_name'])
      if (form.get(name)) body.set(name, form.get(name))
    const answer = await fetch(place.dataset.ask, {
      method: 'POST',
      headers: { accept: 'application/json', 'accept-language': document.documentElement.lang },
      body,
    })
    if (turn !== asked) return
    place.hidden = !answer.ok || input.value === ''
    if (!answer.ok) return
    const { score, text } = await answer.json()
    meter.value = score
    words.textContent = text
  }
  input.addEventListener('input', () => {
    clearTimeout(waiting)
    if (input.value === '') place.hidden = true
    else waiting = setTimeout(() => ask().catch(() => {}), 350)
  })
}

for (const form of document.querySelectorAll('form[data-once]')) {
  let sent = 0
  form.addEventListener('submit', (event) => {
    if (Date.now() - sent < 8000) return event.preventDefault()
    sent = Date.now()
    event.submitter?.setAttribute('aria-disabled', 'true')
  })
  // Coming back by the browser's back button shows the page as it was left.
  addEventListener('pageshow', () => {
    sent = 0
    for (const button of form.querySelectorAll('[aria-disabled]')) button.removeAttribute('aria-disabled')
  })
}

// Not form.submit(): a field may be called so.
for (const form of document.querySelectorAll('form[data-auto]')) HTMLFormElement.prototype.submit.call(form)
