"""The FHIR face: JSON text, outcomes, bundles, references and the routes of a session. Spec: http://hl7.org/fhir/R4/http.html."""
