"""A write: one or many dossiers, all or nothing, in one call to the gate. Spec: docs/spec/zones.md 12.

Each dossier's versions are sealed, its index gets a part, its chain a signed commit; the gate accepts them only
if every head is still the one that was built on. Otherwise the write is planned again on what is there now.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from weakref import WeakValueDictionary

from cloister.base.clock import Clock
from cloister.base.errors import Busy, Conflict
from cloister.base.wire import Caller
from cloister.records import shard, tokens
from cloister.records.definitions import type_numbers
from cloister.records.dossier import EPOCH, Dossier
from cloister.records.dossiers import Dossiers, Notes
from cloister.records.draft import Draft, moment_of
from cloister.records.lines import Line, by_type, pack_part, unpack_part
from cloister.records.rowids import text_of, uuid_row
from cloister.records.search import IndexEntry
from cloister.records.stored import Stored
from cloister.zones import DossierKey, Keyring, algorithms, commits, compression, dossiers

ATTEMPTS: Final = 20
REPLACED: Final = "epoch-replaced"
TIDIED_EVERY: Final = 16
# The columns that gate/writing.py takes.
COLUMNS: Final = (
    "dossier", "kind", "expected", "commit", "key_d", "key_no", "key_epoch", "key_zone", "key_wrapped",
    "new_d", "new_rtype", "new_id", "new_ver", "new_key", "new_dict", "new_ct",
    "upd_d", "upd_rtype", "upd_id", "upd_ver", "upd_key", "upd_dict", "upd_ct",
    "part_d", "part_no", "part_ct", "drop_d", "drop_no",
    "tok_zone", "tok_d", "tok_rtype", "tok_id", "tok_first", "tok_last", "toks",
    "shard_zone", "shard_no", "shard_ct", "shard_drop_zone", "shard_drop_no",
)  # fmt: skip


@dataclass(slots=True)
class Item:
    """One resource of a plan; `draft` None deletes it. `before` is its line so far."""

    type: str
    id: str
    draft: Draft | None
    before: Line | None


@dataclass(slots=True)
class Plan:
    """What one dossier is to get. `zones` are those that its key must be wrapped for besides those that have it."""

    dossier: Dossier
    items: list[Item] = field(default_factory=list)
    zones: frozenset[str] = frozenset()
    seq: int = -1  # the head on which it was planned

    def __post_init__(self) -> None:
        self.seq = self.dossier.seq


class Built:
    """One dossier's share of a write, sealed and signed on one head."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.expected = plan.dossier.seq
        self.lines: dict[tuple[str, str], Line] = {}
        self.bodies: dict[tuple[str, str], bytes] = {}
        self.new: list[tuple[int, bytes, int, int, int, bytes]] = []  # type, row, version, key, dictionary, ciphertext
        self.updated: list[tuple[int, bytes, int, int, int, bytes]] = []
        self.part_no = max(plan.dossier.parts, default=0) + 1
        self.part = b""
        self.part_plain = b""
        self.dropped: list[int] = []
        self.blob = b""
        self.wraps: list[tuple[int, int, str, bytes]] = []  # key number, epoch, zone, wrapped
        self.tokens: list[tuple[str, int, bytes, list[int]]] = []  # zone, type, row, tokens
        self.people: list[tuple[str, shard.Person]] = []
        self.moment = EPOCH

    def stored(self) -> dict[tuple[str, str], Stored]:
        """What this write has stored, by type and id."""
        id = self.plan.dossier.id
        return {
            place: Stored(line.entry.type, line.entry.id, line.entry.version, self.moment, b"" if line.deleted else self.bodies[place], id)
            for place, line in self.lines.items()
        }


def _notes(built: Sequence[Built], action: str, kind: str) -> Notes:
    """One note a dossier; of one resource, by its row. What exactly was written is in the dossier's signed chain."""
    if len(built) == 1 and len(built[0].lines) == 1 and kind != "Bundle":
        (line,) = built[0].lines.values()
        return [{"action": action, "kind": kind, "object": f"{kind}/{text_of(uuid_row(line.entry.id) or line.row)}"}]
    return [{"action": action, "kind": kind, "object": one.plan.dossier.name, "reason": f"{len(one.lines)} written"} for one in built]


