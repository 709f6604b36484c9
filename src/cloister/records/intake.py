"""What machines sealed into a zone becomes part of the record: verified, opened, checked like any write, and noted.

The first session that may write in the zone does it, in the background. What cannot be taken up stays on a list with its
reason. A message is taken up once: its resources' ids follow from device and number, and nothing that exists is overwritten.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import Busy, CloisterError, Conflict, Corrupt, Denied, Invalid, Unavailable
from cloister.identity import learn_signers
from cloister.records import sealed_in
from cloister.records.fhir.text import decode
from cloister.records.room import Room
from cloister.records.transaction import Transaction
from cloister.zones import Refusal, algorithms

# What a machine may bring: measurements and documents. Never who a patient is, where they lie or what they consent to.
MEASURED: Final = frozenset({"Observation", "DiagnosticReport", "Specimen", "ImagingStudy", "Media", "DocumentReference", "Binary"})
ENTRIES_MAX: Final = 1000
LATER: Final = frozenset({"head-moved", "right-missing", "epoch-replaced"})


@dataclass(slots=True)
class Taken:
    """How a round went."""

    done: int = 0
    refused: int = 0
    later: int = 0


async def take_up(room: Room) -> Taken:
    """One round of what waits in the zones of this session."""
    taken = Taken()
    able = {held.zone: held for held in room.keyring.zones if held.need is None and held.policy.get("ingest")}
    if not any(room.keyring.can(zone, "write") for zone in able):
        return taken
    for device, seq, zone, epoch, body in await room.gate.call("ingest_next"):
        state, reason = "done", ""
        try:
            if zone not in able or not room.keyring.can(zone, "write"):
                raise Conflict("This session may not write here.", reason="right-missing")
            await _one(room, device, seq, zone, epoch, body, able[zone].policy)
        except CloisterError as wrong:
            state = "waiting" if _later(wrong) else "refused"
            reason = f"{wrong.reason or wrong.category}: {wrong.text}"[:200]
        note = {"action": "take-up", "kind": "ingest", "object": zone, "reason": f"{device} {seq}"[:200]}
        note["outcome"] = "success" if state == "done" else "failed"
        await room.gate.call("ingest_close", device=device, seq=seq, state=state, reason=reason, audit=[note])
        taken.done += state == "done"
        taken.refused += state == "refused"
        taken.later += state == "waiting"
    return taken


def _later(wrong: CloisterError) -> bool:
    """Another moment or another colleague may succeed: the store is busy, or this person's role may not write this."""
    policy = isinstance(wrong, Denied) and wrong.reason not in set(Refusal)
    return isinstance(wrong, Busy | Unavailable) or wrong.reason in LATER or policy


async def _one(room: Room, device: str, seq: int, zone: str, epoch: int, body: bytes, policy: dict[str, Any]) -> None:
    await learn_signers(room.gate, room.keyring, [body], room.clock())
    certificates = room.keyring.offices.certificates
    sealed = sealed_in.verified_content(body, certificates, policy, room.keyring.trust_id, room.clock())
    if (sealed.device.person, sealed.seq, sealed.zone, sealed.epoch) != (device, seq, zone, epoch):
        raise Corrupt("The message stands in another's place.", reason="swapped")
    content = decode(room.keyring.open_ingest(zone, epoch, sealed.sealed, sealed.info))
    bundle = bundle_of(content, sealed)
    places = [(entry["resource"]["resourceType"], entry["resource"]["id"]) for entry in bundle["entry"]]
    if await room.finder.locate(places):
        return  # taken up before, by a session that could not say so any more
    await Transaction(room, bundle, zone=zone, idempotent=False).write()


def bundle_of(content: Any, sealed: sealed_in.Sealed) -> dict[str, Any]:
    """A transaction of new resources, whose ids nobody can choose; `meta.source` says which message they came in."""
    if not isinstance(content, dict):
        raise Invalid("The message is no FHIR resource.", hint="Send a resource or a Bundle.", reason="ingest-content")
    raw = content.get("entry", []) if content.get("resourceType") == "Bundle" else [{"resource": content}]
    if not isinstance(raw, list) or not 0 < len(raw) <= ENTRIES_MAX:
        raise Invalid(f"A message has 1 to {ENTRIES_MAX} resources.", hint="Split it.", reason="ingest-content")
    entries = []
    for number, one in enumerate(raw):
        resource = one.get("resource") if isinstance(one, dict) else None
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(resource, dict) or kind not in MEASURED:
            raise Invalid(f"A machine may not bring '{str(kind)[:40]}'.", hint="Measurements and documents only.", reason="ingest-kind")
        id = str(uuid.UUID(bytes=algorithms.sha256(f"{sealed.device.person}|{sealed.seq}|{number}".encode())[:16], version=4))
        meta = resource.get("meta")
        source = f"urn:cloister:ingest:{sealed.device.person}:{sealed.seq}"
        whole = {**resource, "id": id, "meta": {**(meta if isinstance(meta, dict) else {}), "source": source}}
        entry = {"resource": whole, "request": {"method": "PUT", "url": f"{kind}/{id}"}}
        if isinstance(one.get("fullUrl"), str):
            entry["fullUrl"] = one["fullUrl"]
        entries.append(entry)
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}
