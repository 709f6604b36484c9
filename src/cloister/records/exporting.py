"""Bulk export: what a session can open, in files that nobody keeps. HL7 Bulk Data Access 2 (http://hl7.org/fhir/uv/bulkdata).

A job walks through the opened indexes once and keeps places only: which dossiers have something for which file. A file's
bytes are made when it is fetched, from the sealed rows, and again when it is fetched again; none ever lies anywhere. What
lies in zones that the session cannot open is not there, in no count and in no file. A job ends with its session.
"""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from cloister.access import Action, rules
from cloister.base.errors import Busy, CloisterError, Conflict, Invalid, NotFound, Unsupported
from cloister.records.definitions import load
from cloister.records.dossier import Dossier
from cloister.records.fhir.subset import Subset
from cloister.records.finding import not_found
from cloister.records.jobs import Jobs, new_name
from cloister.records.lines import Line
from cloister.records.room import Room
from cloister.records.search import IndexEntry, Query, matches
from cloister.records.search.entry import TIME_MIN
from cloister.records.stored import Stored

RUNNING_MAX: Final = 2
DOSSIERS_MAX: Final = 500_000
DOSSIERS_AT_ONCE: Final = 200
ROWS_AT_ONCE: Final = 1000
FILE_RESOURCES: Final = 20_000  # about, so that what was interrupted is soon fetched again
MEMBERS_MAX: Final = 20_000
ATTEMPTS: Final = 4
PATIENT: Final = "patient"  # the kind of a dossier about a patient

Pair = tuple[Dossier, Line]
TakeBytes = Callable[[int], Awaitable[None]]  # raises Busy when no more may be had today


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The parameters of $export. `since` in microseconds since 1970; `filters` by type, of which one must match.

    `patients` None: everything (system); empty: all patients' records; else these patients' records.
    """

    types: frozenset[str] | None = None
    since: int = TIME_MIN
    elements: tuple[str, ...] = ()
    filters: tuple[Query, ...] = ()
    of_patients: bool = False
    group: str = ""

    def takes(self, entry: IndexEntry) -> bool:
        """Of a type that is wanted: changed since, and matching one of the type's filters if it has any."""
        if entry.updated < self.since:
            return False
        own = [query for query in self.filters if query.type == entry.type]
        return not own or any(matches(query, entry) for query in own)


@dataclass(slots=True)
class File:
    """One file to be fetched: so many resources of one type, in these dossiers."""

    type: str
    dossiers: list[bytes] = field(default_factory=list)
    count: int = 0
    marks: array[int] = field(default_factory=lambda: array("Q"))  # of each dossier's head, as it was last seen
    turn: int = 0  # grows whenever something in it has changed
    sizes: dict[int, int] = field(default_factory=dict)  # bytes of the pieces that were made in this turn
    given: set[str] = field(default_factory=set)  # tags under which it was handed out

    @property
    def tag(self) -> str:
        """A strong validator (RFC 9110 8.8.1): of the heads that the records have, and so of every byte."""
        told = hashlib.sha256(f"{self.type}|{self.turn}|".encode() + self.marks.tobytes())
        return f'"{told.hexdigest()[:32]}"'

    def look(self, start: int, heads: Sequence[bytes]) -> None:
        """What the heads of its dossiers from `start` on are now."""
        now = array("Q", map(mark_of, heads))
        if self.marks[start : start + len(heads)] != now:
            self.marks[start : start + len(heads)] = now
            self.changed()

    def changed(self) -> None:
        self.turn += 1
        self.sizes.clear()

    def passed(self, start: int) -> int:
        """How many whole pieces lie before this byte."""
        number, place = 0, 0
        while number in self.sizes and place + self.sizes[number] <= start:
            place += self.sizes[number]
            number += 1
        return number


@dataclass(slots=True)
class Job:
    """One export. Its files are final when it is `done`."""

    id: str
    wanted: Wanted
    request: str  # the address that began it
    began: datetime
    files: list[File] = field(default_factory=list)
    looked_at: int = 0  # records
    done: bool = False
    failed: CloisterError | None = None
    task: asyncio.Task[None] | None = None