class Writer:
    """Builds and sends the writes of one session."""

    def __init__(self, gate: Caller, keyring: Keyring, opened: Dossiers, known: tokens.Tokens, clock: Clock) -> None:
        self._gate = gate
        self._keyring = keyring
        self._dossiers = opened
        self._tokens = known
        self._clock = clock
        self._people_written: dict[str, int] = {}
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def write(self, make: Callable[[], Awaitable[Sequence[Plan]]], action: str, kind: str = "Bundle") -> list[Built]:
        """Plan, build, send; plan again when somebody wrote first. Returns what was written, a `Built` for each plan.

        `make` decides on the dossiers as they are when it is called: versions, If-Match, what exists already.
        """
        done: dict[tuple[bytes, int], Built] = {}
        for attempt in range(ATTEMPTS):
            plans = await self._planned(make)
            if not plans:
                return []
            async with self._locked(plans):
                if any(plan.dossier.seq != plan.seq for plan in plans):  # another task of this session was before us
                    ids = {plan.dossier.id for plan in plans}
                    plans = await self._planned(make)
                    if not plans:
                        return []
                    if not {plan.dossier.id for plan in plans} <= ids:
                        continue
                built = await self._send(plans, done, action, kind)
            if built is not None:
                return built
            await asyncio.sleep(random.random() * 0.01 * attempt)
            moved = {plan.dossier.id: plan.seq + 1 for plan in plans if plan.seq}
            await self._dossiers.open(list(moved), at_least=moved if len(moved) == 1 else {}, fresh=True, to_write=len(moved) == 1)
        raise Busy("This record is being written too quickly by others.", hint="Send it again.", reason="head-moved")

    async def _planned(self, make: Callable[[], Awaitable[Sequence[Plan]]]) -> list[Plan]:
        return [plan for plan in await make() if plan.items or plan.zones - plan.dossier.zones]

    def _locked(self, plans: Sequence[Plan]) -> contextlib.AbstractAsyncContextManager[None]:
        """One write of this session at a time to each dossier, in one order; writes to different dossiers overlap."""
        ids = sorted({plan.dossier.id for plan in plans})
        return self._lock(ids[0]) if len(ids) == 1 else self._all_locked(ids)

    @contextlib.asynccontextmanager
    async def _all_locked(self, ids: Sequence[bytes]) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for id in ids:
                await stack.enter_async_context(self._lock(id))
            yield

    def _lock(self, id: bytes) -> asyncio.Lock:
        lock = self._locks.get(id)
        if lock is None:
            lock = self._locks[id] = asyncio.Lock()
        return lock

    async def _send(self, plans: Sequence[Plan], done: dict[tuple[bytes, int], Built], action: str, kind: str) -> list[Built] | None:
        """Build and send; None when a head had moved."""
        built = []
        for plan in plans:
            place = (plan.dossier.id, plan.dossier.seq)
            if place not in done:  # a dossier whose head has not moved need not be sealed again
                done[place] = self._build(plan)
            built.append(done[place])
        sent = time.monotonic()
        try:
            await self._gate.call("write", audit=_notes(built, action, kind), **columns(self._keyring, built))
        except Conflict as moved:
            self._dossiers.had_moved(True)
            if moved.reason == REPLACED:  # the zone has a new epoch: wrap again, with the keys that came with the refusal
                done.clear()
            return None
        for one in built:
            self._apply(one, sent)
        await self._tidy({zone for one in built for zone, _ in one.people})
        return built

    async def _tidy(self, zones: set[str]) -> None:
        """Now and then, after people were added to a zone's list of people."""
        for zone in zones:
            self._people_written[zone] = self._people_written.get(zone, 0) + 1
            if self._people_written[zone] % TIDIED_EVERY == 0:
                await shard.tidy(self._gate, self._keyring, zone)

    def _build(self, plan: Plan) -> Built:
        dossier = plan.dossier
        built = Built(plan)
        if not dossier.keys:
            secret = dossiers.new_dossier_key()
            dossier.secret[1], dossier.keys[1] = secret, DossierKey(dossier.name, 1, secret)
        key = dossier.key
        milliseconds = int(self._clock().timestamp() * 1000)
        entries = self._seal(plan, built, key, milliseconds)
        built.dropped, changed = dossier.merged()
        for rtype, lines in by_type(built.lines.values()).items():
            changed.setdefault(rtype, {}).update(lines)
        parts = {number: hashed for number, hashed in dossier.parts.items() if number not in built.dropped}
        built.part_plain = pack_part(changed)
        built.part = key.seal_index_part(built.part_no, built.part_plain)
        parts[built.part_no] = algorithms.sha256(built.part)
        built.blob = commits.sign_commit(
            self._keyring,
            key,
            seq=dossier.seq + 1,
            previous=dossier.head,
            versions=entries,
            parts=dossiers.parts_root(parts),
            milliseconds=milliseconds,
        )
        self._find(plan, built)
        return built

    def _seal(self, plan: Plan, built: Built, key: DossierKey, milliseconds: int) -> list[bytes]:
        """Seal every version of the plan; returns the entries that the commit binds."""
        trust, numbers = self._keyring.trust_id, type_numbers()
        updated, moment = milliseconds * 1000, moment_of(milliseconds)
        built.moment = EPOCH + timedelta(milliseconds=milliseconds)
        dictionary, sha256 = compression.DEFAULT, algorithms.sha256
        entries = []
        for item in plan.items:
            type, id, draft, before = item.type, item.id, item.draft, item.before
            version = before.entry.version + 1 if before is not None else 1
            raw = draft.raw(version, moment) if draft is not None else moment  # a tombstone says when
            sealed = key.seal_version(trust, type, id, version, dictionary, compression.compress(raw, dictionary))
            hashed = sha256(sealed)
            row = uuid_row(id)
            own = b"" if row is not None else before.row if before is not None else algorithms.random(16)
            line = Line(
                hashed,
                sha256(before.prior + before.sealed) if before is not None else b"",
                draft.content if draft is not None else b"",
                own,
                draft is None,
                IndexEntry(type, id, version, updated, draft.values if draft is not None else {}),
            )
            built.lines[type, id] = line
            built.bodies[type, id] = raw
            target = built.new if before is None else built.updated
            target.append((numbers[type], row or own, version, key.key_no, dictionary, sealed))
            entries.append(commits.version_entry_of(type, id, version, draft is None, hashed))
        return entries

    def _find(self, plan: Plan, built: Built) -> None:
        """Wraps, tokens and people: the changed lines for the zones that have the dossier, all lines for those that get it."""
        dossier, numbers = plan.dossier, type_numbers()
        added = plan.zones - dossier.zones
        for zone in sorted(added):
            epoch = self._keyring.epoch(zone)
            for key_no, secret in sorted(dossier.secret.items()):
                built.wraps.append((key_no, epoch, zone, self._keyring.wrap(zone, dossier.name, key_no, secret)))
        zones = [zone for zone in sorted(dossier.zones) if self._keyring.can(zone, "write")]
        lines = list(built.lines.values())
        if added and dossier.seq:
            whole = {(line.entry.type, line.entry.id): line for line in dossier.every_line()} | built.lines
            self._find_lines(sorted(added), list(whole.values()), dossier, built, numbers)
            self._find_lines(zones, lines, dossier, built, numbers)
        else:
            self._find_lines(sorted({*zones, *added}), lines, dossier, built, numbers)

    def _find_lines(self, zones: list[str], lines: list[Line], dossier: Dossier, built: Built, numbers: dict[str, int]) -> None:
        def beside(type: str, id: str) -> bool:
            return (type, id) in built.lines or dossier.holds(type, id)

        for line in lines:
            entry = line.entry
            texts = tokens.texts_of(entry, beside) if not line.deleted else tokens.id_texts(entry)
            if texts or entry.version > 1:
                row = uuid_row(entry.id) or line.row
                for zone in zones:
                    built.tokens.append((zone, numbers[entry.type], row, self._tokens.of(zone, texts)))
            if entry.type == "Patient":
                built.people.extend((zone, shard.Person(dossier.id, line.deleted, entry)) for zone in zones)

    def _apply(self, built: Built, sent: float) -> None:
        """The write is stored: take it over into the opened dossier, unless another task has fetched it already."""
        dossier = built.plan.dossier
        dossier.zones |= built.plan.zones
        if dossier.seq != built.expected:
            return
        if built.dropped:
            dossier.keep_parts(frozenset({built.part_no, *dossier.parts}.difference(built.dropped)))
        dossier.add_part(built.part_no, built.part, unpack_part(built.part_plain))
        dossier.seq += 1
        dossier.head = algorithms.sha256(built.blob)
        self._dossiers.keep(dossier, sent)


