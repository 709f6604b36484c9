"""Messages that wait for a person: sealed to a zone's public key, listed, opened in a session that may write there, closed.

Spec: docs/spec/zones.md 28. Nothing of a message stands in the clear: the gate gets keyed hashes and one word of why.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from cloister.base.errors import Conflict, Corrupt
from cloister.base.ids import new_uuid
from cloister.identity import learn_signers
from cloister.records import sealed_in
from cloister.records.room import Room
from cloister.zones import algorithms

TRIES_MAX: Final = 3  # of sealing, when the zone's keys change at this very moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One line of the list. `behind`: an earlier one about the same patient waits too."""

    zone: str
    id: str
    reason: str
    tries: int
    since: datetime
    author: str
    behind: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A waiting message in a session that may write in its zone. `head` is what `park` was given with it."""

    waiting: Waiting
    head: dict[str, Any]
    content: bytes


class Parking:
    """One session's messages that wait."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def name_key(self, zone: str | None) -> bytes:
        """A key of the zone under which ids and hashes of what other systems call things are made."""
        return algorithms.hmac256(self._room.keyring.index_key(self.zone(zone)), b"cloister/names/v1")

    def zone(self, wanted: str | None) -> str:
        """The zone that new records enter."""
        return self._room.places.home(wanted)

    async def park(
        self, zone: str, head: dict[str, Any], content: bytes, *, message: bytes, lines: Sequence[bytes], hash: bytes, reason: str
    ) -> None:
        """Kept, sealed, when this returns."""
        room = self._room
        plain = orjson.dumps(head) + b"\n" + content
        note = {"action": "park", "kind": "message", "object": zone, "reason": reason}
        for turn in range(TRIES_MAX):
            epoch = room.keyring.sealing_in(zone)
            id = new_uuid().bytes
            signer, now = room.keyring.signer, room.clock()
            body = sealed_in.parked_content(signer, trust=room.keyring.trust_id, epoch=epoch, id=id, content=plain, now=now)
            given: dict[str, Any] = {
                "zone": zone,
                "audit": [note],
                "id": id,
                "message": message,
                "lines": list(lines),
                "hash": hash,
                "epoch": epoch.epoch,
                "reason": reason,
                "body": body,
            }
            try:
                await room.gate.call("parked_put", **given)
                return
            except Conflict as race:
                if race.reason != "parked-race" or turn + 1 == TRIES_MAX:
                    raise

    async def held(self, zone: str, message: bytes, lines: Sequence[bytes]) -> tuple[dict[str, Any] | None, int]:
        """(this message, if it was parked before; how many about the same patient wait before it).

        It is this session's until `done`. Busy with reason 'line-taken' while it is another's.
        """
        row, before = await self._room.gate.call("parked_held", zone=zone, message=message, lines=list(lines))
        return (orjson.loads(row) if row else None), int(before)

    async def done(self, zone: str, message: bytes, lines: Sequence[bytes]) -> None:
        await self._room.gate.call("parked_done", zone=zone, message=message, lines=list(lines))

    async def listed(self) -> tuple[list[Waiting], int]:
        """(the oldest 500 in the zones of this session, how many there are)."""
        found = await self._room.gate.call("parked_listed")
        return [_waiting(row[:6], row[6]) for row in found["messages"]], int(found["waiting"])

    async def open(self, id: str) -> Opened:
        """The message, decrypted; what does not verify is refused by name."""
        room = self._room
        raw = _raw(id)
        note = {"action": "read", "kind": "message", "object": id}
        row = await room.gate.call("parked_one", id=raw, audit=[note])
        waiting = _waiting(row[:6], row[11])
        body = row[7]
        await learn_signers(room.gate, room.keyring, [body], room.clock())
        known = room.keyring.offices.certificates
        parked = sealed_in.verified_parked(body, known, room.keyring.trust_id, room.clock())
        if (parked.zone, parked.id, parked.epoch) != (waiting.zone, raw, row[6]):
            raise Corrupt("The message stands in another's place.", reason="swapped")
        head, _, content = room.keyring.open_ingest(parked.zone, parked.epoch, parked.sealed, parked.info).partition(b"\n")
        return Opened(waiting=waiting, head=orjson.loads(head), content=content)

    async def close(self, id: str, state: str, reason: str) -> None:
        """'done', 'dropped' with a person's reason, or 'waiting' again after a replay that failed."""
        note = {"action": "replay" if state != "dropped" else "drop", "kind": "message", "object": id, "reason": reason}
        note["outcome"] = "failed" if state == "waiting" else "success"
        await self._room.gate.call("parked_close", id=_raw(id), state=state, reason=reason, audit=[note])


def _raw(id: str) -> bytes:
    try:
        return uuid.UUID(id).bytes
    except ValueError:
        return bytes(16)


def _waiting(row: Sequence[Any], behind: bool) -> Waiting:
    zone, id, reason, tries, made, author = row
    return Waiting(zone=zone, id=id, reason=reason, tries=tries, since=datetime.fromisoformat(made), author=author, behind=bool(behind))
