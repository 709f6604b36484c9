"""Plans: which dossiers a set of changes goes to, decided on the dossiers as they are at this moment.

Called again by the writer whenever another session wrote first, so everything that depends on a head is here:
what exists already, which version it has, whether a patient is known.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import Conflict, Denied, Invalid
from cloister.records.commit import Item, Plan
from cloister.records.definitions import load
from cloister.records.dossier import Dossier
from cloister.records.draft import Draft
from cloister.records.finding import not_found
from cloister.records.lines import Line
from cloister.records.placement import PATIENT, REGISTER, new_patient_dossier
from cloister.records.room import Room
from cloister.records.search import IndexEntry
from cloister.records.search.pointing import in_records, references
from cloister.records.subscribed import TYPE as SUBSCRIPTION
from cloister.records.terminology import shelf
from cloister.records.terminology.catalogue import TYPES, refusal
from cloister.records.tokens import texts_of

STEPS_MAX: Final = 8  # from what names no patient to what does


@dataclass(slots=True, kw_only=True)
class Change:
    """One resource to be written. `draft` None deletes.

    `fresh`: the id was made by this session, so nothing can exist under it. `skip_same`: leave it when the same
    content is stored. `settled`: a Subscription's status that the server writes itself. `found` and `dossier` are set by each planning.
    """

    type: str
    id: str
    draft: Draft | None = None
    resource: dict[str, Any] | None = None
    if_match: int | None = None
    fresh: bool = False
    skip_same: bool = False
    settled: bool = False
    found: Line | None = None
    dossier: Dossier | None = None
    same: bool = False

    @property
    def created(self) -> bool:
        return self.found is None or self.found.deleted


class Planner:
    """Places the changes of one request. New dossiers are made once, however often it is planned."""

    def __init__(self, room: Room, changes: Sequence[Change], zone: str | None) -> None:
        self._room = room
        self._changes = changes
        self._zone = zone
        self._began = time.monotonic()
        self._home: str | None = None
        self._new: dict[str, Dossier] = {}  # Patient/id -> dossier made by this request
        self._new_register: Dossier | None = None
        self._register: Dossier | None = None
        self._known: dict[tuple[str, str], Dossier] = {}
        self._drafts = {(change.type, change.id): change.draft for change in changes if change.draft is not None}
        self._patients = {f"Patient/{change.id}" for change in changes if change.type == "Patient" and change.draft is not None}

    @property
    def home(self) -> str:
        if self._home is None:
            self._home = self._room.places.home(self._zone)
        return self._home

    async def plans(self) -> list[Plan]:
        """Raises what is wrong with any of the changes; then nothing is written."""
        known = self._known = await self._existing()
        self._register = None
        plans: dict[bytes, Plan] = {}
        for change in self._changes:
            change.found, change.same = None, False
            if change.type == SUBSCRIPTION and change.resource is not None and not change.settled:
                change.resource = await self._room.subscriptions.asked(change.resource)
                change.draft = Draft(change.resource, change.id)
            existing = known.get((change.type, change.id))
            if change.draft is None:
                dossier = self._deleted(change, existing)
            else:
                dossier = await self._placed(change, change.draft, existing)
            change.dossier = dossier
            if change.same:
                continue
            plan = plans.get(dossier.id)
            if plan is None:
                plan = plans[dossier.id] = Plan(dossier, zones=self._zones(dossier))
            plan.items.append(Item(change.type, change.id, change.draft, change.found))
            if change.resource is not None:
                plan.zones |= self._room.places.admission_zones(change.resource)
        return list(plans.values())

    async def _existing(self) -> dict[tuple[str, str], Dossier]:
        """The dossiers of what may be there already: resources under a known id, and the patients that are spoken of."""
        room = self._room
        wanted = {(change.type, change.id) for change in self._changes if not change.fresh and self._lookup(change)}
        patients = {change.draft.patient for change in self._changes if change.draft is not None} - {None} - self._new.keys()
        wanted |= {place for draft in self._drafts.values() for place in self._anchors(draft)} - self._drafts.keys()
        ids = sorted({str(one).removeprefix("Patient/") for one in patients} - {id for type, id in wanted if type == "Patient"})
        located = await room.finder.locate(sorted(wanted)) if wanted else {}
        located |= {("Patient", id): several for id, several in (await room.finder.patients(ids)).items()}
        # Of now, so that the write meets a moved head only when somebody writes at this very moment; what depends on a former version
        # of something is not refused on a head that others have moved. What is planned again, because a head had moved, knows it already.
        places = [id for several in located.values() for id in several]
        new = all(change.fresh for change in self._changes)
        since = min(self._began, room.dossiers.built_on_since()) if new and self._tells_no_zone(places) else self._began
        dossiers = await room.dossiers.open(places, fresh=True, to_write=new, since=since)
        found: dict[tuple[str, str], Dossier] = {}
        for place, several in located.items():
            able = [dossiers[id] for id in several if id in dossiers and self._suits(dossiers[id])]
            if able:
                found[place] = able[0]
        return found

    def _tells_no_zone(self, places: Sequence[bytes]) -> bool:
        """True when no zone gets a token for these new resources; one that was given the record a moment ago would miss it."""
        kept = [dossier for id in places if (dossier := self._room.dossiers.get(id)) is not None]

        def beside(type: str, id: str) -> bool:
            return (type, id) in self._drafts or any(dossier.holds(type, id) for dossier in kept)

        drafts = [(change.type, change.id, change.draft) for change in self._changes if change.draft is not None]
        return not any(texts_of(IndexEntry(type, id, 1, 0, draft.values), beside) for type, id, draft in drafts)

    def _lookup(self, change: Change) -> bool:
        """An import's resources are looked for in the index of their own dossier; all others by their id."""
        return not change.skip_same or change.type == "Patient"

    def _suits(self, dossier: Dossier) -> bool:
        """With a zone named by the request, only what is in that zone is the same thing."""
        return self._zone is None or self._zone in dossier.zones

    def _anchors(self, draft: Draft) -> list[tuple[str, str]]:
        """What a draft that names no patient points at in patients' records: it lies where the first of them lies. A provenance
        or a task tells of a record, so it must not be in a register that all wards of the hospital read."""
        if draft.type not in load().compartment or draft.patient is not None:
            return []
        return [(type, id) for type, _, id in (text.partition("/") for text in references(draft.type, draft.values)) if in_records(type)]

    def _deleted(self, change: Change, existing: Dossier | None) -> Dossier:
        line = existing.line(change.type, change.id) if existing is not None else None
        _check_own(change, line)
        if existing is None or line is None:
            raise not_found(change.type, change.id)
        self._check(change, existing, line)
        if change.type == "Patient" and sum(1 for other in existing.every_line() if not other.deleted) > 1:
            raise Conflict("This patient's record is not empty.", hint="Delete what is in it first.", reason="referenced")
        change.found, change.same = line, line.deleted
        return existing

    async def _placed(self, change: Change, draft: Draft, existing: Dossier | None) -> Dossier:
        if existing is not None and draft.patient is None and (existing.kind == PATIENT or not self._room.patient):
            target = existing  # what names no patient stays where it is; with a patient's token only in that patient's record
        else:
            target = await self._target(draft)
        if existing is not None and existing is not target:
            raise Invalid(
                f"{change.type}/{change.id} belongs to another patient's record.",
                hint="Create it anew there; it cannot be moved.",
                reason="other-dossier",
                expression=change.type,
            )
        line = None if change.fresh or not target.seq else self._line(target, change)
        _check_own(change, line)
        self._check(change, target, line)
        change.found = line
        change.same = change.skip_same and line is not None and not line.deleted and line.content == draft.content
        return target

    def _line(self, dossier: Dossier, change: Change) -> Line | None:
        """Of an import all lines of a type are read at once, of a single write only the one."""
        return dossier.lines(change.type).get(change.id) if change.skip_same else dossier.line(change.type, change.id)

    def _check(self, change: Change, dossier: Dossier, line: Line | None) -> None:
        if dossier.seq and not self._room.places.writable(dossier):
            raise Denied("You may read this record and not write in it.", hint="Ask the access officer.", reason="right-missing")
        version = line.entry.version if line is not None and not line.deleted else 0
        if change.if_match == 0 and version:
            raise Conflict(
                f"{change.type}/{change.id} is there already.", hint="Read it; choose another id, or update it.", reason="id-taken"
            )
        if change.if_match is not None and change.if_match != version:
            raise Conflict(
                f"{change.type}/{change.id} has changed since version {change.if_match}.",
                hint="Read it again and repeat.",
                reason="version",
            )

    async def _target(self, draft: Draft, seen: frozenset[tuple[str, str]] = frozenset()) -> Dossier:
        reference = draft.patient
        if reference is None:
            for anchor in self._anchors(draft):
                beside = self._drafts.get(anchor)
                if beside is not None and anchor not in seen and len(seen) < STEPS_MAX:
                    found: Dossier | None = await self._target(beside, seen | {anchor})
                else:
                    found = self._known.get(anchor)
                if found is not None and found.kind == PATIENT:
                    return found
        if self._room.patient and reference != f"Patient/{self._room.patient}":
            raise Denied(
                "This token is for another patient's record.", hint="Write about the patient it was given for.", reason="token-patient"
            )
        if reference is None:
            if self._register is None:
                self._register = await self._hospital_register()
            return self._register
        made = self._new.get(reference)
        if made is not None:
            return made
        known = self._known.get(("Patient", reference.removeprefix("Patient/")))
        if known is not None:
            return known
        if reference not in self._patients:
            raise Invalid(
                f"{draft.type} is about a patient that is not here: {reference}.",
                hint="Create the patient first, or in the same transaction.",
                reason="patient-unknown",
                expression=draft.type,
            )
        made = self._new[reference] = new_patient_dossier()
        return made

    def _zones(self, dossier: Dossier) -> frozenset[str]:
        """What the dossier must be wrapped for: a new one for the home zone, a register for all zones of its hospital."""
        if dossier.kind == REGISTER:
            return self._room.places.register_zones(self.home)
        return frozenset({self.home}) if dossier.seq == 0 else frozenset()

    async def _hospital_register(self) -> Dossier:
        """The register of the home zone's hospital, founded when there is none."""
        room = self._room
        zones = room.places.register_zones(self.home)
        wanted = room.places.register_id(self.home)
        opened = await room.dossiers.open([wanted, *await room.finder.registers()])
        if wanted in opened:
            return opened[wanted]
        for dossier in opened.values():
            if dossier.zones & zones:
                return dossier
        if self._new_register is None:
            self._new_register = Dossier(wanted, REGISTER)
        return self._new_register


def _check_own(change: Change, line: Line | None) -> None:
    """Raises when what stands under this id is a published definition, and no resource of the trust's own (beside.py)."""
    if change.type in TYPES and not change.fresh and (line is None or line.deleted) and shelf.catalogue().get(change.type, change.id):
        raise refusal(change.type, change.id)
