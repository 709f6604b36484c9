"""Proposals from directories and staff lists, for certificate officers: asked and decided from their own sessions.

Accepting a link says that an account is a person's. Accepting anything else says that it was looked at: enrolling, granting and teams
stay with their own pages, and their own signatures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from cloister.base.errors import Conflict, Denied, Invalid
from cloister.farm import Session
from cloister.gateway.kept import Queries
from cloister.identity import Role

OPEN: Final = """
    select id, source, kind, account, name, what, made from estate.directory_proposal where state = 'open' order by id limit 200"""
COUNT: Final = "select count(*) as n from estate.directory_proposal where state = 'open'"
DECIDE: Final = """
    update estate.directory_proposal set state = $2, decided = now(), by = $3 where id = $1 and state = 'open'
    returning source, kind, account, what"""
LINK: Final = """
    update estate.directory_account a set person = p.id, changed = now() from trust.person p
     where a.directory = $1 and a.id = $2 and p.sign_in = $3 and p.kind = 'person' returning p.id"""
STATES: Final = {"accept": "accepted", "refuse": "refused"}

Audit = Callable[[Sequence[dict[str, str]]], Awaitable[None]]


class Proposals:
    def __init__(self, queries: Queries, audit: Audit) -> None:
        self._queries = queries
        self._audit = audit

    @property
    def further(self) -> dict[str, Any]:
        return {"proposals_list": self.listed, "proposal_decide": self.decided}

    async def listed(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        _check(session)
        rows = await self._queries.fetch(OPEN)
        count = (await self._queries.fetchrow(COUNT))["n"]
        return {"proposals": [{**dict(row), "made": row["made"].isoformat()} for row in rows], "count": count}

    async def decided(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        _check(session)
        state = STATES.get(str(words.get("answer", "")))
        if state is None:
            raise Invalid("Accept or refuse.", reason="answer")
        note = {"action": f"proposal-{state}", "kind": "directory", "object": f"proposal/{int(words['id'])}", "outcome": "success"}
        await self._audit([{**note, "actor": session.person, "session": session.id, "reason": ""}])
        row = await self._queries.fetchrow(DECIDE, int(words["id"]), state, session.person)
        if row is None:
            raise Conflict("This was decided already.", hint="Load the page again.", reason="proposal-over")
        if state == "accepted" and row["kind"] == "link":
            await self._queries.fetch(LINK, row["source"], row["account"], row["what"])
        return {"kind": row["kind"]}


def _check(session: Session) -> None:
    if session.role != Role.CERTIFICATE_OFFICER:
        raise Denied("This belongs to the certificate officer.", hint="Ask the certificate officer.", reason="other-office")
