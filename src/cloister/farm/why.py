"""Why this server? The record that a broker left with a placement, as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloister.base.errors import NotFound


def explained(record: Mapping[str, Any]) -> list[str]:
    """Sentences for an operator; raises NotFound when there is no record."""
    if not record:
        raise NotFound("There is no such session.", hint="cloister session list --all", reason="session")
    lines = [f"Server {record['server']}, for '{record['application']}', chosen by {record.get('broker', 'an earlier version')}."]
    best = [(str(server), float(index), int(taken)) for server, index, taken in record.get("best", ())]
    for place, (server, index, taken) in enumerate(best, start=1):
        mark = "  <- chosen" if server == record["server"] else ""
        lines.append(f"  {place}. {server}: load index {index:.4f}, {taken} sessions{mark}")
    if best and record["server"] not in [server for server, _, _ in best]:
        lines.append("  The chosen one stood further down: other brokers had placed on those before.")
    kept_out = record.get("kept_out") or {}
    if "servers" in record:
        out = ", ".join(f"{count:,} {why}" for why, count in kept_out.items()) or "none kept out"
        lines.append(f"Of {record['servers']:,} servers that offer it: {out}.")
        lines.append(
            f"Known from a snapshot {record['view_age_ms']} ms old; try {record['tries']}; waited {record['waited_ms'] / 1000:.1f} s"
            + (", as an emergency." if record.get("emergency") else ".")
        )
    if record.get("seat") is not None:
        lines.append(f"It holds licence number {record['seat']}.")
    return lines
