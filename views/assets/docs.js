// Starts the API reference: one OpenAPI document at a time, chosen by a plain select and kept in the address (#v1).
const select = document.getElementById('document')
const link = document.getElementById('document-link')
const name = (url) => url.replace(/^.*\//, '').replace('.json', '')

function show() {
  link.href = select.value
  history.replaceState(null, '', `#${name(select.value)}`)
  SwaggerUIBundle({
    url: select.value,
    dom_id: '#swagger',
    deepLinking: false,
    docExpansion: 'none',
    filter: true,
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    persistAuthorization: false,
    validatorUrl: null,
    syntaxHighlight: { activated: false },
  })
}

for (const option of select.options) if (name(option.value) === location.hash.slice(1)) option.selected = true
select.addEventListener('change', show)
document.getElementById('docs-choice').hidden = false
show()

// swagger-ui leaves some controls without a good name for screen readers.
const box = document.getElementById('swagger')
new MutationObserver(() => {
  for (const field of box.querySelectorAll('textarea:not([aria-label]), select:not([aria-label])')) {
    if (!field.labels?.length) field.setAttribute('aria-label', box.dataset.body)
  }
  // Its label holds nothing but itself.
  box.querySelector('#servers:not([aria-label])')?.setAttribute('aria-label', box.dataset.server)
  for (const button of box.querySelectorAll('.close-modal:not([aria-label])')) {
    button.setAttribute('aria-label', box.dataset.close)
  }
  // Its label says other words than the button shows.
  for (const button of box.querySelectorAll('.modal-btn[aria-label]')) button.removeAttribute('aria-label')
}).observe(box, { childList: true, subtree: true })
