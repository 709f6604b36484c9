"""The privacy officer's search in the audit log: who opened whose record. Opened in this session only. docs/audit.md.

The gate finds sealed entries by tokens that this session computes from each hour's key; the rest is decided on opened values.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.audit import Entry, Sealed
from cloister.base.errors import Corrupt, Invalid
from cloister.base.wire import Caller
from cloister.zones import Keyring, audit_keys

PAGE: Final = 100
PAGES_LOOKED_MAX: Final = 20  # of one question whose filters leave little
NOTHING_BEFORE: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is looked for; empty texts ask for everything. `patient` is the id of a Patient resource."""

    since: datetime
    until: datetime
    person: str = ""
    patient: str = ""
    action: str = ""
    kind: str = ""
    outcome: str = ""
    before: int = NOTHING_BEFORE

    def fits(self, entry: Entry) -> bool:
        """What tokens cannot say, or say for one thing only."""
        wanted = ((self.person, entry.actor), (self.action, entry.action), (self.kind, entry.kind), (self.outcome, entry.outcome))
        return self.since <= entry.at < self.until and all(not asked or asked == found for asked, found in wanted)


@dataclass(frozen=True, slots=True)
class Opened:
    seq: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Found:
    """One page, newest first. `more`: pass it as `before` for the next; `closed`: hours whose key is another generation's."""

    entries: tuple[Opened, ...]
    more: int | None
    closed: int


class PrivacyOffice:
    """One privacy officer's session at work; keeps the hours' keys that it has opened."""

    def __init__(self, keyring: Keyring, gate: Caller) -> None:
        self._keyring = keyring
        self._gate = gate
        self._keys: dict[int, audit_keys.OpenedDataKey] = {}

    async def search(self, question: Question) -> Found:
        """A page of at most 100; Invalid when a patient's id is none. The search is itself on record."""
        keys, closed = await self._hours(question)
        names = await self._dossiers(question.patient) if question.patient else []
        note = {"action": "audit-search", "kind": "audit", "object": names[0] if names else question.person}
        if question.patient and not names:
            return Found((), None, closed)
        entries: list[Opened] = []
        before, audit = question.before, [note]
        for _ in range(PAGES_LOOKED_MAX):
            rows = await self._gate.call("audit_find", **_asked(keys, question, names, before), limit=PAGE, audit=audit)
            audit = []
            for row in rows:
                opened = self._open(row)
                if question.fits(opened.entry) and (not names or opened.entry.patient in names):
                    entries.append(opened)
            if len(rows) < PAGE:
                return Found(tuple(entries), None, closed)
            before = int(rows[-1][0])
            if len(entries) >= PAGE:
                break
        return Found(tuple(entries), before, closed)

    async def everything(self, question: Question, most: int) -> tuple[Opened, ...]:
        """All pages, for a report; Invalid when there are more than `most`."""
        entries, before = list[Opened](), NOTHING_BEFORE
        while True:
            asked = Question(**{**{name: getattr(question, name) for name in Question.__slots__}, "before": before})
            found = await self.search(asked)
            entries += found.entries
            if found.more is None:
                return tuple(entries)
            if len(entries) > most:
                raise Invalid(f"These are more than {most:,} entries.", hint="Ask for a shorter time.", reason="too-many")
            before = found.more

    async def gaps(self) -> list[str]:
        """Sources whose numbering has a hole among the latest entries."""
        rows = await self._gate.call("audit_gaps")
        return [f"{source} ({first} - {last})" for source, first, last, count in rows if last - first + 1 != count]

    async def _hours(self, question: Question) -> tuple[list[audit_keys.OpenedDataKey], int]:
        since = int(question.since.replace(minute=0, second=0, microsecond=0).timestamp())
        rows = await self._gate.call("audit_keys", since=since, until=int(question.until.timestamp()) + 1)
        way, closed, found = self._keyring.team(audit_keys.OFFICE_TEAM), 0, list[audit_keys.OpenedDataKey]()
        for number, _, office, sealed in rows:
            if number not in self._keys:
                try:
                    self._keys[number] = audit_keys.opened_data_key(self._keyring.trust_id, number, office, bytes(sealed), way.kem.open)
                except Corrupt:
                    closed += 1
                    continue
            found.append(self._keys[number])
        return found, closed

    async def _dossiers(self, patient: str) -> list[str]:
        try:
            row = uuid.UUID(patient.strip().removeprefix("Patient/")).bytes
        except ValueError:
            raise Invalid("This is not the id of a patient.", hint="Copy it from the patient's page: Patient/…", reason="patient") from None
        return [str(one) for one in await self._gate.call("audit_dossiers", patient=row)]

    def _open(self, row: Sequence[Any]) -> Opened:
        seq, at, source, number, category, named, key, actor, about, patient, body = row
        moment = datetime.fromisoformat(at)
        sealed = Sealed(moment, source, number, category, bytes(named or b""), key, actor, about, patient, bytes(body))
        return Opened(seq, self._keys[key].opened(sealed))


def _asked(keys: Sequence[audit_keys.OpenedDataKey], question: Question, names: Sequence[str], before: int) -> dict[str, Any]:
    """The narrowest token: a patient's dossiers, else the person, else all entries of these hours."""
    if names:
        pairs = [(key.number, key.token("patient", name)) for key in keys for name in names]
        return {"keys": [key for key, _ in pairs], "what": "patient", "tokens": [token for _, token in pairs], "before": before}
    numbers = [key.number for key in keys]
    if question.person:
        return {"keys": numbers, "what": "actor", "tokens": [key.token("actor", question.person) for key in keys], "before": before}
    return {"keys": numbers, "before": before}
