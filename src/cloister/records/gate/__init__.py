"""The store gate: the only process that reaches schema care, and the door to it. ../../docs/spec/zones.md 8.

`run_gate` is the process; `open_gate` the connection a session calls it through.
"""
