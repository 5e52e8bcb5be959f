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
