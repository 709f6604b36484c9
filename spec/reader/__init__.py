"""A second reader of what Cloister stores, written from docs/spec/zones.md alone: no line of `cloister` is imported.

It opens and refuses every vector of docs/spec/vectors: `python -m spec.reader` in the project's folder. It is small and
slow on purpose, holds keys as plain bytes, and is there to show that the written format is enough; nobody runs it for patients.
"""
