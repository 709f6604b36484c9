"""What the modules share: reading FHIR, dates, words, lists, forms, the patient banner, trend pictures."""
