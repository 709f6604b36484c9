"""The baseline: the same hospital without sealing.

The same HTTP front (Envoy with TLS, one forked process a session on a UNIX socket, the same routes and validation), the same
audit log, the same PostgreSQL with the same settings; but bodies are JSONB, found by the usual indexes, and there are no keys.
"""
