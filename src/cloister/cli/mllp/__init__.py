"""`cloister mllp`: HL7 v2 messages from the hospital's other systems, over TLS, into a program's session. docs/integration.md.

The listener holds a message in memory until the session has said what became of it; nothing is written to disk here.
"""
