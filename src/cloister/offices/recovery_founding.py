"""Making recovery possible: IT's escrow key, the card sets, the seals of every epoch, the canary. docs/recovery.md.

For a trust that has none, for a card that was lost, and for whatever a rotation left without a seal: the same three acts.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from cloister.base.errors import Denied, Invalid, NotFound
from cloister.offices.ceremony import Party
from cloister.offices.recovery import ESCROW_NAME, Office, check_party, learn, standing, unsealed
from cloister.zones import Forged, Refusal, envelope, epochs, recovery, unlockers

CANARY_ZONE: Final = "recovery-canary"
CANARY_NAME: Final = "Recovery canary"
CANARY_POLICY: Final = {"compartment": "normal", "code_tokens": False}
OBJECTS_OF_A_CALL: Final = 400


def new_recovery_data(trust: str, passphrase: str) -> tuple[recovery.Escrow, dict[str, Any], bytes]:
    """(IT's keys, the passphrase's parameters, the keys sealed under it): made where IT sits, and sealed before anything is sent."""
    seeds, params = recovery.new_escrow_seeds(), unlockers.new_passphrase_params()
    kek, _ = unlockers.passphrase_secrets(passphrase, params)
    kept = unlockers.wrap_unlock_key(kek, ESCROW_NAME, trust, unlockers.UnlockerKind.PASSPHRASE, params, seeds)
    return recovery.Escrow(seeds), params, kept.sealed


async def put_escrow(office: Office, *, kem: bytes, lattice: bytes, params: Mapping[str, Any], sealed: bytes) -> None:
    """A certificate officer signs IT's public keys. A second one is for the cards that are made from now on."""
    check_party(office, Party.IT)
    unlockers.checked_passphrase_params(dict(params))
    signer, trust = office.keyring.signer, office.keyring.trust_id
    body = recovery.escrow_record(signer, trust=trust, kem=kem, lattice=lattice, made=office.now)
    row = {"kind": "recovery_escrow", "body": body, "params": json.dumps(params), "sealed": sealed}
    await office.gate.call("trust_put", objects=[row])


async def put_card(office: Office, *, name: str, curve: str, card: bytes) -> int:
    """A set's first card, or the one in place of a lost one; then every epoch is sealed for it. How many seals were made."""
    check_party(office, Party.MEDICAL)
    rows = await office.gate.call("recovery_records")
    if not rows["escrows"]:
        raise NotFound("IT has not made its recovery data.", hint="IT first: cloister ceremony escrow.", reason="no-escrow")
    if name not in recovery.SETS:
        raise Invalid("There are two card sets, A and B.", reason="set")
    record = bytes(rows["escrows"][0]["body"])
    await learn(office, [record])
    kem, lattice = recovery.verified_escrow(record, office.keyring.offices)
    sets = (await standing(office)).sets
    number = sets[name].number + 1 if name in sets else 1
    body = recovery.set_record(
        office.keyring.signer, trust=office.keyring.trust_id, name=name, number=number,
        curve=curve, card=card, lattice=lattice, escrow=kem, made=office.now,
    )  # fmt: skip
    await office.gate.call("trust_put", objects=[{"kind": "recovery_set", "body": body, "name": name, "number": number}])
    await new_canary(office)
    return await seal_all(office)


async def seal_all(office: Office) -> int:
    """Every epoch that lacks a seal for a present card and whose key this officer holds; says how many seals were made."""
    check_party(office, Party.MEDICAL)
    missing: dict[str, set[tuple[int, str]]] = {}
    for zone, epoch, name in await unsealed(office):
        missing.setdefault(zone, set()).add((epoch, name))
    sets, made, waiting = (await standing(office)).sets, 0, list[dict[str, Any]]()
    held = {one.zone for one in office.keyring.zones}
    for zone, wanted in missing.items():
        if zone not in held:
            continue
        async for keys in _epochs_back(office, zone):
            lacking = {name: sets[name] for epoch, name in wanted if epoch == keys.epoch}
            waiting += _rows(office, keys, lacking)
        while len(waiting) >= OBJECTS_OF_A_CALL:
            made += await _put(office, waiting[:OBJECTS_OF_A_CALL])
            del waiting[:OBJECTS_OF_A_CALL]
    return made + await _put(office, waiting)


async def new_canary(office: Office) -> None:
    """A fresh epoch of the zone that nobody is granted; its key is forgotten as soon as it was sealed for the cards."""
    found = await standing(office)
    objects: list[dict[str, Any]] = []
    signer, trust, now = office.keyring.signer, office.keyring.trust_id, office.now
    number = 1
    if CANARY_ZONE in {zone for zone, _ in found.zones}:
        rows = await office.gate.call("recovery_zone", zone=CANARY_ZONE)
        number = max((int(row[0]) for row in rows["epochs"]), default=0) + 1
    else:
        hospital = str((await office.gate.call("office_zones", limit=1))[0]["hospital"])
        record = epochs.zone_record(
            signer, trust=trust, zone=CANARY_ZONE, name=CANARY_NAME, hospital=hospital, ward=None, policy=CANARY_POLICY, made=now
        )
        row = {"kind": "zone", "body": record, "zone": CANARY_ZONE, "hospital": hospital, "name": CANARY_NAME}
        objects.append({**row, "policy": json.dumps(CANARY_POLICY)})
    keys = epochs.EpochKeys(CANARY_ZONE, number, epochs.new_zone_key())
    record = epochs.epoch_record(signer, trust=trust, keys=keys, index_key=epochs.new_index_key(), previous=None, made=now)
    canary = recovery.canary(signer, trust=trust, keys=keys, made=now)
    objects.append({"kind": "epoch", "body": record, "zone": CANARY_ZONE, "epoch": number})
    objects += _rows(office, keys, found.sets)
    objects.append({"kind": "recovery_canary", "body": canary, "zone": CANARY_ZONE, "epoch": number})
    await office.gate.call("trust_put", objects=objects)


async def _epochs_back(office: Office, zone: str) -> AsyncIterator[epochs.EpochKeys]:
    """The present epoch's keys, then each older one's, as far as the links go back."""
    try:
        keys = office.keyring.passing_on(zone)
    except Denied:  # replaced since: another officer has the newer key
        return
    rows = await office.gate.call("recovery_zone", zone=zone)
    records = {int(number): bytes(body) for number, body in rows["epochs"]}
    await learn(office, records.values())
    while True:
        yield keys
        record = _record(office, records[keys.epoch])
        if record.previous is None or keys.epoch - 1 not in records:
            return
        older = epochs.EpochKeys(zone, keys.epoch - 1, keys.open_previous(record.previous))
        if older.commitment != _record(office, records[older.epoch]).commitment:
            raise Forged(Refusal.COMMITMENT)
        keys = older


def _record(office: Office, body: bytes) -> epochs.Epoch:
    found = epochs.verified_epoch(body, office.keyring.offices.claimed_key(body), office.keyring.trust_id)
    office.keyring.offices.access_key(envelope.peek_signer(body), zone=found.zone, now=found.made)
    return found


def _rows(office: Office, keys: epochs.EpochKeys, sets: Mapping[str, recovery.RecoverySet]) -> Iterable[dict[str, Any]]:
    for seal in recovery.sealed_for(sets, office.keyring.trust_id, keys, office.keyring.signer, office.now):
        yield {"kind": "epoch_seal", "body": seal.body, "zone": keys.zone, "epoch": keys.epoch, "seal": seal.kind, "part": seal.part}


async def _put(office: Office, objects: list[dict[str, Any]]) -> int:
    if objects:
        await office.gate.call("trust_put", objects=objects)
    return len(objects)
