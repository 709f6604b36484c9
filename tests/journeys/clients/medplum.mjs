// @medplum/core, as it comes from npm, against a running trust. Prints one line of JSON with what it found.
import { MedplumClient } from '@medplum/core'
import assert from 'node:assert/strict'

const [base, token, family] = process.argv.slice(2)
const client = new MedplumClient({ baseUrl: base, fhirUrlPath: 'fhir/R4', accessToken: token, fetch, cacheTime: 0 })
const about = await client.createResource({ resourceType: 'Patient', name: [{ family }] })
assert.equal((await client.readResource('Patient', about.id)).name[0].family, family)

const subject = { reference: `Patient/${about.id}` }
const entry = [1, 2, 3, 4, 5].map((number) => ({
  resource: {
    resourceType: 'Observation', status: 'final', subject, valueQuantity: { value: 60 + number },
    code: { coding: [{ system: 'http://loinc.org', code: '8867-4' }] },
  },
  request: { method: 'POST', url: 'Observation' },
}))
const written = await client.executeBatch({ resourceType: 'Bundle', type: 'transaction', entry })
assert.deepEqual(written.entry.map((one) => one.response.status.slice(0, 3)), Array(5).fill('201'))

let seen = 0
let pages = 0
for await (const page of client.searchResourcePages('Observation', { patient: about.id, _count: 2 })) {
  seen += page.length
  pages += 1
}

const fresh = { headers: { 'if-match': 'W/"1"' } }
await client.updateResource({ ...about, active: true }, fresh)
const late = await client.updateResource({ ...about, active: false }, fresh).catch((refused) => refused)
const everything = await client.readPatientEverything(about.id)
const found = await client.searchOne('Patient', { name: family })
console.log(JSON.stringify({
  seen, pages, conflict: late.outcome?.issue?.[0]?.code, everything: everything.total, found: found?.id === about.id,
}))
