/** The published documents: kept as files, so that a change of the contract is seen in review. UPDATE_SNAPSHOTS=1 writes them. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { expect } from 'chai'
import { adminSurfaces, selfSurfaces } from '../../server/surfaces/index.ts'
import { documentOf } from '../support/contract.ts'
import { allRows } from '../support/rows.ts'

const folder = join(import.meta.dirname, 'openapi')
const all = [...selfSurfaces, ...adminSurfaces]
const documents: Record<string, any> = {
  all: documentOf(all),
  ...Object.fromEntries(['plain', 'v1', 'sso'].map((id) => [id, documentOf(all.filter((s) => s.id === id))])),
  admin: documentOf(adminSurfaces),
}
const operationsOf = (doc: any) =>
  Object.entries<any>(doc.paths).flatMap(([path, item]) =>
    Object.entries<any>(item).map(([method, operation]) => ({ path, method, operation })),
  )
function* refsOf(value: unknown): Generator<string> {
  if (!value || typeof value !== 'object') return
  for (const [key, item] of Object.entries(value)) {
    if (key === '$ref' && typeof item === 'string') yield item
    else yield* refsOf(item)
  }
}

describe('OpenAPI documents', () => {
  for (const [name, doc] of Object.entries(documents)) {
    const json = JSON.parse(JSON.stringify(doc))
    const operations = operationsOf(json)

    it(`${name}: has every row, each once, with a name of its own`, () => {
      expect(json.openapi).to.equal('3.1.0')
      expect(json.info).to.include.keys('title', 'version')
      const ids = operations.map(({ operation }) => operation.operationId)
      expect(new Set(ids).size).to.equal(ids.length)
      for (const id of ids) expect(id).to.match(/^[\w]+$/)
      if (name === 'all') expect(operations).to.have.length(allRows.length)
    })

    it(`${name}: is a document by the schema of OpenAPI 3.1`, async () => {
      const validator = new Validator()
      const { valid, errors } = await validator.validate(structuredClone(json))
      expect(valid, JSON.stringify(errors)).to.equal(true)
      expect(validator.version).to.equal('3.1')
      const broken = structuredClone(json)
      delete broken.paths[operations[0]!.path][operations[0]!.method].parameters[0]?.in
      broken.components.securitySchemes.bearer.type = 'none'
      expect((await validator.validate(broken)).valid, 'it would notice').to.equal(false)
    })

    it(`${name}: says how one is let in, and fails in one shape`, () => {
      const schemes = Object.keys(json.components.securitySchemes)
      for (const { path, method, operation } of operations) {
        const where = `${method} ${path}`
        for (const one of operation.security ?? json.security)
          expect(schemes, where).to.include.members(Object.keys(one))
        const open = operation.security?.length === 0
        for (const status of [...(open ? [] : ['401', '403']), '400', '503'])
          expect(operation.responses, where).to.have.property(status)
        for (const [status, { content }] of Object.entries<any>(operation.responses)) {
          if (Number(status) < 400) continue
          const expected = /^\/(api|auth\/(clients?|admin|client-requests)|oauth)\b/.test(path)
            ? 'application/json'
            : 'application/problem+json'
          expect(Object.keys(content), `${where} ${status}`).to.deep.equal([expected])
        }
      }
    })

    it(`${name}: refers only to what it holds, and holds only what it refers to`, () => {
      const refs = new Set(refsOf(json))
      for (const ref of refs) {
        const [, ...path] = ref.split('/')
        expect(
          path.reduce((at: any, key) => at?.[key], json),
          ref,
        ).to.be.an('object')
      }
      for (const schema of Object.keys(json.components.schemas))
        expect([...refs]).to.include(`#/components/schemas/${schema}`)
    })

    it(`${name}: declares the parameters of its paths, and describes every answer`, () => {
      for (const { path, method, operation } of operations) {
        const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1])
        const declared = operation.parameters.filter((p: any) => p.in === 'path')
        expect(
          declared.map((p: any) => p.name),
          path,
        ).to.have.members(inPath)
        for (const parameter of operation.parameters) {
          expect(parameter.schema, `${method} ${path} ${parameter.name}`).to.be.an('object')
          if (parameter.in === 'path') expect(parameter.required).to.equal(true)
        }
        expect(operation.summary, path).to.be.a('string').and.not.equal('')
        expect(operation.tags).to.have.length(1)
        if (method === 'get') expect(operation).to.not.have.property('requestBody')
        for (const [status, response] of Object.entries<any>(operation.responses)) {
          expect(status).to.match(/^[1-5]\d\d$/)
          expect(response.description).to.be.a('string').and.not.equal('')
        }
        expect(Object.keys(operation.responses).some((status) => status.startsWith('2'))).to.equal(true)
      }
    })

    it(`${name}: holds schemas that compile, and examples that fit them`, function () {
      // A minute on a busy machine: all schemas of all rows.
      this.timeout(60_000)
      const ajv = new Ajv2020({ strict: false })
      addFormats.default(ajv as any)
      ajv.addSchema({ $id: 'doc', components: json.components })
      const compile = (schema: object) =>
        ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('#/components', 'doc#/components')))
      // Schemas and examples are shared by many: each pair is looked at once.
      const seen = new Set<string>()
      const fits = (where: string, schema: object, example: unknown) => {
        const pair = JSON.stringify([schema, example])
        if (seen.has(pair)) return
        seen.add(pair)
        const validate = compile(schema)
        expect(example, `${where} has no example`).to.not.equal(undefined)
        expect(validate(example), `${where}: ${ajv.errorsText(validate.errors)} ${JSON.stringify(example)}`).to.equal(
          true,
        )
      }
      for (const { path, method, operation } of operations) {
        const where = `${method} ${path}`
        for (const { schema } of operation.parameters) compile(schema)
        for (const [status, response] of Object.entries<any>(operation.responses)) {
          for (const [type, { schema, examples }] of Object.entries<any>(response.content ?? {})) {
            if (!/[/+]json$/.test(type)) continue
            expect(Object.keys(examples ?? {}), `${where} ${status} ${type}`).to.not.be.empty
            for (const { $ref } of Object.values<any>(examples))
              fits(`${where} ${status}`, schema, json.components.examples[$ref.split('/').at(-1)].value)
          }
        }
        const body = operation.requestBody?.content['application/json']
        if (body) fits(where, body.schema, body.example)
      }
    })

    // The other two are made of the same rows.
    if (name === 'all' || name === 'admin') continue
    it(`${name}: is the document that was agreed`, () => {
      const file = join(folder, `${name}.json`)
      const text = `${JSON.stringify(json, null, 1)}\n`
      if (process.env.UPDATE_SNAPSHOTS === '1') {
        mkdirSync(folder, { recursive: true })
        writeFileSync(file, text)
      }
      expect(existsSync(file), `${file}: run UPDATE_SNAPSHOTS=1 npm test -- test/contract`).to.equal(true)
      expect(
        readFileSync(file, 'utf8') === text,
        `${file} is not what is served; if that is meant: UPDATE_SNAPSHOTS=1 npm test -- test/contract`,
      ).to.equal(true)
    })
  }
})
