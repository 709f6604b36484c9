"""Deep revoke: a dossier gets a new key, and what it holds now is sealed anew under it. Spec: docs/spec/zones.md 12.1.

All current versions keep their numbers, the index becomes one part, one signed commit goes to the new key number; the gate
takes all of it or nothing. Earlier versions stay as they are, under the old key: the chain of hashes in the index goes through
the new bytes from here on. Zones that this session does not write in get the keys sealed, if a signed share gave them the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from cloister.base.errors import Busy, Conflict, Corrupt, Denied, Invalid
from cloister.base.secret import Secret
from cloister.identity import learn_signers
from cloister.records import sealed_in
from cloister.records.definitions import type_numbers
from cloister.records.dossier import Dossier, row_of
from cloister.records.dossiers import ROWS_AT_ONCE
from cloister.records.lines import Line, by_type, pack_part
from cloister.records.room import Room
from cloister.records.sharing import SHARING, resource_name
from cloister.zones import DossierKey, Forged, Refusal, algorithms, commits, dossiers, envelope

ATTEMPTS: Final = 8
REASON_MIN: Final = 3
STEP: Final = 20  # dossiers of one background round


@dataclass(slots=True)
class Run:
    """How far a zone-wide run has come. `elsewhere`: records that somebody must re-key who writes in a further zone."""

    done: int = 0
    elsewhere: list[str] = field(default_factory=list)
    ended: bool = False


async def rekey(room: Room, id: bytes, reason: str) -> int:
    """New keys for one dossier; its key number now. Denied when this session does not write in it."""
    if len(reason.strip()) < REASON_MIN:
        raise Invalid("New keys need a reason.", hint="Say why, in a few words: it is in the audit log.", expression="reason")
    for _ in range(ATTEMPTS):
        dossier = (await room.dossiers.open([id], fresh=True)).get(id)
        if dossier is None or not room.places.writable(dossier):
            text = "New keys are made by those who write in the record."
            raise Denied(text, hint="Ask a colleague who does.", reason=Refusal.RIGHT_MISSING)
        number = dossier.key_no + 1
        secret = dossiers.new_dossier_key()
        try:
            found = await _sealed_anew(room, dossier, DossierKey(dossier.name, number, secret))
            found |= await _for_zones(room, dossier, number, secret)
            note = {"action": "rekey", "kind": "Chart", "object": dossier.name, "reason": reason.strip()[:200]}
            await room.gate.call("rekey", dossier=id, key_no=number, **found, audit=[note])
        except Conflict:  # somebody wrote first, or a zone has a new epoch: build on what is there now
            continue
        await room.dossiers.open([id], fresh=True)
        return number
    raise Busy("This record is being written too quickly by others.", hint="Send it again.", reason="head-moved")


async def _sealed_anew(room: Room, dossier: Dossier, key: DossierKey) -> dict[str, Any]:
    """The current rows, the index and the commit under `key`."""
    trust, numbers, expected = room.keyring.trust_id, type_numbers(), dossier.seq
    of: dict[str, Any] = {"rtype": [], "id": [], "ver": [], "ct": []}
    lines = list(dossier.every_line())
    anew: list[Line] = []
    for start in range(0, len(lines), ROWS_AT_ONCE):
        part = lines[start : start + ROWS_AT_ONCE]
        rtypes, ids = [numbers[line.entry.type] for line in part], [row_of(line) for line in part]
        rows, _ = await room.gate.call("rows", dossiers=[dossier.id] * len(part), rtypes=rtypes, ids=ids)
        answered = {place: row for place, *row in rows}
        for place, line in enumerate(part, start=1):
            seq, version, key_no, dict_no, sealed = answered.get(place, (expected, 0, 0, 0, None))
            if seq != expected:
                raise Conflict("This record has changed in the meantime.", reason="head-moved")
            old = dossier.keys.get(key_no)
            if sealed is None or old is None:
                raise Forged(Refusal.MISSING_ROW if sealed is None else Refusal.TAG)
            dossiers.check_row(sealed, version, indexed_version=line.entry.version, indexed_digest=line.sealed)
            type, id = line.entry.type, line.entry.id
            compressed = old.open_version(trust, type, id, version, dict_no, sealed)
            sealed = key.seal_version(trust, type, id, version, dict_no, compressed)
            anew.append(msgspec.structs.replace(line, sealed=algorithms.sha256(sealed)))
            of["ver"].append(version)
            of["ct"].append(sealed)
        of["rtype"] += rtypes
        of["id"] += ids
    number = max(dossier.parts, default=0) + 1
    index = key.seal_index_part(number, pack_part(by_type(anew)))
    commit = commits.sign_commit(
        room.keyring,
        key,
        seq=expected + 1,
        previous=dossier.head,
        versions=[],  # no version is written: they keep their numbers, and the index under `parts` has their new bytes
        parts=dossiers.parts_root({number: algorithms.sha256(index)}),
        milliseconds=int(room.clock().timestamp() * 1000),
    )
    return {**of, "expected": expected, "commit": commit, "part_no": number, "part_ct": index}


async def _for_zones(room: Room, dossier: Dossier, number: int, secret: Secret) -> dict[str, Any]:
    """The new key for every zone that has the record: wrapped where this session writes, sealed where a signed share gave it."""
    of: dict[str, list[Any]] = {name: [] for name in ("key_zone", "key_epoch", "key_wrapped", "seal_zone", "seal_epoch", "seal")}
    keyring, proved = room.keyring, await room.dossiers.proved_zones(dossier)
    for zone, record, newest, body, made in await room.gate.call("rekey_zones", dossier=dossier.id):
        if zone in proved and keyring.can(zone, "write"):
            wrapped = keyring.wrap(zone, dossier.name, number, secret)
            for name, value in zip(("key_zone", "key_epoch", "key_wrapped"), (zone, keyring.epoch(zone), wrapped), strict=True):
                of[name].append(value)
            continue
        if body is None:  # a row that names a zone proves nothing: an administrator could have written it
            raise _not_shared(zone)
        share = await _proved_share(room, dossier, zone, record, body, datetime.fromisoformat(made))
        epoch_no = int(envelope.peek_body(newest)["epoch"])
        epoch = keyring.epoch_record(zone, epoch_no, {epoch_no: newest})
        sealed = sealed_in.share(
            keyring.signer,
            trust=keyring.trust_id,
            epoch=epoch,
            dossier=dossier.id,
            keys={**dossier.secret, number: secret},
            reason=share.reason,
            resource=share.resource,
            now=room.clock(),
        )
        for name, value in zip(("seal_zone", "seal_epoch", "seal"), (zone, epoch_no, sealed), strict=True):
            of[name].append(value)
    return dict(of)


async def _proved_share(room: Room, dossier: Dossier, zone: str, record: bytes, body: bytes, made: datetime) -> sealed_in.Share:
    """The share by which a zone has the record: signed, and asked for by a resource of the record that names the zone's place."""
    keyring = room.keyring
    await learn_signers(room.gate, keyring, [body], room.clock())
    share = sealed_in.verified_share(body, keyring.offices.certificates, keyring.trust_id, made)
    if (share.dossier, share.zone) != (dossier.id, zone):
        raise Forged(Refusal.SWAPPED)
    found = keyring.zone_record(zone, [record])
    type, _, row = share.resource.partition("/")
    line = (
        next((one for one in dossier.current(type) if resource_name(type, one.entry.id) == share.resource), None)
        if type in SHARING
        else None
    )
    if line is None or not row:
        raise _not_shared(zone)
    (stored,), _ = await room.dossiers.rows([(dossier, line)], [])
    if stored is None:
        raise Conflict("This record has changed in the meantime.", reason="head-moved")
    place = found.ward or found.hospital
    if not {f"Location/{place}", f"Organization/{place}"} & places_in(stored.resource or {}):
        raise _not_shared(zone)
    return share


