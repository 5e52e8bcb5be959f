// Starts the API reference: one OpenAPI document at a time, chosen by a plain select and kept in the address (#v1).
const select = document.getElementById('document')
const link = document.getElementById('document-link')
const name = (url) => url.replace(/^.*\//, '').replace('.json', '')

/** A schema of OpenAPI 3.1 in the words of 3.0. */
function older(schema) {
  if (!schema || typeof schema !== 'object') return schema
  const { const: only, examples, propertyNames: _, ...rest } = schema
  for (const key of ['properties', 'patternProperties'])
    if (rest[key]) rest[key] = Object.fromEntries(Object.entries(rest[key]).map(([name, one]) => [name, older(one)]))
  for (const key of ['items', 'additionalProperties', 'not']) if (rest[key]) rest[key] = older(rest[key])
  for (const key of ['allOf', 'oneOf', 'anyOf']) if (rest[key]) rest[key] = rest[key].map(older)
  if (only !== undefined) rest.enum = [only]
  if (Array.isArray(examples)) rest.example = examples[0]
  if (!rest.anyOf?.some(({ type }) => type === 'null')) return rest
  const { anyOf, ...about } = rest
  const [one, ...more] = anyOf.filter(({ type }) => type !== 'null')
  return {
    ...about,
    nullable: true,
    ...(more.length > 0 ? { anyOf: [one, ...more] } : one.$ref ? { allOf: [one] } : one),
  }
}

/** Every schema of the document, wherever it stands. */
function eachSchema(value) {
  if (Array.isArray(value)) return value.map(eachSchema)
  if (!value || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      if (key === 'schema') return [key, older(inner)]
      if (key === 'schemas')
        return [key, Object.fromEntries(Object.entries(inner).map(([name, one]) => [name, older(one)]))]
      return [key, key === 'example' || key === 'value' ? inner : eachSchema(inner)]
    }),
  )
}

let wanted = 0

/** swagger-ui takes four times as long for a document that calls itself 3.1. What is published stays 3.1. */
async function show() {
  wanted += 1
  const mine = wanted
  link.href = select.value
  history.replaceState(null, '', `#${name(select.value)}`)
  const document = await (await fetch(select.value)).json()
  if (mine !== wanted) return
  SwaggerUIBundle({
    spec: { ...eachSchema(document), openapi: '3.0.4' },
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
