"""Sharing a dossier with another ward or hospital, and its end. Spec: docs/spec/zones.md 23.

Which zones a record is shared with follows from what is written in it: a stay (Encounter), a referral (ServiceRequest), a
consent (Consent). The writer seals the dossier's keys to the receiving zone, which need not be the writer's own; the first
session of that zone takes them up. After a discharge the zone's policy leaves some days, a withdrawn consent none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.errors import Conflict, Corrupt, Denied
from cloister.identity import learn_signers
from cloister.records import sealed_in, shard
from cloister.records.definitions import type_numbers
from cloister.records.dossier import Dossier
from cloister.records.placement import IN_PROGRESS, PATIENT
from cloister.records.placing import Change
from cloister.records.room import Room
from cloister.records.rowids import text_of, uuid_row
from cloister.records.tokens import id_texts, texts_of
from cloister.zones import Forged, Refusal, algorithms, envelope, epochs

SHARING: Final = frozenset({"Encounter", "ServiceRequest", "Consent"})
AFTER_DISCHARGE_DAYS: Final = 30
ASKED: Final = frozenset({"active", "on-hold"})
PLACES: Final = ("Location/", "Organization/")
WRONG: Final = frozenset({"cancelled", "revoked", "entered-in-error"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What one resource asks for: these places have the record; those it named before lose it at `end` (plus the policy's days)."""

    reason: str
    places: frozenset[str]
    end: datetime
    delay: bool


def wish_of(type: str, resource: dict[str, Any] | None, now: datetime) -> Wish:
    """`resource` None: it was deleted, so it asks for nothing any more."""
    if resource is None:
        return Wish({"Encounter": "admission", "ServiceRequest": "referral"}.get(type, "consent"), frozenset(), now, delay=False)
    status = resource.get("status")
    if type == "Encounter":
        return _stay(resource, status, now)
    if type == "ServiceRequest":
        places = _references([*resource.get("locationReference", ()), *resource.get("performer", ())])
        return Wish("referral", places if status in ASKED else frozenset(), now, delay=status not in WRONG)
    provision = resource.get("provision") or {}
    end = _moment((provision.get("period") or {}).get("end"))
    given = status == "active" and provision.get("type", "permit") == "permit" and (end is None or end > now)
    actors = _references([actor.get("reference") or {} for actor in provision.get("actor", ())])
    return Wish("consent", actors if given else frozenset(), now, delay=False)


def _stay(resource: dict[str, Any], status: Any, now: datetime) -> Wish:
    """encounter.html: the locations at which the stay is going on. One that was left before makes it a transfer."""
    locations = resource.get("location", ())
    here = [one.get("location") or {} for one in locations if one.get("status", "active") in ("active", "reserved")]
    moved = any(one.get("status") == "completed" for one in locations)
    if status in IN_PROGRESS:
        return Wish("transfer" if moved else "admission", _references(here), now, delay=True)
    end = _moment((resource.get("period") or {}).get("end")) or now
    return Wish("admission", frozenset(), now if status in WRONG else min(end, now), delay=status not in WRONG)


def _references(found: Sequence[Any]) -> frozenset[str]:
    texts = {one.get("reference", "") for one in found if isinstance(one, dict)}
    return frozenset(
        text for text in texts if isinstance(text, str) and text.startswith(("Location/", "Organization/")) and len(text) <= 100
    )


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None


# --- giving ---------------------------------------------------------------------------------------------


async def share(room: Room, changes: Sequence[Change]) -> None:
    """After a write: say to the gate what its stays, referrals and consents ask for now."""
    now = room.clock()
    wishes = []
    for change in changes:
        if change.type in SHARING and not change.same and change.dossier is not None and change.dossier.kind == PATIENT:
            wish = wish_of(change.type, change.resource if change.draft is not None else None, now)
            if wish.places or not change.created:
                wishes.append((change, change.dossier, wish))
    if not wishes:
        return
    places = sorted({place for _, _, wish in wishes for place in wish.places})
    targets = (
        {place: _verified(room, place, *row) for place, *row in await room.gate.call("share_targets", places=places)} if places else {}
    )
    shares = [_share(room, change, dossier, wish, targets, now) for change, dossier, wish in wishes]
    notes = [{"action": "share", "kind": "Chart", "object": dossier.name, "reason": wish.reason} for _, dossier, wish in wishes]
    await room.gate.call("share_set", shares=shares, audit=notes)
    if any(one["at_once"] for one in shares):
        await room.gate.call("share_end")


def _verified(room: Room, place: str, zone: str, record: bytes, newest: bytes) -> epochs.Epoch:
    """The place's zone and its present epoch, as officers signed them: a place that the database invents is refused."""
    found = room.keyring.zone_record(zone, [record])
    kind, _, id = place.partition("/")
    if id != (found.ward or found.hospital) and not (kind == "Organization" and found.ward is None and id == found.hospital):
        raise Forged(Refusal.SWAPPED)
    number = int(envelope.peek_body(newest)["epoch"])
    return room.keyring.epoch_record(zone, number, {number: newest})


