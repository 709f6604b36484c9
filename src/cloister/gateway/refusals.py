"""Recent refusals by policy: written by sessions and the door, read by access officers and operators, each look on record.

Whose refusal it is the broker's row says, not the session. No id of a patient fits in it: kinds and pages are letters only.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from cloister.access import Page, rules
from cloister.base.clock import iso
from cloister.base.errors import Denied, Invalid
from cloister.farm import Session

READERS: Final = frozenset({"access-officer", "it-operator"})
SHOWN_MAX: Final = 100
TEXT_CHARACTERS_MAX: Final = 300
NUMBER: Final = re.compile(r"(\d{5})[- ]?(\d{5})")
KIND: Final = re.compile(r"[A-Za-z-]{0,40}")  # a type of resource, or a page: no id fits
LANGUAGES: Final = ("en", "fr")
WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{0,64}")

INSERT: Final = """
    insert into estate.policy_refusal (number, person, role, session, action, what, rule, version, said, remedy, place, site, address, aal,
                                minutes, factors, application)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) on conflict do nothing"""
FORGET: Final = "delete from estate.policy_refusal where at < now() - interval '30 days'"
FOUND: Final = f"""
    select r.*, coalesce(p.sign_in, r.person) as sign_in, coalesce(p.name, '') as name
      from estate.policy_refusal r left join trust.person p on p.id = r.person
     where ($1::text is null or r.number = $1)
       and ($2 = '' or p.sign_in ilike '%' || $2 || '%' or p.name ilike '%' || $2 || '%' or r.rule = $2)
     order by r.at desc, r.number limit {SHOWN_MAX}"""

Audit = Callable[[Sequence[dict[str, str]]], Awaitable[None]]


def new_number() -> str:
    """Ten digits to be read aloud; by chance, so that nobody learns from it how many there were."""
    digits = f"{secrets.randbelow(10**10):010d}"
    return f"{digits[:5]}-{digits[5:]}"


class Queries(Protocol):
    async def fetch(self, query: str, *args: Any) -> Any: ...


class Refusals:
    def __init__(self, queries: Queries, audit: Audit) -> None:
        self._queries = queries
        self._audit = audit

    async def noted(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """A session's word: {number, row} (web/refusing.py)."""
        row = words.get("row")
        if not isinstance(row, dict) or not NUMBER.fullmatch(str(words.get("number", ""))):
            raise Invalid("This is no refusal.", reason="refusal")
        await self._write(str(words["number"]), session.person, session.role, session.id, row)
        return {}

    async def at_the_door(self, number: str, person: str, role: str, refused: rules.Refused, standing: rules.Standing) -> None:
        """A sign-in that the trust's rules refused."""
        row = {
            "action": rules.Act.SIGN_IN, "what": Page.START, "rule": refused.rule, "version": refused.version,
            "said": {one: refused.sentence(one) for one in LANGUAGES},
            "remedy": refused.remedy, "place": standing.place, "site": standing.site, "address": standing.address, "aal": standing.aal,
            "factors": sorted(standing.factors), "application": standing.application,
        }  # fmt: skip
        await self._write(number, person, role, "", row)

    async def _write(self, number: str, person: str, role: str, session: str, row: Mapping[str, Any]) -> None:
        words = {name: _word(row, name) for name in ("action", "rule", "remedy", "place", "address", "application")}
        counts = {name: _count(row, name) for name in ("version", "aal", "minutes")}
        what, factors = str(row.get("what", "")), row.get("factors")
        if not KIND.fullmatch(what):
            raise Invalid("This is no kind of thing.", reason="refusal")
        kept = " ".join(sorted(str(one)[:20] for one in factors)[:10]) if isinstance(factors, list) else ""
        await self._queries.fetch(FORGET)
        await self._queries.fetch(
            INSERT, number, person, role, session, words["action"], what, words["rule"], counts["version"], json.dumps(_said(row)),
            words["remedy"], words["place"], str(row.get("site", ""))[:80], words["address"], counts["aal"], counts["minutes"], kept,
            words["application"],
        )  # fmt: skip

    async def shown(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """{search}: for an access officer's or an operator's session."""
        if session.role not in READERS:
            raise Denied("This page belongs to an office that you do not hold.", reason="other-office")
        return {"refusals": await self._found(session.person, session.id, "session", words)}

    async def listed(self, by: Any, words: Mapping[str, Any]) -> dict[str, Any]:
        """The operators' act `refusals`."""
        return {"refusals": await self._found(by.id, by.session, "estate", words)}

    async def _found(self, actor: str, session: str, kind: str, words: Mapping[str, Any]) -> list[dict[str, Any]]:
        search = str(words.get("search", ""))[:100].strip()
        number = NUMBER.fullmatch(search)
        entry = {"action": "refusals", "kind": kind, "actor": actor, "session": session, "object": "refusals"}
        await self._audit([{**entry, "reason": search}])
        rows = await self._queries.fetch(FOUND, f"{number[1]}-{number[2]}" if number else None, "" if number else search)
        return [{**dict(row), "at": iso(row["at"]), "said": json.loads(row["said"])} for row in rows]


def _word(row: Mapping[str, Any], name: str) -> str:
    text = str(row.get(name, ""))
    if not WORD.fullmatch(text):
        raise Invalid(f"'{name}' is no word.", reason="refusal")
    return text


def _count(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name, 0)
    return value if type(value) is int and 0 <= value < 10**9 else 0


def _said(row: Mapping[str, Any]) -> dict[str, list[str]]:
    said = row.get("said")
    found = said if isinstance(said, Mapping) else {}
    return {
        language: [str(part)[:TEXT_CHARACTERS_MAX] for part in list(found[language])[:2]] for language in LANGUAGES if language in found
    }