def places_in(resource: dict[str, Any]) -> set[str]:
    """Every place that a stay, referral or consent names, of now or of before."""
    named = [one.get("location") or {} for one in resource.get("location", ())]
    named += [*resource.get("locationReference", ()), *resource.get("performer", ())]
    named += [one.get("reference") or {} for one in (resource.get("provision") or {}).get("actor", ())]
    return {one["reference"] for one in named if isinstance(one.get("reference"), str)}


def _not_shared(zone: str) -> Denied:
    text = "This record also belongs to a zone in which you do not write."
    return Denied(text, hint=f"Somebody who writes in both must do it; the other zone is '{zone}'.", reason="zone-not-held")


async def take_keys(room: Room) -> int:
    """Wrap, for the zones in which this session writes, new keys that came sealed from others; how many."""
    taken = 0
    for id, zone, number in await room.gate.call("rekey_next"):
        if not room.keyring.can(zone, "write") or any(held.zone == zone and held.need for held in room.keyring.zones):
            continue
        try:
            dossier = (await room.dossiers.open([id], fresh=True)).get(id)
            if dossier is None or number not in dossier.secret:
                continue
            wrapped = room.keyring.wrap(zone, dossier.name, number, dossier.secret[number])
            note = {"action": "take-keys", "kind": "Chart", "object": dossier.name}
            epoch = room.keyring.epoch(zone)
            await room.gate.call("rekey_take", dossier=id, zone=zone, key_no=number, epoch=epoch, wrapped=wrapped, audit=[note])
            taken += 1
        except (Busy, Conflict, Corrupt, Denied):  # another session was faster, or this one cannot: the row waits
            continue
    return taken


async def ask_zone(room: Room, zone: str, reason: str) -> None:
    """New keys for every record of the zone, by whichever of its sessions work next."""
    note = {"action": "rekey", "kind": "zone", "object": zone, "reason": reason.strip()[:200]}
    await room.gate.call("rekey_ask", zone=zone, reason=reason.strip(), audit=[note])


async def rekey_zone(room: Room, zone: str, reason: str, *, most: int = STEP) -> Run:
    """One batch of what was asked for; the next call, of any session, goes on from there."""
    run, after = Run(), bytes(16)
    while ids := await room.gate.call("rekey_left", zone=zone, after=after):
        for id in ids:
            if run.done == most:
                return run
            after = id
            try:
                await rekey(room, id, reason)
                run.done += 1
            except Denied as refused:
                run.elsewhere.append(f"{id.hex()}: {refused.text}")
    await room.gate.call("rekey_ended", zone=zone)
    run.ended = not run.elsewhere
    return run


async def go_on(room: Room) -> int:
    """One batch of each run that the zones of this session still have before them."""
    done = 0
    for zone, reason, _ in await room.gate.call("rekey_runs"):
        if room.keyring.can(zone, "write"):
            done += (await rekey_zone(room, zone, reason)).done
    return done
