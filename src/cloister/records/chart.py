"""One patient's chart, opened: answers from the dossier's own sealed index, without any token."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cloister.access import Action
from cloister.base.errors import Busy, Invalid
from cloister.records.changing import write_one
from cloister.records.dossier import Dossier
from cloister.records.lines import Line
from cloister.records.rekeying import ask_zone, rekey
from cloister.records.room import Room
from cloister.records.search import IndexEntry, Query, parameter, patient_reference
from cloister.records.search.entry import TIME_MIN
from cloister.records.stored import Page, Reader, Shared, Stored, Written
from cloister.records.validation import check

ATTEMPTS: Final = 4
# By which date a clinician orders what is seen; where a type is not here, by its last change.
CLINICAL_DATE: Final[dict[str, tuple[str, ...]]] = {
    "AllergyIntolerance": ("date",),
    "Appointment": ("date",),
    "CarePlan": ("date",),
    "Claim": ("created",),
    "Composition": ("date",),
    "Condition": ("onset-date", "recorded-date"),
    "DiagnosticReport": ("date",),
    "DocumentReference": ("date",),
    "Encounter": ("date",),
    "ExplanationOfBenefit": ("created",),
    "Goal": ("start-date",),
    "ImagingStudy": ("started",),
    "Immunization": ("date",),
    "MedicationAdministration": ("effective-time",),
    "MedicationRequest": ("authoredon",),
    "Observation": ("date",),
    "Procedure": ("date",),
    "ServiceRequest": ("authored",),
    "Task": ("authored-on",),
}


class Chart:
    """A patient's dossier in this session. Made by `Records.open_chart`; its opening is audited."""

    def __init__(self, room: Room, dossier: Dossier, patient: Stored) -> None:
        self.patient = patient
        self._room = room
        self._id = dossier.id
        self._known = dossier
        self._fresh = True  # it was fetched for this chart a moment ago

    async def _dossier(self) -> Dossier:
        fresh, self._fresh = not self._fresh, False
        found = (await self._room.dossiers.open([self._id], fresh=fresh)).get(self._id)
        if found is None:
            raise await self._room.dossiers.absent(self._known)
        self._known = found
        return found

    async def all(self, type: str, *, newest: int | None = None) -> list[Stored]:
        """Every current resource of a type, newest clinical date first; `newest` limits the number."""
        return (await self.summary({type: newest if newest is not None else 2**31}))[type]

    async def summary(self, limits: Mapping[str, int]) -> dict[str, list[Stored]]:
        """`all` for several types in one call to the store: {'Condition': 50, 'Observation': 200, ...}."""
        for type in limits:
            await self._room.permit(Action.READ, type)
        seen: dict[tuple[str, str, int], Stored] = {}
        dossier, settled = await self._dossier(), False
        for _ in range(ATTEMPTS):
            chosen: list[Line] = []
            for type, newest in limits.items():
                lines = sorted(dossier.current(type), key=lambda line: (clinical_date(line.entry), line.entry.updated), reverse=True)
                chosen.extend(lines[:newest])
            self._room.dossiers.keep(dossier)
            missing = [line for line in chosen if _place(line) not in seen]
            if missing or not seen:  # where others wrote meanwhile, only what is new of it
                note = {"action": Action.READ.value, "kind": "Chart", "object": dossier.name, "reason": f"{len(missing)} shown"}
                stored, moved = await self._room.dossiers.rows([(dossier, line) for line in missing], [note])
                seen.update({_place(line): one for line, one in zip(missing, stored, strict=True) if one is not None})
                if moved and not settled:
                    settled = True
                    dossier = (await self._room.dossiers.open([self._id])).get(self._id, dossier)
                    continue
            if all(_place(line) in seen for line in chosen):
                found: dict[str, list[Stored]] = {type: [] for type in limits}
                for line in chosen:
                    found[line.entry.type].append(seen[_place(line)])
                return found
        raise Busy("This record is being written too quickly to be read.", hint="Try again.")

    async def count(self, type: str) -> int:
        await self._room.permit(Action.SEARCH, type)
        return sum(1 for _ in (await self._dossier()).current(type))

    async def search(self, query: Query) -> Page:
        """A search inside this chart; the query needs no patient parameter."""
        await self._room.permit(Action.SEARCH, query.type)
        return await self._room.searcher.search(query, within=await self._dossier())

    async def write(self, resource: dict[str, Any]) -> Written:
        """Create (no id) or update a resource of this patient."""
        check(resource)
        if patient_reference(resource) != self.patient.reference:
            raise Invalid("This resource is not about this patient.", hint=f"Its subject must be {self.patient.reference}.")
        return await write_one(self._room, resource)

    async def readers(self) -> list[Reader]:
        """The zones that may open this dossier, with the people granted in each."""
        people: dict[str, list[tuple[str, str, str]]] = {}
        names: dict[str, str] = {}
        note = {"action": "readers", "kind": "Chart", "object": (await self._dossier()).name}
        for zone, name, _, _, person, person_name, role in await self._room.gate.call("readers", dossier=self._id, audit=[note]):
            names[zone] = name
            several = people.setdefault(zone, [])
            if person is not None:
                several.append((person, person_name, role))
        return [Reader(zone=zone, name=names[zone], people=tuple(several)) for zone, several in people.items()]

    async def renew_keys(self, reason: str, *, whole_zones: bool = False) -> None:
        """New keys for this record; with `whole_zones` also for all others of its zones in which this session writes, by and by."""
        await self._room.permit(Action.UPDATE, "Patient")
        await rekey(self._room, self._id, reason)
        for zone in sorted((await self._dossier()).zones) if whole_zones else ():
            if self._room.keyring.can(zone, "write"):
                await ask_zone(self._room, zone, reason)

    async def shares(self) -> list[Shared]:
        """The zones that this record is shared with now, and why."""
        found = []
        for zone, name, reason, _, giver, state, made, until in await self._room.gate.call("shares_of", dossier=self._id):
            end = datetime.fromisoformat(until) if until is not None else None
            since = datetime.fromisoformat(made)
            found.append(Shared(zone=zone, name=name, reason=reason, giver=giver or "", taken=state == "held", since=since, until=end))
        return found


def _place(line: Line) -> tuple[str, str, int]:
    return line.entry.type, line.entry.id, line.entry.version


def clinical_date(entry: IndexEntry) -> int:
    """The latest start among the entry's dates, microseconds since 1970; before everything when there is none."""
    for code in CLINICAL_DATE.get(entry.type, ()):
        known = parameter(entry.type, code)
        starts = [int(low) for place in known.places for low in entry.values.get(place, ())[0::2]] if known is not None else []
        if starts:
            return max(starts)
    return TIME_MIN
