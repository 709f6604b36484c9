"""`cloister import`: FHIR R4 bundles and NDJSON into a hospital's zones, over HTTPS, as a program.

Everything good is kept, everything refused is reported with its place and reason; running it again changes nothing.
"""
