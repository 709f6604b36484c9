"""From an id to the verified resource: which dossier holds it, as far as this session may know.

A UUID is its row's id; any other id is found by its token. Equal ids may exist in dossiers of several zones:
the one in the home zone is taken, then the one with the lowest dossier id.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from cloister.base.errors import Busy, NotFound
from cloister.base.wire import Caller
from cloister.records.definitions import type_numbers
from cloister.records.dossier import Dossier, Row
from cloister.records.dossiers import Dossiers, Notes
from cloister.records.lines import Line
from cloister.records.rowids import uuid_row
from cloister.records.stored import DELETED, Stored
from cloister.records.tokens import Tokens, id_text, out_texts
from cloister.zones import Forged, Keyring, Refusal

ATTEMPTS: Final = 4
REGISTERS_KEPT_SECONDS: Final = 10.0
REGISTERS_MAX: Final = 200
PATIENTS_KEPT_SECONDS: Final = 30.0
PATIENTS_MAX: Final = 5000
ALTERNATIVES_MAX: Final = 2000  # the gate's bound for one group of tokens
READS_REMEMBERED: Final = 16
OPENING_FROM: Final = 0.3  # the share of recent reads whose dossier was not open, from which on dossiers come with their rows


class Finder:
    def __init__(self, gate: Caller, keyring: Keyring, opened: Dossiers, known: Tokens, preferred: Sequence[str]) -> None:
        self._gate = gate
        self._keyring = keyring
        self._dossiers = opened
        self._tokens = known
        self._preferred = frozenset(preferred)
        self._registers: tuple[float, list[bytes]] = (0.0, [])
        self._patients: dict[str, tuple[float, list[bytes]]] = {}
        self._unopened = 1.0

    def _zones(self) -> list[str]:
        return [held.zone for held in self._keyring.zones if "read" in held.rights]

    async def find(self, type: str, groups: Sequence[Sequence[str]]) -> list[tuple[bytes, bytes]]:
        """(dossier, row) of what has these tokens in any zone of this session: candidates, to be decided on opened values."""
        zones = self._zones()
        if not zones:
            return []
        wanted = [[token for zone in zones for token in self._tokens.of(zone, list(texts))] for texts in groups]
        rows = await self._gate.call("find", rtype=type_numbers()[type], groups=wanted)
        return list(dict.fromkeys((dossier, row) for dossier, row in rows))

    async def pointing(self, type: str, references: Sequence[str]) -> list[bytes]:
        """The dossiers of what points at these from another record (tokens.py); candidates, as `find` gives."""
        at_once = max(1, ALTERNATIVES_MAX // max(1, len(self._zones())))
        found: dict[bytes, None] = {}
        for start in range(0, len(references), at_once):
            rows = await self.find(type, [out_texts(type, references[start : start + at_once])])
            found.update((dossier, None) for dossier, _ in rows)
        return list(found)

    async def registers(self, *, fresh: bool = False) -> list[bytes]:
        """The hospitals' registers that this session can open."""
        at, ids = self._registers
        if fresh or not ids or time.monotonic() - at > REGISTERS_KEPT_SECONDS:
            rows = await self._gate.call("dossiers", after=bytes(16), registers=True, limit=REGISTERS_MAX)
            ids = [id for id, _, _ in rows]
            self._registers = (time.monotonic(), ids)
        return ids

    async def patients(self, ids: Sequence[str]) -> dict[str, list[bytes]]:
        """The dossiers of each patient, preferred first; remembered for a while, because a chart is used many times."""
        now = time.monotonic()
        unknown = [id for id in ids if now - self._patients.get(id, (-PATIENTS_KEPT_SECONDS, []))[0] >= PATIENTS_KEPT_SECONDS]
        if unknown:
            located = await self.locate([("Patient", id) for id in unknown])
            if len(self._patients) > PATIENTS_MAX:
                self._patients.clear()
            for id in unknown:
                self._patients.pop(id, None)
                if ("Patient", id) in located:
                    self._patients[id] = (now, located["Patient", id])
                else:
                    await self._check_missing("Patient", id)
        return {id: self._patients[id][1] for id in ids if id in self._patients}

    async def locate(self, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[bytes]]:
        """For each (type, id) the dossiers that hold it, preferred first; what this session cannot open is absent."""
        numbers = type_numbers()
        found: dict[tuple[str, str], list[bytes]] = {}
        plain = [(type, id, row) for type, id in places if (row := uuid_row(id)) is not None]
        if plain:
            rows = await self._gate.call("locate", rtypes=[numbers[type] for type, _, _ in plain], ids=[row for _, _, row in plain])
            for place, dossier, _ in rows:
                type, id, _ = plain[place - 1]
                found.setdefault((type, id), []).append(dossier)
        for type, id in places:
            if uuid_row(id) is None:
                for dossier, _ in await self.find(type, [[id_text(type, id)]]):
                    found.setdefault((type, id), []).append(dossier)
        for several in found.values():
            if len(several) > 1:
                opened = await self._dossiers.open(several)
                several.sort(key=lambda id: self._rank(opened.get(id)))
        return found

    def _rank(self, dossier: Dossier | None) -> tuple[bool, bytes]:
        return (dossier is None or not dossier.zones & self._preferred, dossier.id if dossier else b"\xff")

    async def line(self, type: str, id: str, *, fresh: bool = True) -> tuple[Dossier, Line]:
        """The dossier and line of a resource, deleted or not; NotFound when this session can open no such."""
        dossiers = (await self.locate([(type, id)])).get((type, id), [])
        opened = await self._dossiers.open(dossiers, fresh=fresh)
        for dossier in dossiers:
            found = opened[dossier].line(type, id) if dossier in opened else None
            if found is not None:
                return opened[dossier], found
        await self._check_missing(type, id)
        raise not_found(type, id)

    async def read(self, type: str, id: str, audit: Notes) -> Stored:
        """One verified resource, in one call once its dossier is open; a deleted one comes back as `deleted`."""
        row = uuid_row(id)
        if row is None:
            return await self.fetch(*await self.line(type, id), audit)
        for _ in range(ATTEMPTS):
            answers, opening = await self._gate.call(
                "rows_by_id", rtype=type_numbers()[type], ids=[row], open=self._unopened > OPENING_FROM, audit=audit
            )
            known = self._as_known(type, id, answers[0]) if len(answers) == 1 else None
            self._unopened += ((known is None) - self._unopened) / READS_REMEMBERED
            if known is not None:
                return known
            if opening:
                await self._dossiers.take_opened(opening)
            opened = await self._dossiers.open([one[0] for one in answers], at_least={one[0]: one[6] for one in answers})
            able = [one for one in answers if one[0] in opened]
            if not able:
                await self._check_missing(type, id)
                raise not_found(type, id)
            dossier_id, _, version, key_no, dict_no, sealed, seq = min(able, key=lambda one: self._rank(opened.get(one[0])))
            dossier = opened[dossier_id]
            line = dossier.line(type, id)
            if dossier.seq == seq or (line is not None and line.entry.version == version and key_no == dossier.key_no):
                if line is None:
                    raise Forged(Refusal.EXTRA_ROW)
                if seq < dossier.seq:  # refused here if the head was rolled back; another task's write has overtaken us otherwise
                    await self._dossiers.open([dossier_id], fresh=True)
                return dossier.opened(line, Row(version, key_no, dict_no, sealed), self._keyring.trust_id)
            await self._dossiers.open([dossier_id], fresh=True)  # the row is older than what we know: it moved, or was rolled back
        raise Busy("This record is being written too quickly to be read.", hint="Try again.")

    def _as_known(self, type: str, id: str, answer: list[Any]) -> Stored | None:
        """The resource, when this very row is the one that an index opened earlier means; None when more must be asked.

        The head may have moved by what others wrote since: this row has not. (Whoever serves the rows could as well
        have said that the head had not moved.) A head older than the known one is not accepted here.
        """
        dossier_id, _, version, key_no, dict_no, sealed, seq = answer
        dossier = self._dossiers.get(dossier_id)
        line = dossier.line(type, id) if dossier is not None and dossier.seq <= seq else None
        if dossier is None or line is None or line.entry.version != version or key_no != dossier.key_no:
            return None  # another version, or the same sealed anew under a new key
        return dossier.opened(line, Row(version, key_no, dict_no, sealed), self._keyring.trust_id)

    async def fetch(self, dossier: Dossier, line: Line, audit: Notes) -> Stored:
        """The resource of a line; follows it when somebody writes it meanwhile."""
        place = (line.entry.type, line.entry.id)
        for _ in range(ATTEMPTS):
            (stored,), _ = await self._dossiers.rows([(dossier, line)], audit)
            if stored is not None:
                return stored
            dossier = await self._dossiers.again(dossier)
            line = dossier.line(*place) or line
        raise Busy("This record is being written too quickly to be read.", hint="Try again.")

    async def _check_missing(self, type: str, id: str) -> None:
        """No row came: that is a refusal, not a 404, where an opened dossier's index says that there must be one."""
        for dossier in self._dossiers.opened:
            line = dossier.line(type, id)
            # A deleted one with an id of its own has no token where an earlier version of this program deleted it.
            if line is not None and not (line.deleted and line.row):
                raise await self._dossiers.absent(dossier)


def not_found(type: str, id: str, *, deleted: bool = False) -> NotFound:
    if deleted:
        return NotFound(f"{type}/{id} was deleted.", hint="Its history is still there.", reason=DELETED)
    return NotFound(f"There is no {type}/{id} that you can open.", hint="Check the id; it may lie in a zone that is not open to you.")