def columns(keyring: Keyring, built: Sequence[Built]) -> dict[str, Any]:
    """The arguments of the gate's `write`: each table's columns."""
    of: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for place, one in enumerate(built, start=1):
        dossier = one.plan.dossier
        _add(of, "dossier kind expected commit", (dossier.id, dossier.kind, one.expected, one.blob))
        _add(of, "part_d part_no part_ct", (place, one.part_no, one.part))
        for key_no, epoch, zone, wrapped in one.wraps:
            _add(of, "key_d key_no key_epoch key_zone key_wrapped", (place, key_no, epoch, zone, wrapped))
        for start, rows in (("new", one.new), ("upd", one.updated)):
            of[f"{start}_d"].extend([place] * len(rows))
            for name, column in zip(("rtype", "id", "ver", "key", "dict", "ct"), zip(*rows, strict=True), strict=False):
                of[f"{start}_{name}"].extend(column)
        of["drop_d"].extend([place] * len(one.dropped))
        of["drop_no"].extend(one.dropped)
        for zone, rtype, row, toks in one.tokens:
            first = len(of["toks"]) + 1
            of["toks"].extend(toks)
            _add(of, "tok_zone tok_d tok_rtype tok_id tok_first tok_last", (zone, place, rtype, row, first, len(of["toks"])))
    people: dict[str, list[shard.Person]] = {}
    for one in built:
        for zone, person in one.people:
            people.setdefault(zone, []).append(person)
    for zone, found in people.items():
        number = shard.new_number()
        _add(of, "shard_zone shard_no shard_ct", (zone, number, shard.seal_people(keyring, zone, number, found)))
    return of


def _add(of: dict[str, list[Any]], names: str, values: tuple[Any, ...]) -> None:
    for name, value in zip(names.split(), values, strict=True):
        of[name].append(value)