class Exports:
    """The exports of one session; nobody else's jobs have an id here."""

    def __init__(self, room: Room, take: TakeBytes | None) -> None:
        self._room = room
        self._take = take
        self.jobs: Jobs[Job] = Jobs(RUNNING_MAX, "Begin the export again.")

    async def begin(self, wanted: Wanted, request: str, *, now: datetime) -> Job:
        """Starts a job. Denied when nothing of it may be read; Busy when as many run as may."""
        await self._room.act(rules.Act.EXPORT, "Group" if wanted.group else "Patient")
        types = await self._readable(wanted)
        self.jobs.check_room()
        members = await self._members(wanted.group) if wanted.group else None
        note = {
            "action": "export",
            "kind": "Group" if wanted.group else "Patient" if wanted.of_patients else "system",
            "object": wanted.group,
        }
        await self._room.gate.call("audit_append", entries=[note | {"reason": "begun"}])
        job = Job(new_name(), replace(wanted, types=types), request, now)
        self.jobs.start(job, self._run(job, members))
        return job

    # --- looking through the records ------------------------------------------------------------------

    async def _readable(self, wanted: Wanted) -> frozenset[str]:
        """The types that this session may read, of those that are wanted; by name asked for and refused is refused."""
        for type in sorted(wanted.types or ()):
            await self._room.permit(Action.SEARCH, type)
        found = frozenset(type for type in wanted.types or load().types if self._room.may_read(type))
        if not found:
            await self._room.permit(Action.SEARCH, "Patient")
        return found

    async def _members(self, group: str) -> list[bytes]:
        """The dossiers of a Group's patients (http://hl7.org/fhir/R4/group.html), as far as they are open here."""
        room = self._room
        await room.permit(Action.READ, "Group")
        dossier, line = await room.finder.line("Group", group)
        if line.deleted:
            raise not_found("Group", group, deleted=True)
        stored = await room.finder.fetch(dossier, line, [{"action": Action.READ.value, "kind": "Group", "object": f"Group/{group}"[:200]}])
        ids = [
            text.removeprefix("Patient/")
            for member in (stored.resource or {}).get("member", [])
            if not member.get("inactive") and (text := member.get("entity", {}).get("reference", "")).startswith("Patient/")
        ]
        if len(ids) > MEMBERS_MAX:
            raise Invalid("This group is too large.", hint=f"At most {MEMBERS_MAX} members are exported at once.", reason="too-costly")
        located = await room.finder.patients(list(dict.fromkeys(ids)))
        return list(dict.fromkeys(one for several in located.values() for one in several))

    async def _run(self, job: Job, members: list[bytes] | None) -> None:
        open_files: dict[str, File] = {}
        try:
            async for opened in self._walk(members):
                for dossier in opened:
                    self._look(job, dossier, open_files)
                job.looked_at += len(opened)
                if job.looked_at > DOSSIERS_MAX:
                    raise Invalid("This export is too large.", hint="Narrow it with _since or a Group.", reason="too-costly")
                await asyncio.sleep(0)  # other requests of this session go on
        except CloisterError as refused:
            job.failed = refused
            return
        job.files.sort(key=lambda file: file.type)
        job.done = True

    async def _walk(self, members: list[bytes] | None) -> AsyncIterator[list[Dossier]]:
        after, room = bytes(16), self._room
        while members is None:
            rows = await room.gate.call("dossiers", after=after, limit=DOSSIERS_AT_ONCE)
            if not rows:
                return
            after = rows[-1][0]
            yield list((await room.dossiers.open([id for id, _, _ in rows], at_least={id: seq for id, _, seq in rows})).values())
        for start in range(0, len(members), DOSSIERS_AT_ONCE):
            yield list((await room.dossiers.open(members[start : start + DOSSIERS_AT_ONCE], fresh=True)).values())

    def _look(self, job: Job, dossier: Dossier, open_files: dict[str, File]) -> None:
        """Count what this dossier has for each file."""
        wanted = job.wanted
        if (wanted.of_patients or wanted.group) and dossier.kind != PATIENT:
            return
        for type in dossier.types():
            if type not in (wanted.types or ()):
                continue
            count = sum(1 for _ in _taken(wanted, dossier, type))
            if not count:
                continue
            file = open_files.get(type)
            if file is None or file.count >= FILE_RESOURCES:
                file = open_files[type] = File(type)
                job.files.append(file)
            file.dossiers.append(dossier.id)
            file.marks.append(mark_of(dossier.head))
            file.count += count
        self._room.dossiers.keep(dossier)

    # --- making a file ------------------------------------------------------------------------------------

    def file(self, job: Job, number: int) -> File:
        """NotFound for one that the job does not have (yet)."""
        if not job.done or not 0 <= number < len(job.files):
            raise NotFound("There is no such file.", hint="The job's status lists its files.", reason="export-gone")
        return job.files[number]

    async def lines(self, job: Job, number: int, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The NDJSON of one file, piece by piece; each piece is audited, and asked for, before it is made.

        `start`, `end`: of its bytes, once `size` has measured it; Conflict when a record changes meanwhile, because the bytes before it
        were others.
        """
        file = self.file(job, number)
        await self._room.permit(Action.SEARCH, file.type)  # a grant or a scope may have ended meanwhile
        part, turn = start > 0 or end is not None, file.turn
        passed = file.passed(start) if part else 0
        place = sum(file.sizes[one] for one in range(passed))
        async for _, piece in self._pieces(job, file, lambda one: one >= passed):
            if part and file.turn != turn:
                raise Conflict("This file is another by now.", hint="Fetch it from its beginning.", reason="export-changed")
            cut = piece[max(0, start - place) : None if end is None else max(0, end - place)]
            place += len(piece)
            if cut and self._take is not None:
                await self._take(len(cut))
            if cut:
                yield cut
            if end is not None and place >= end:
                return

    async def size(self, job: Job, number: int) -> tuple[int, str]:
        """How many bytes this file has as it is now, and the tag of that; what was made before is not made again for it."""
        file = self.file(job, number)
        await self._room.permit(Action.SEARCH, file.type)
        for _ in range(ATTEMPTS):
            turn = file.turn
            async for _ in self._pieces(job, file, lambda one: one not in file.sizes):
                pass
            if file.turn == turn:
                return sum(file.sizes.values()), file.tag
        raise Busy("These records are being written too quickly to be measured.", hint="Fetch the file from its beginning.")

    async def _pieces(self, job: Job, file: File, wanted: Callable[[int], bool]) -> AsyncIterator[tuple[int, bytes]]:
        """The pieces that are wanted, by number; those of no wanted number are not opened."""
        room, number = self._room, -1
        subset = Subset(Query(type=file.type, elements=job.wanted.elements))
        for start in range(0, len(file.dossiers), DOSSIERS_AT_ONCE):
            ids = file.dossiers[start : start + DOSSIERS_AT_ONCE]
            opened = await room.dossiers.open(ids, fresh=True)
            file.look(start, [opened[id].head if id in opened else b"" for id in ids])
            present = [opened[id] for id in ids if id in opened]  # in the order of the file, whatever came first
            pairs = [(dossier, line) for dossier in present for line in _taken(job.wanted, dossier, file.type)]
            for dossier in present:
                room.dossiers.keep(dossier)
            for first in range(0, len(pairs), ROWS_AT_ONCE):
                number += 1
                if not wanted(number):
                    continue
                stored, moved = await self._rows(pairs[first : first + ROWS_AT_ONCE], file.type)
                if moved:
                    file.changed()
                piece = b"".join(subset.of(one).replace(b"\n", b" ") + b"\n" for one in stored)
                file.sizes[number] = len(piece)
                yield number, piece

    async def _rows(self, pairs: Sequence[Pair], type: str) -> tuple[list[Stored], bool]:
        """The resources of these lines; of what is written meanwhile (true), the newer version, and nothing of what is deleted."""
        found: list[Stored] = []
        for attempt in range(ATTEMPTS):
            names = dict.fromkeys(dossier.name for dossier, _ in pairs)
            notes = [{"action": "export", "kind": type, "object": name} for name in names]
            stored, _ = await self._room.dossiers.rows(pairs, notes)
            found += [one for one in stored if one is not None and not one.deleted]
            moved = [pair for pair, one in zip(pairs, stored, strict=True) if one is None]
            if not moved:
                return found, attempt > 0
            opened = await self._room.dossiers.open([dossier.id for dossier, _ in moved], fresh=True)
            now = [(opened[old.id], opened[old.id].line(type, line.entry.id)) for old, line in moved if old.id in opened]
            pairs = [(dossier, line) for dossier, line in now if line is not None and not line.deleted]
        raise Busy("These records are being written too quickly to be read.", hint="Try again.")


def mark_of(head: bytes) -> int:
    """64 bits of a head commit's hash: enough to see that it is another one."""
    return int.from_bytes(head[:8], "big")


def _taken(wanted: Wanted, dossier: Dossier, type: str) -> list[Line]:
    return sorted((line for line in dossier.current(type) if wanted.takes(line.entry)), key=lambda line: line.entry.id)


def check_filter(query: Query) -> None:
    """Passes what the index decides at once; Unsupported for what would open records or follow references."""
    if query.chains or query.pointed or query.filters or query.includes or query.undecided:
        hint = "Use parameters of the type itself, without chains, _filter and _include."
        raise Unsupported("This _typeFilter is not offered.", hint=hint, expression="_typeFilter")
