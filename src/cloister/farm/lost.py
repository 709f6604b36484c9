"""What a person lost with a session that nobody ended: where it was, and when it was missed. Asked by the session that came after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from cloister.base.clock import iso
from cloister.farm.placement import Session

WHYS: Final = ("server-lost", "lost", "died", "silent")  # of sessions that people may have typed into
BEFORE: Final = """
    select s.server, s.why, s.started, s.changed from estate.session s join estate.session own on own.id = $1
     where s.person = own.person and s.application = own.application and s.label = own.label and s.id <> own.id and s.started <= own.started
     order by s.started desc, s.id desc limit 1"""


def asked(fetchrow: Callable[..., Awaitable[Any]]) -> Callable[[Session, Mapping[str, Any]], Awaitable[dict[str, Any]]]:
    """The answer to `lost_before`: {server, why, began, missed} (ISO 8601) of the person's last session, or {} if that was ended."""

    async def lost_before(session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        row = await fetchrow(BEFORE, session.id)
        if row is None or row["why"] not in WHYS:
            return {}
        return {"server": row["server"], "why": row["why"], "began": iso(row["started"]), "missed": iso(row["changed"])}

    return lost_before
