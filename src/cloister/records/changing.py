"""create, update and delete of one resource, and its versions. Spec: http://hl7.org/fhir/R4/http.html."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import orjson

from cloister.access import Action
from cloister.base.ids import new_id
from cloister.records.commit import Built
from cloister.records.definitions import type_numbers
from cloister.records.dossier import Dossier, Row, row_of
from cloister.records.draft import Draft
from cloister.records.fhir.references import without_searches
from cloister.records.finding import not_found
from cloister.records.lines import Line
from cloister.records.placing import Change, Planner
from cloister.records.room import Room
from cloister.records.rowids import check_id, text_of, uuid_row
from cloister.records.sharing import share
from cloister.records.stored import Stored, Written
from cloister.records.validation import check
from cloister.zones import Forged, Refusal, algorithms

ATTEMPTS: Final = 4


async def write_one(
    room: Room,
    resource: dict[str, Any],
    *,
    action: Action | None = None,
    zone: str | None = None,
    if_match: int | None = None,
) -> Written:
    """Create (without an id, or with Action.CREATE) or update."""
    check(resource)
    without_searches(resource)
    type = resource["resourceType"]
    id = None if action is Action.CREATE else resource.get("id")
    await room.permit(Action.CREATE if id is None else Action.UPDATE, type)
    if id is None:
        id = new_id()
        change = Change(type=type, id=id, resource=resource, draft=Draft(resource, id), fresh=True)
    else:
        change = Change(type=type, id=check_id(id), resource=resource, draft=Draft(resource, id), if_match=if_match)
    return await write_change(room, change, zone)


async def delete_one(room: Room, type: str, id: str, *, if_match: int | None = None) -> None:
    await room.permit(Action.DELETE, type)
    await delete_change(room, Change(type=type, id=check_id(id), if_match=if_match))


async def rehearse(room: Room, type: str, id: str | None, resource: dict[str, Any] | None, action: Action, **how: Any) -> None:
    """Returns when this write would be accepted now; raises what would refuse it. Nothing is written.

    `how`: if_match and zone, as for the write itself.
    """
    await room.permit(action, type)
    fresh = action is Action.CREATE
    name = new_id() if fresh or id is None else check_id(id)
    draft = None if action is Action.DELETE or resource is None else Draft(resource, name)
    change = Change(type=type, id=name, resource=resource, draft=draft, fresh=fresh, if_match=how.get("if_match"))
    note = {"action": "validate", "kind": type, "object": f"{type}/{name}" if uuid_row(name) is not None else type, "reason": action.value}
    await room.gate.call("audit_append", entries=[note])
    await Planner(room, [change], how.get("zone")).plans()


async def write_change(room: Room, change: Change, zone: str | None) -> Written:
    """Stores a permitted and checked change that creates or updates."""
    built = await _write(room, change, zone)
    return Written(stored=built[0].stored()[change.type, change.id], created=change.created)


async def delete_change(room: Room, change: Change) -> None:
    """Stores a permitted change that deletes."""
    await _write(room, change, None)


async def _write(room: Room, change: Change, zone: str | None) -> list[Built]:
    action = Action.DELETE if change.draft is None else Action.CREATE if change.fresh else Action.UPDATE
    built = await room.writer.write(Planner(room, [change], zone).plans, action.value, change.type)
    await share(room, [change])
    return built


async def versions_of(room: Room, type: str, id: str, *, version: int = 0) -> list[Stored]:
    """All versions, newest first, or only one; each proved by the chain of hashes in the dossier's signed index."""
    for attempt in range(ATTEMPTS):
        dossier, line = await room.finder.line(type, id, fresh=True)
        note = {"action": (Action.VREAD if version else Action.HISTORY).value, "kind": type, "object": f"{type}/{text_of(row_of(line))}"}
        rows = await room.gate.call(
            "versions", dossier=dossier.id, rtype=type_numbers()[type], id=row_of(line), version=version, audit=[note]
        )
        if rows and rows[0][0] != dossier.seq and attempt + 1 < ATTEMPTS:
            continue  # written meanwhile
        return proved(room, dossier, line, rows, version)
    raise not_found(type, id)


def proved(room: Room, dossier: Dossier, line: Line, rows: list[Any], version: int = 0) -> list[Stored]:
    """The versions in these rows (seq, version, key, dictionary, hash, ciphertext), newest first; Forged by name for any other rows."""
    entry = line.entry
    ordered = sorted(rows, key=lambda row: row[1])
    numbers = [row[1] for row in ordered]
    if numbers != list(range(1, entry.version + 1)):
        raise Forged(Refusal.MISSING_ROW if len(numbers) < entry.version else Refusal.EXTRA_ROW)
    prior = b""
    for row in ordered[:-1]:
        prior = algorithms.sha256(prior + row[4])
    if prior != line.prior or ordered[-1][4] != line.sealed:
        raise Forged(Refusal.SWAPPED)
    found = []
    for _, number, key_no, dict_no, hashed, sealed in reversed(ordered):
        if sealed is None:
            continue
        if algorithms.sha256(sealed) != hashed:
            raise Forged(Refusal.SWAPPED)
        raw = dossier.open_row(entry.type, entry.id, Row(number, key_no, dict_no, sealed), room.keyring.trust_id)
        found.append(_version(entry.type, entry.id, number, raw, dossier.id))
    if version and not found:
        raise not_found(entry.type, entry.id)
    return found


def _version(type: str, id: str, version: int, raw: bytes, dossier: bytes) -> Stored:
    """A tombstone's bytes are only its moment."""
    deleted = not raw.startswith(b"{")
    moment = raw.decode() if deleted else orjson.loads(raw)["meta"]["lastUpdated"]
    return Stored(type, id, version, datetime.fromisoformat(moment), b"" if deleted else raw, dossier)
