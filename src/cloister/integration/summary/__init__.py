"""The International Patient Summary of one patient, as this session sees them. http://hl7.org/fhir/uv/ips, STU 1.1; operation $summary."""
