// Lets the browser make a passkey from the options in the page, and sends its answer with the form.
const form = document.querySelector('[data-passkey-add]')
const problem = document.querySelector('[data-passkey-problem]')
const say = (which) => {
  const text = problem.querySelector('p')
  text.textContent = text.dataset[which]
  problem.hidden = false
}

if (!window.PublicKeyCredential?.parseCreationOptionsFromJSON) say('unable')
form.addEventListener('submit', async (event) => {
  event.preventDefault()
  problem.hidden = true
  try {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(form.dataset.passkeyAdd))
    const made = await navigator.credentials.create({ publicKey })
    form.elements.credential.value = JSON.stringify(made.toJSON())
    HTMLFormElement.prototype.submit.call(form)
  } catch (error) {
    say(error.name === 'InvalidStateError' ? 'known' : error instanceof TypeError ? 'unable' : 'failed')
  }
})
