"""HL7 v2.5 messages: read, mapped to FHIR by tables, acknowledged. HL7 v2.5 chapters 2, 3, 4, 7, 10; IHE PAM, French extension."""
