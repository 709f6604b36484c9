// A small app on fhirclient, the SMART JavaScript client library, as it comes from npm. Another site's page: it knows nothing of Cloister.
const asked = new URLSearchParams(location.search)
const show = (id, text) => (document.getElementById(id).textContent = text)

async function main() {
  if (!asked.has('code') && !asked.has('error')) {
    const iss = asked.get('iss')
    const scope = (asked.has('launch') ? 'launch ' : 'launch/patient ') + 'openid fhirUser offline_access patient/Patient.rs patient/Observation.rs'
    await FHIR.oauth2.authorize({ clientId: 'pulse', scope, iss, redirectUri: location.pathname, pkceMode: 'required', ...(asked.has('launch') ? { launch: asked.get('launch') } : {}) })
    return
  }
  const client = await FHIR.oauth2.ready()
  window.client = client
  const patient = await client.patient.read()
  show('who', `${patient.name[0].family} ${client.user.fhirUser}`)
  const bundle = await client.request(`Observation?patient=${client.patient.id}&code=8867-4&_count=50`, { pageLimit: 0, flat: true })
  for (const one of bundle) {
    const item = document.createElement('li')
    item.textContent = one.valueQuantity.value
    document.getElementById('pulses').append(item)
  }
  const others = await client.request('Patient?_summary=count')
  const made = await client.create({ resourceType: 'Observation', status: 'final', code: { text: 'Pulse' } }).then(() => 'made', (refused) => refused.status ?? refused.statusCode)
  show('beyond', `${others.total} patients, create: ${made}`)
}

main().catch((fault) => show('fault', String(fault.message ?? fault)))
