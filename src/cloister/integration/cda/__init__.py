"""CDA R2 documents: read safely, kept as they came, and understood as far as their entries go. HL7 CDA R2; C-CDA R2.1; CI-SIS (France)."""
