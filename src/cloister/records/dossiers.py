"""The dossiers that this session has opened: fetched through the gate, verified, kept within a bound of memory.

Nothing that comes from the gate is believed before it was verified here; nothing unverified leaves this file.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.base.errors import Busy, Denied
from cloister.base.wire import Caller
from cloister.records.definitions import type_numbers
from cloister.records.dossier import Dossier, Row, row_of
from cloister.records.lines import Line
from cloister.records.stored import Stored
from cloister.zones import DossierKey, Forged, Keyring, Refusal, commits, dossiers, envelope

BYTES_MAX: Final = 64 * 1024 * 1024
OPENED_AT_ONCE: Final = 200  # the gate's bound for one call
ROWS_AT_ONCE: Final = 2000
ATTEMPTS: Final = 5

Notes = list[dict[str, str]]


@dataclass(slots=True)
class _Fetched:
    """What the gate said of one dossier."""

    kind: str = ""
    seq: int = 0
    blob: bytes = b""
    wraps: list[tuple[int, int, str, bytes]] = field(default_factory=list)  # key number, epoch, zone, wrapped
    parts: dict[int, bytes | None] = field(default_factory=dict)


class Dossiers:
    def __init__(self, gate: Caller, keyring: Keyring, *, bytes_max: int = BYTES_MAX) -> None:
        self._gate = gate
        self._keyring = keyring
        self._bytes_max = bytes_max
        self._opened: OrderedDict[bytes, Dossier] = OrderedDict()
        self._sizes: dict[bytes, int] = {}
        self._bytes = 0
        self._heads: dict[bytes, tuple[int, bytes]] = {}  # the newest head of each dossier that this session has seen or made

    @property
    def opened(self) -> Sequence[Dossier]:
        return list(self._opened.values())

    def get(self, id: bytes) -> Dossier | None:
        """As it was last seen in this session."""
        found = self._opened.get(id)
        if found is not None:
            self._opened.move_to_end(id)
        return found

    def keep(self, dossier: Dossier) -> None:
        """Remember it, and forget those that were used least recently when all together are too large."""
        if dossier.seq < self._heads.get(dossier.id, (0, b""))[0]:
            return  # another task has opened it anew in the meantime
        self._bytes += dossier.bytes_kept - self._sizes.get(dossier.id, 0)
        self._sizes[dossier.id] = dossier.bytes_kept
        self._opened[dossier.id] = dossier
        self._opened.move_to_end(dossier.id)
        self._heads[dossier.id] = (dossier.seq, dossier.head)
        while self._bytes > self._bytes_max and len(self._opened) > 1:
            self._forget(next(iter(self._opened)))

    def _forget(self, id: bytes) -> None:
        self._opened.pop(id, None)
        self._bytes -= self._sizes.pop(id, 0)

    def close(self) -> None:
        self._opened.clear()
        self._sizes.clear()
        self._heads.clear()
        self._bytes = 0

    async def open(self, ids: Sequence[bytes], *, at_least: Mapping[bytes, int] | None = None, fresh: bool = False) -> dict[bytes, Dossier]:
        """These dossiers, verified; what this session cannot open is absent. `fresh` asks for the present heads."""
        found: dict[bytes, Dossier] = {}
        wanted = []
        for id in dict.fromkeys(ids):
            kept = self.get(id)
            if kept is not None and not fresh and kept.seq >= (at_least or {}).get(id, 0):
                found[id] = kept
            else:
                wanted.append(id)
        for start in range(0, len(wanted), OPENED_AT_ONCE):
            found.update(await self._open(wanted[start : start + OPENED_AT_ONCE]))
        return found

    async def _open(self, ids: list[bytes]) -> dict[bytes, Dossier]:
        found: dict[bytes, Dossier] = {}
        for _ in range(ATTEMPTS):
            before = {id: self._opened.get(id) for id in ids}
            seqs = {id: kept.seq if kept else 0 for id, kept in before.items()}
            since = [max(kept.parts, default=0) if kept else 0 for kept in before.values()]
            fetched = _sorted_out(await self._gate.call("open_dossiers", dossiers=ids, since=since), self._held())
            again = []
            for id, one in fetched.items():
                now = self._opened.get(id)
                # Another task of this session may have moved on while we waited: then what came is old, not rolled back.
                if now is not before[id] or (now.seq if now else 0) != seqs[id]:
                    again.append(id)
                    continue
                found[id] = await self._verified(id, one, now)
                self.keep(found[id])
            if not again:
                return found
            ids = again
        raise Busy("This record is being written too quickly to be read.", hint="Try again.")

    def _held(self) -> frozenset[str]:
        """The zones of grants that verified. The gate goes by rows: an ended or forged grant is still one there."""
        return frozenset(held.zone for held in self._keyring.zones if "read" in held.rights)

    async def _verified(self, id: bytes, fetched: _Fetched, known: Dossier | None) -> Dossier:
        dossier = known if known is not None else Dossier(id, fetched.kind)
        self._unwrap(dossier, fetched)
        if known is not None and known.seq == fetched.seq:
            return known
        commit = await self._commit(dossier, fetched.blob)
        try:
            if commit.seq != fetched.seq:
                raise Forged(Refusal.SWAPPED)
            seq, head = self._heads.get(id, (0, b""))
            if commit.seq < seq:
                raise Forged(Refusal.ROLLED_BACK)
            if (commit.seq == seq and commit.hash != head) or (commit.seq == seq + 1 and seq and commit.previous != head):
                raise Forged(Refusal.CHAIN_BROKEN)
            for number, sealed in sorted(fetched.parts.items()):
                if sealed is not None and number not in dossier.parts:
                    dossier.add_part(number, sealed)
            dossier.keep_parts(frozenset(fetched.parts))
            if len(dossier.parts) != len(fetched.parts) or commit.parts != dossiers.parts_root(dossier.parts):
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

    async def _commit(self, dossier: Dossier, blob: bytes) -> commits.Commit:
        """The head, verified; fetches the author's certificate the first time."""
        try:
            return commits.verified_commit(blob, self._keyring, dossier=dossier.name, key=dossier.key)
        except (Forged, Denied) as refused:
            if refused.reason != Refusal.CERTIFICATE_MISSING:
                raise
        author = envelope.certificate_hash(envelope.peek_signer(blob))
        self._keyring.add_certificates(await self._gate.call("certificates", hashes=[author]))
        return commits.verified_commit(blob, self._keyring, dossier=dossier.name, key=dossier.key)

    async def rows(self, pairs: Sequence[tuple[Dossier, Line]], audit: Notes) -> tuple[list[Stored | None], set[bytes]]:
        """The resources of these lines, verified, and the dossiers whose head has moved since their index was opened.

        A place is None where the row has moved on with its dossier: open it afresh and ask again.
        """
        numbers = type_numbers()
        stored: list[Stored | None] = [None] * len(pairs)
        moved: set[bytes] = set()
        for start in range(0, max(len(pairs), 1), ROWS_AT_ONCE):
            part = pairs[start : start + ROWS_AT_ONCE]
            found = await self._gate.call(
                "rows",
                dossiers=[dossier.id for dossier, _ in part],
                rtypes=[numbers[line.entry.type] for _, line in part],
                ids=[row_of(line) for _, line in part],
                audit=audit if start == 0 else [],
            )
            answered = {place: row for place, *row in found}
            for place, (dossier, line) in enumerate(part, start=1):
                self._take(stored, moved, start + place - 1, dossier, line, answered.get(place))
        return stored, moved

    def _take(
        self, stored: list[Stored | None], moved: set[bytes], place: int, dossier: Dossier, line: Line, answer: list[Any] | None
    ) -> None:
        if answer is None:  # not even the dossier: this session's grant has ended, or the dossier was removed
            raise Forged(Refusal.MISSING_ROW)
        seq, version, key_no, dict_no, sealed = answer
        if seq != dossier.seq:
            moved.add(dossier.id)
        row = Row(version, key_no, dict_no, sealed) if sealed is not None else None
        if seq == dossier.seq or (row is not None and row.version == line.entry.version):
            stored[place] = dossier.opened(line, row, self._keyring.trust_id)


def _sorted_out(rows: Sequence[Any], held: frozenset[str]) -> dict[bytes, _Fetched]:
    """The gate's three kinds of rows (reading.OPEN), by dossier; a dossier of no zone that is held does not exist here."""
    found: dict[bytes, _Fetched] = {}
    for part, id, number, epoch, text, blob in rows:
        one = found.setdefault(id, _Fetched())
        if part == 0:
            one.kind, one.seq, one.blob = text, number, blob
        elif part == 1 and text in held:
            one.wraps.append((number, epoch, text, blob))
        elif part == 2:
            one.parts[number] = blob
    found = {id: one for id, one in found.items() if one.wraps}
    if not all(one.seq for one in found.values()):  # a key without a head: left out, it would silently shorten lists
        raise Forged(Refusal.MISSING_ROW)
    return found
