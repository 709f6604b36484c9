"""While the database is away brokers cannot ask each other: they send a person to the same server, whose agent knows. docs/farm.md."""

from __future__ import annotations

from collections.abc import Iterable

from cloister.base.errors import Conflict
from cloister.farm import claims
from cloister.server.register import SessionRecord


def assert_nobody_here(session: str, person: str, label: str, here: Iterable[SessionRecord]) -> None:
    """Raises Conflict, which names session, slot and epoch, when another broker has started this person here already."""
    if not session.startswith(claims.AWAY):
        return
    for record in here:
        if (record.person, record.label) == (person, label):
            where = f"{record.session} {record.slot} {record.epoch}"
            raise Conflict("This person has a session here.", reason="person-here", expression=where)
