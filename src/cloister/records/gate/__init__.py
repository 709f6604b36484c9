"""The store gate: the only process that reaches schema care. Spec: docs/spec/zones.md.

`run_gate` is the process. A session calls it through `cloister.base.wire.Caller`, by the names in `statements`.
This door stands by itself, so that the process loads neither keys nor validation nor search.
"""

from cloister.records.gate.audit_keeper import Far, Keeping
from cloister.records.gate.audit_writer import AuditKeys
from cloister.records.gate.server import run_gate

__all__ = ["AuditKeys", "Far", "Keeping", "run_gate"]
