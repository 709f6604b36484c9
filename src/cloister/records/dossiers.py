"""The dossiers that this session has opened: fetched through the gate, verified, kept within a bound of memory.

Nothing that comes from the gate is believed before it was verified here; nothing unverified leaves this file.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import Busy, Denied
from cloister.base.secret import Secret
from cloister.base.wire import Caller
from cloister.identity import learn_signers
from cloister.records.definitions import type_numbers
from cloister.records.dossier import Dossier, Row, row_of
from cloister.records.lines import Line
from cloister.records.newer_keys import newer_keys
from cloister.records.stored import Stored
from cloister.zones import DossierKey, Forged, Keyring, Refusal, algorithms, commits, dossiers

BYTES_MAX: Final = 64 * 1024 * 1024
REGISTER: Final = "register"
OPENED_AT_ONCE: Final = 200  # the gate's bound for one call
ROWS_AT_ONCE: Final = 2000
ATTEMPTS: Final = 5
MOVES_REMEMBERED: Final = 16
MOVING_FROM: Final = 0.25  # the share of remembered heads that had moved, from which on none is built on unasked
BUILT_ON_SECONDS: Final = 10.0  # and the longest that one is

Notes = list[dict[str, str]]


@dataclass(slots=True)
class _Fetched:
    """What the gate said of one dossier."""

    kind: str = ""
    seq: int = 0
    blob: bytes | None = None  # None: the head is the one that was known
    wraps: list[tuple[int, int, str, bytes]] = field(default_factory=list)  # key number, epoch, zone, wrapped
    parts: dict[int, bytes] = field(default_factory=dict)  # those that were not known
    numbers: frozenset[int] = frozenset()  # of all parts


@dataclass(frozen=True, slots=True)
class _Known:
    """What was known when the gate was asked, column by column."""

    ids: list[bytes]
    since: list[int]  # the highest part
    seqs: list[int]
    recent: bool = False  # whether heads of a moment ago were good enough
    asked: float = field(default_factory=time.monotonic)


class Dossiers:
    def __init__(self, gate: Caller, keyring: Keyring, clock: Clock, *, bytes_max: int = BYTES_MAX, patient: str = "") -> None:
        """`patient`: of patients' records only this one's are opened; the others are absent, like those of a zone not held."""
        self._patient = patient
        self._gate = gate
        self._keyring = keyring
        self._clock = clock
        self._bytes_max = bytes_max
        self._opened: OrderedDict[bytes, Dossier] = OrderedDict()
        self._sizes: dict[bytes, int] = {}
        self._bytes = 0
        self._coming: dict[bytes, dict[int, Secret]] = {}  # new keys that came sealed and are not wrapped for a zone held here yet
        self._heads: dict[bytes, tuple[int, bytes]] = {}  # the newest head of each dossier that this session has seen or made
        # Of the opened ones (time.monotonic): when the kept head was asked for or sent, and whether it was the present one then or later.
        self._asked: dict[bytes, float] = {}
        self._present: dict[bytes, float] = {}
        self._moving = 0.5

    @property
    def opened(self) -> Sequence[Dossier]:
        return list(self._opened.values())

    def get(self, id: bytes) -> Dossier | None:
        """As it was last seen in this session."""
        found = self._opened.get(id)
        if found is not None:
            self._opened.move_to_end(id)
        return found

    def keep(self, dossier: Dossier, asked: float = 0.0, *, recent: bool = False) -> None:
        """Remember it, and forget those that were used least recently when all together are too large. `asked`: when its head was
        asked for or sent (time.monotonic), so that it was the present one then or later; but `recent`: perhaps a moment before."""
        if dossier.seq < self._heads.get(dossier.id, (0, b""))[0]:
            return  # another task has opened it anew in the meantime
        self._note(dossier.id, asked, recent)
        self._bytes += dossier.bytes_kept - self._sizes.get(dossier.id, 0)
        self._sizes[dossier.id] = dossier.bytes_kept
        self._opened[dossier.id] = dossier
        self._opened.move_to_end(dossier.id)
        self._heads[dossier.id] = (dossier.seq, dossier.head)
        while self._bytes > self._bytes_max and len(self._opened) > 1:
            self._forget(next(iter(self._opened)))

    def _note(self, id: bytes, asked: float, recent: bool) -> None:
        for times in (self._asked,) if recent else (self._asked, self._present):
            times[id] = max(asked, times.get(id, 0.0))

    def _forget(self, id: bytes) -> None:
        self._opened.pop(id, None)
        self._coming.pop(id, None)
        self._asked.pop(id, None)
        self._present.pop(id, None)
        self._bytes -= self._sizes.pop(id, 0)

    def forget(self, zones: frozenset[str]) -> None:
        """Forget the dossiers that only these zones open."""
        for id, dossier in list(self._opened.items()):
            dossier.zones -= zones
            if not dossier.zones:
                self._forget(id)

    def close(self) -> None:
        self._opened.clear()
        self._sizes.clear()
        self._heads.clear()
        self._coming.clear()
        self._asked.clear()
        self._present.clear()
        self._bytes = 0

    def built_on_since(self) -> float:
        """From when on (time.monotonic) a head that was asked for or written is built on without asking, by a write that decides nothing
        on it: the store refuses it if it has moved. Never where others keep moving heads: then asking first is cheaper."""
        return time.monotonic() - (BUILT_ON_SECONDS if self._moving < MOVING_FROM else 0.0)

    def had_moved(self, moved: bool) -> None:
        """What became of a head that was remembered."""
        self._moving += (moved - self._moving) / MOVES_REMEMBERED

    async def open(
        self,
        ids: Sequence[bytes],
        *,
        at_least: Mapping[bytes, int] | None = None,
        fresh: bool = False,
        to_write: bool = False,
        since: float | None = None,
    ) -> dict[bytes, Dossier]:
        """These dossiers, verified; what this session cannot open is absent. `fresh` asks for the present heads; `to_write` with it:
        heads of a moment ago will do, because a write on one that has moved is refused. None is older than one seen here.

        `since` (time.monotonic): what was present then or later (`to_write`: asked for then or later) is not asked for again.
        """
        found: dict[bytes, Dossier] = {}
        wanted = []
        for id in dict.fromkeys(ids):
            kept = self.get(id)
            present = not fresh or (since is not None and (self._asked if to_write else self._present).get(id, 0.0) >= since)
            if kept is not None and present and kept.seq >= (at_least or {}).get(id, 0):
                found[id] = kept
            else:
                wanted.append(id)
        for start in range(0, len(wanted), OPENED_AT_ONCE):
            found.update(await self._open(wanted[start : start + OPENED_AT_ONCE], at_least or {}, to_write=to_write))
        return found

    async def _open(self, ids: list[bytes], at_least: Mapping[bytes, int], *, to_write: bool) -> dict[bytes, Dossier]:
        found: dict[bytes, Dossier] = {}
        for _ in range(ATTEMPTS):
            known = self._known(ids, recent=to_write)
            more: dict[str, Any] = (
                {"recent": [max(seq, at_least.get(id, 0)) for id, seq in zip(ids, known.seqs, strict=True)]} if to_write else {}
            )
            rows = await self._gate.call("open_dossiers", dossiers=ids, since=known.since, seqs=known.seqs, **more)
            try:
                taken, ids = await self._take_over(rows, known)
            except Forged:
                if not to_write:
                    raise
                to_write = False  # the gate may remember what has been repaired since: what stands in the database decides
                continue
            found.update(taken)
            if not ids:
                return found
        raise Busy("This record is being written too quickly to be read.", hint="Try again.")

    def _known(self, ids: Sequence[bytes], *, recent: bool = False) -> _Known:
        """What this session knows of these dossiers now, before it asks."""
        now = [self._opened.get(id) for id in ids]
        return _Known(list(ids), [max(one.parts, default=0) if one else 0 for one in now], [one.seq if one else 0 for one in now], recent)

    async def _take_over(self, rows: Sequence[Any], known: _Known) -> tuple[dict[bytes, Dossier], list[bytes]]:
        """The dossiers as the gate gave them, verified; and those that must be asked for again, because they were forgotten meanwhile.

        Another task of this session may have moved on while this one waited: what came then is old, not rolled back.
        """
        found: dict[bytes, Dossier] = {}
        again: list[bytes] = []
        places = {id: place for place, id in enumerate(known.ids)}
        fetched = _sorted_out(rows, self._held())
        await self._learn_authors(one.blob for one in fetched.values() if one.blob is not None)
        for id, one in fetched.items():
            if one.seq < known.seqs[places[id]]:
                self._forget(id)
                raise Forged(Refusal.ROLLED_BACK)
            now = self._opened.get(id)
            if known.seqs[places[id]]:
                self.had_moved(one.seq > known.seqs[places[id]])
            if now is not None and now.seq >= one.seq:
                if now.seq == one.seq:
                    self._note(id, known.asked, known.recent)
                found[id] = now
            elif one.blob is None or (now is None and known.since[places[id]]):
                again.append(id)
            else:
                try:
                    opened = self._verified(id, one, one.blob, now)
                except Forged as refused:  # under a key that no wrap here opens: another zone may have made a new one
                    if refused.refusal is not Refusal.SWAPPED or not await self._has_newer(id, one):
                        raise
                    again.append(id)
                    continue
                if self._about(opened):
                    self.keep(opened, known.asked, recent=known.recent)
                    found[id] = opened
        return found, again

    def _about(self, dossier: Dossier) -> bool:
        """A register, or the record of the one patient."""
        return not self._patient or dossier.kind == REGISTER or dossier.line("Patient", self._patient) is not None

    def _held(self) -> frozenset[str]:
        """The zones of grants that verified. The gate goes by rows: an ended or forged grant is still one there."""
        return frozenset(held.zone for held in self._keyring.zones if "read" in held.rights)

    def _verified(self, id: bytes, fetched: _Fetched, blob: bytes, known: Dossier | None) -> Dossier:
        dossier = known if known is not None else Dossier(id, fetched.kind)
        self._unwrap(dossier, fetched)
        commit = commits.verified_commit(blob, self._keyring, dossier=dossier.name, key=dossier.key)
        try:
            if commit.seq != fetched.seq:
                raise Forged(Refusal.SWAPPED)
            seq, head = self._heads.get(id, (0, b""))
            if commit.seq < seq:
                raise Forged(Refusal.ROLLED_BACK)
            if (commit.seq == seq and commit.hash != head) or (commit.seq == seq + 1 and seq and commit.previous != head):
                raise Forged(Refusal.CHAIN_BROKEN)
            dossier.keep_parts(fetched.numbers)
            for number, sealed in sorted(fetched.parts.items()):
                if number not in dossier.parts:
                    dossier.add_part(number, sealed)
            if dossier.parts.keys() != fetched.numbers or commit.parts != dossiers.parts_root(dossier.parts):
                raise Forged(Refusal.PARTS)
        except Forged:
            self._forget(id)  # half taken over: the next asks for all of it
            raise
        dossier.seq, dossier.head = commit.seq, commit.hash
        return dossier

    def _unwrap(self, dossier: Dossier, fetched: _Fetched) -> None:
        """Open the dossier's keys with a zone that this session holds; any of them will do."""
        dossier.zones = frozenset(zone for _, _, zone, _ in fetched.wraps)
        last: Forged | Denied = Denied("This dossier is not open to you.", reason=Refusal.ZONE_NOT_HELD)
        for key_no, epoch, zone, wrapped in fetched.wraps:
            if key_no in dossier.keys:
                continue
            try:
                secret = self._keyring.unwrap(zone, epoch, dossier.name, key_no, wrapped)
            except (Forged, Denied) as refused:
                last = refused
                continue
            dossier.keys[key_no] = DossierKey(dossier.name, key_no, secret)
            dossier.secret[key_no] = secret
        if not dossier.keys:
            raise last
        for key_no, secret in self._coming.get(dossier.id, {}).items():
            if key_no not in dossier.keys:
                dossier.keys[key_no], dossier.secret[key_no] = DossierKey(dossier.name, key_no, secret), secret

    async def _has_newer(self, id: bytes, fetched: _Fetched) -> bool:
        before = Dossier(id, fetched.kind)
        self._unwrap(before, fetched)
        found = await newer_keys(self._gate, self._keyring, before, self._clock())
        if found:
            self._coming[id] = self._coming.get(id, {}) | found
        return bool(found)

    async def proved_zones(self, dossier: Dossier) -> frozenset[str]:
        """The zones held here whose wrap of the newest key opens to the very key: a row that only names a zone proves nothing."""
        rows = await self._gate.call("open_dossiers", dossiers=[dossier.id], since=[2**31 - 1], seqs=[0])
        proved = set()
        fetched = _sorted_out(rows, self._held()).get(dossier.id, _Fetched())
        for key_no, epoch, zone, wrapped in fetched.wraps:
            if key_no in dossier.secret:
                try:
                    secret = self._keyring.unwrap(zone, epoch, dossier.name, key_no, wrapped)
                except (Forged, Denied):
                    continue
                if algorithms.same(secret.reveal(), dossier.secret[key_no].reveal()):
                    proved.add(zone)
        return frozenset(proved)

    async def _learn_authors(self, blobs: Iterable[bytes]) -> None:
        """Fetch the certificates of authors whom this session meets for the first time; what is missing is refused by name later."""
        await learn_signers(self._gate, self._keyring, blobs, self._clock(), colleagues=True)

    async def take_opened(self, rows: Sequence[Any]) -> None:
        """Take over dossiers that came unasked with their rows; those that do not fit any more are left out."""
        ids = list({row[1]: None for row in rows})
        await self._take_over(rows, _Known(ids, [0] * len(ids), [0] * len(ids)))

    async def again(self, dossier: Dossier) -> Dossier:
        """An opened dossier as it is now."""
        found = (await self.open([dossier.id], fresh=True)).get(dossier.id)
        if found is None:
            raise await self.absent(dossier)
        return found

    async def absent(self, dossier: Dossier) -> Forged | Denied:
        """Why nothing comes any more of a dossier that was opened: the grant has ended meanwhile, or somebody took the rows away."""
        present = set(await self._gate.call("zones"))
        through = dossier.zones & self._held() & present
        if through:
            if not await self._gate.call("share_ended", dossier=dossier.id, zones=sorted(through)):
                return Forged(Refusal.MISSING_ROW)
            self._forget(dossier.id)
            return Denied("This record is not shared with your ward any more.", hint="Ask the ward that has it.", reason="share-ended")
        self._forget(dossier.id)
        return Denied("This record is not open to you any more.", hint="Ask your access officer.", reason=Refusal.GRANT_REVOKED)

    async def rows(self, pairs: Sequence[tuple[Dossier, Line]], audit: Notes) -> tuple[list[Stored | None], set[bytes]]:
        """The resources of these lines, verified, and the dossiers whose head had moved; those are of now afterwards.

        A place is None where the resource has moved on with its dossier, or was deleted: look at its line again.
        """
        numbers = type_numbers()
        stored: list[Stored | None] = []
        moved: set[bytes] = set()
        for start in range(0, max(len(pairs), 1), ROWS_AT_ONCE):
            part = pairs[start : start + ROWS_AT_ONCE]
            known = self._known(list(dict.fromkeys(dossier.id for dossier, _ in part)))
            found, newer = await self._gate.call(
                "rows",
                dossiers=[dossier.id for dossier, _ in part],
                rtypes=[numbers[line.entry.type] for _, line in part],
                ids=[row_of(line) for _, line in part],
                known=known.ids,
                since=known.since,
                seqs=known.seqs,
                audit=audit if start == 0 else [],
            )
            if newer:
                try:
                    _, again = await self._take_over(newer, known)
                except Forged:  # as above
                    again = list({row[1]: None for row in newer})
                await self.open(again, fresh=True)
            answered = {place: row for place, *row in found}
            heads = dict(zip(known.ids, known.seqs, strict=True))
            for place, (dossier, line) in enumerate(part, start=1):
                answer = answered.get(place)
                if answer is None:
                    raise await self.absent(dossier)
                if answer[0] != heads[dossier.id]:
                    moved.add(dossier.id)
                stored.append(self._one(dossier, line, answer, moved=dossier.id in moved))
        return stored, moved

    def _one(self, dossier: Dossier, line: Line, answer: list[Any], *, moved: bool) -> Stored | None:
        seq, version, key_no, dict_no, sealed = answer
        now, present = dossier, line
        if moved or dossier.seq != seq:
            now = self._opened.get(dossier.id, dossier)
            present = now.line(line.entry.type, line.entry.id) or line
        row = Row(version, key_no, dict_no, sealed) if sealed is not None else None
        if present.deleted and not line.deleted:
            return None
        if seq != now.seq and (row is None or row.version != present.entry.version or row.key_no != now.key_no):
            return None
        return now.opened(present, row, self._keyring.trust_id)


def _sorted_out(rows: Sequence[Any], held: frozenset[str]) -> dict[bytes, _Fetched]:
    """The gate's four kinds of rows (reading.OPEN), by dossier; a dossier of no zone that is held does not exist here."""
    found: dict[bytes, _Fetched] = {}
    for part, id, number, epoch, text, blob in rows:
        one = found.setdefault(id, _Fetched())
        if part == 0:
            one.kind, one.seq, one.blob = text, number, blob
        elif part == 1 and text in held:
            one.wraps.append((number, epoch, text, blob))
        elif part == 2:
            one.parts[number] = blob
        elif part == 3:
            one.numbers = frozenset(map(int, (text or "").split()))
    found = {id: one for id, one in found.items() if one.wraps or (one.seq and one.blob is None)}
    if not all(one.seq for one in found.values()):  # a key without a head: left out, it would silently shorten lists
        raise Forged(Refusal.MISSING_ROW)
    return found
