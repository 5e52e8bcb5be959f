/** Holds every JSON answer a test sees against what the OpenAPI document promises for its row. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { openapi } from '../../server/kernel/openapi.ts'
import { allRows, type Bound } from './rows.ts'

const info = {
  title: 'Gatehouse',
  version: '0',
  serverUrl: 'https://id.example.com',
  tokenUrl: 'https://id.example.com/oauth/token',
}
export const documentOf = (surfaces: Parameters<typeof openapi>[0]) => openapi(surfaces, info)

const whole = documentOf([...new Set(allRows.map(({ surface }) => surface))])
const described = ({ row }: Bound) => whole.paths[row.path.replace(/:(\w+)/g, '{$1}')][row.method.toLowerCase()]
/** The example of a row's body, as the document has it. */
export const exampleFor = (bound: Bound): Record<string, unknown> =>
  described(bound).requestBody?.content['application/json']?.example ?? {}
export const parametersFor = (bound: Bound): { name: string; in: string }[] => described(bound).parameters

const ajv = new Ajv2020({ strict: false, allErrors: true })
addFormats.default(ajv as any)
ajv.addSchema({ $id: 'api', components: whole.components })

const patterns = allRows.map(({ row }) => ({
  method: row.method,
  order: row.path.replace(/:\w+/g, '\uffff'),
  test: new RegExp(`^${row.path.replace(/[.]/g, '\\.').replace(/:\w+/g, '[^/]+')}$`),
  responses: whole.paths[row.path.replace(/:(\w+)/g, '{$1}')][row.method.toLowerCase()].responses,
  compiled: new Map<string, ValidateFunction>(),
}))
// As the router does: literals before parameters.
patterns.sort((a, b) => a.order.localeCompare(b.order))

/** Rows answered with success so far in this process, as METHOD and pattern. */
export const succeeded = new Set<string>()

/** What is wrong with the answer, or undefined. Paths that are no row's are not judged. */
export function breachOf(
  method: string,
  path: string,
  status: number,
  type: string | null,
  body: unknown,
): string | undefined {
  const bare = path.split('?')[0]!.replace(/^\/t\/[^/]+/, '')
  const found = patterns.find((p) => p.method === method && p.test.test(bare))
  if (!found || status === 405) return undefined
  const media = (type ?? '').split(';')[0]!
  const promised = found.responses[status]
  const kind = `${status} ${media}`
  if (status >= 300 && !promised) {
    const [sample] = Object.values<any>(found.responses).filter(
      (r) => r.content && !r.description.startsWith('Success'),
    )
    if (!Object.keys(sample.content).includes(media)) return `${method} ${bare} answered ${kind}`
    return undeclared(found.responses, status)
  }
  if ((status === 204 || status === 304) && promised && body === '') {
    succeeded.add(`${method} ${found.test.source}`)
    return undefined
  }
  const content = promised?.content?.[media]
  if (!content) return `${method} ${bare} answered ${kind}, which is not documented`
  let validate = found.compiled.get(kind)
  if (!validate) {
    validate = ajv.compile(JSON.parse(JSON.stringify(content.schema).replaceAll('#/components', 'api#/components')))
    found.compiled.set(kind, validate)
  }
  if (!validate(body))
    return `${method} ${bare} answered ${kind} that breaks its schema: ${ajv.errorsText(validate.errors)}`
  if (status < 300) succeeded.add(`${method} ${found.test.source}`)
  return undefined
}

/** Codes any row may answer with although its operation does not list them. */
const everywhere = new Set([400, 401, 403, 404, 409, 413, 415, 429, 500, 503])
const undeclared = (responses: Record<string, unknown>, status: number) =>
  everywhere.has(status) ? undefined : `answered ${status}; documented are ${Object.keys(responses).join(', ')}`
