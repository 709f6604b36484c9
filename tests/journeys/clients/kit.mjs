// fhir-kit-client, as it comes from npm, against a running trust. Prints one line of JSON with what it found.
import { Client } from 'fhir-kit-client'
import assert from 'node:assert/strict'

const [baseUrl, bearerToken, family] = process.argv.slice(2)
const client = new Client({ baseUrl, bearerToken })
const about = await client.create({ resourceType: 'Patient', body: { resourceType: 'Patient', name: [{ family }] } })
const read = await client.read({ resourceType: 'Patient', id: about.id })
assert.equal(read.name[0].family, family)

const subject = { reference: `Patient/${about.id}` }
const entry = [1, 2, 3, 4, 5].map((number) => ({
  resource: {
    resourceType: 'Observation', status: 'final', subject, valueQuantity: { value: 60 + number },
    code: { coding: [{ system: 'http://loinc.org', code: '8867-4' }] },
  },
  request: { method: 'POST', url: 'Observation' },
}))
const written = await client.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry } })
assert.deepEqual(written.entry.map((one) => one.response.status.slice(0, 3)), Array(5).fill('201'))

let page = await client.search({ resourceType: 'Observation', searchParams: { patient: about.id, _count: 2 } })
let seen = page.entry.length
let pages = 1
while ((page = await client.nextPage({ bundle: page }))) {
  seen += page.entry.length
  pages += 1
}

const options = { headers: { 'If-Match': 'W/"1"' } }
await client.update({ resourceType: 'Patient', id: about.id, body: { ...read, active: true }, options })
const late = await client.update({ resourceType: 'Patient', id: about.id, body: { ...read, active: false }, options }).catch((refused) => refused)
const everything = await client.operation({ name: 'everything', resourceType: 'Patient', id: about.id, method: 'GET' })
console.log(JSON.stringify({
  seen, pages, conflict: late.response?.status, issue: late.response?.data?.resourceType, everything: everything.total,
  smart: Object.keys(await client.smartAuthMetadata()).sort(),
}))
