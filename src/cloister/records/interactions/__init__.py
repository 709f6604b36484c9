"""One file an interaction of http://hl7.org/fhir/R4/http.html, each opening with its clause."""