def _share(room: Room, change: Change, dossier: Dossier, wish: Wish, targets: dict[str, epochs.Epoch], now: datetime) -> dict[str, Any]:
    resource = resource_name(change.type, change.id)
    zones: dict[str, bytes | None] = {}
    for place in sorted(wish.places & targets.keys()):
        epoch = targets[place]
        zones[epoch.zone] = None
        if epoch.zone not in dossier.zones:
            zones[epoch.zone] = sealed_in.share(
                room.keyring.signer,
                trust=room.keyring.trust_id,
                epoch=epoch,
                dossier=dossier.id,
                keys=dossier.secret,
                reason=wish.reason,
                resource=resource,
                now=now,
            )
    until = wish.end + timedelta(days=_days(room, dossier)) if wish.delay else wish.end
    return {
        "dossier": dossier.id,
        "resource": resource,
        "reason": wish.reason,
        "zones": list(zones.items()),
        "until": until.isoformat(),
        "at_once": not wish.delay and not wish.places,
    }


def resource_name(type: str, id: str) -> str:
    """How a share names the resource that asks for it."""
    return f"{type}/{text_of(uuid_row(id) or algorithms.sha256(id.encode())[:16])}"


def _days(room: Room, dossier: Dossier) -> int:
    """The days that the policy of a zone with this dossier leaves after a discharge."""
    for held in room.keyring.zones:
        days = held.policy.get("share", {}).get("after_discharge_days") if held.zone in dossier.zones else None
        if type(days) is int and 0 <= days <= 3650:
            return days
    return AFTER_DISCHARGE_DAYS


# --- taking ---------------------------------------------------------------------------------------------


async def take_shares(room: Room) -> int:
    """One round: end what is due, take up what is offered to this session's zones, tidy up what has ended. Says how many were taken."""
    await room.gate.call("share_end")
    taken = 0
    for dossier, zone, resource, reason, state, body, made in await room.gate.call("share_next"):
        if not room.keyring.can(zone, "write") or any(held.zone == zone and held.need for held in room.keyring.zones):
            continue
        try:
            if state == "ending":
                await _unlist(room, dossier, zone)
                continue
            if state == "offered":
                await _take(room, dossier, zone, resource, reason, body, datetime.fromisoformat(made))
            await _index(room, dossier, zone)
            taken += 1
        except Conflict:  # another session was faster
            continue
        except (Corrupt, Denied) as refused:
            note = {"action": "take-share", "kind": "zone", "object": zone, "outcome": "denied", "reason": refused.reason}
            await room.gate.call("share_drop", dossier=dossier, zone=zone, audit=[note])
    return taken


async def _take(room: Room, id: bytes, zone: str, resource: str, reason: str, body: bytes, made: datetime) -> None:
    keyring = room.keyring
    await learn_signers(room.gate, keyring, [body], room.clock())
    found = sealed_in.verified_share(body, keyring.offices.certificates, keyring.trust_id, made)
    if (found.dossier, found.zone, found.resource, found.reason) != (id, zone, resource, reason):
        raise Forged(Refusal.SWAPPED)
    keys = sealed_in.shared_keys(keyring.open_ingest(zone, found.epoch, found.sealed, found.info))
    dossier, epoch = Dossier(id, PATIENT), keyring.epoch(zone)
    wrapped = [keyring.wrap(zone, dossier.name, number, key) for number, key in keys.items()]
    note = {"action": "take-share", "kind": "Chart", "object": dossier.name, "reason": reason}
    await room.gate.call("share_take", dossier=id, zone=zone, epoch=epoch, key_no=list(keys), wrapped=wrapped, audit=[note])


async def _index(room: Room, id: bytes, zone: str) -> None:
    """What makes the record findable in the zone: its tokens, and the patient in the zone's list of people."""
    dossier = (await room.dossiers.open([id], fresh=True)).get(id)
    if dossier is None:
        raise Forged(Refusal.MISSING_ROW)
    numbers = type_numbers()
    of: dict[str, list[Any]] = {name: [] for name in ("rtype", "id", "first", "last", "toks")}
    people = []
    for line in dossier.every_line():
        entry, texts = line.entry, texts_of(line.entry, dossier.holds) if not line.deleted else id_texts(line.entry)
        if texts:
            row, first = uuid_row(entry.id) or line.row, len(of["toks"]) + 1
            of["toks"].extend(room.tokens.of(zone, texts))
            for name, value in zip(("rtype", "id", "first", "last"), (numbers[entry.type], row, first, len(of["toks"])), strict=True):
                of[name].append(value)
        if entry.type == "Patient":
            people.append(shard.Person(id, line.deleted, entry))
    found: dict[str, Any] = {**of, **_listed(room, zone, people)}
    await room.gate.call("share_index", dossier=id, zone=zone, **found)


async def _unlist(room: Room, id: bytes, zone: str) -> None:
    """The keys are gone; the zone's list of people forgets the patient as well, unless the record came back meanwhile."""
    if id in await room.dossiers.open([id], fresh=True):
        await room.gate.call("share_index", dossier=id, zone=zone, held=False)
        return
    people = [shard.Person(id, True, one.entry) for one in await shard.Shard(room.gate, room.keyring, zone).of(id)]
    await room.gate.call("share_index", dossier=id, zone=zone, held=False, **_listed(room, zone, people))


def _listed(room: Room, zone: str, people: list[shard.Person]) -> dict[str, Any]:
    if not people:
        return {}
    number = shard.new_number()
    return {"shard_no": number, "shard_ct": shard.seal_people(room.keyring, zone, number, people)}
