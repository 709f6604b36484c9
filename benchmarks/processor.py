"""Processor time of a process and everything below it, as the kernel counts it: says what work costs even on a busy machine."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def _table() -> dict[int, tuple[int, float]]:
    """process -> (parent, seconds used so far by it and by those of its children that have ended and were waited for)"""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended while we looked
            found[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / TICKS)
    return found


def used_by(roots: list[int]) -> float:
    """Seconds used so far by these processes and all below them."""
    table = _table()
    below: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        below.setdefault(parent, []).append(pid)
    total, left, seen = 0.0, list(roots), set[int]()
    while left:
        pid = left.pop()
        if pid in table and pid not in seen:
            seen.add(pid)
            total += table[pid][1]
            left += below.get(pid, [])
    return total
