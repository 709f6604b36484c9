"""The one error of the reader: a name of the closed list in docs/spec/zones.md 1."""

from __future__ import annotations


class Refused(Exception):
    """Not opened, and why."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def need(holds: bool, name: str) -> None:
    if not holds:
        raise Refused(name)
