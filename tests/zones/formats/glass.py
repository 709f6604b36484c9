"""How the formats of sections 21, 22 and 23 are opened here."""

from __future__ import annotations

from typing import Any

from certificates import known, moment, roots
from grants import ms

from cloister.base.secret import Secret
from cloister.records import sealed_in
from cloister.zones import Forged, Refusal, algorithms, envelope, epochs, glass, grants, shamir


def shares(given: dict[str, Any]) -> dict[str, Any]:
    return {"secret": shamir.joined({int(place): bytes.fromhex(share) for place, share in given["shares"].items()})}


def part(given: dict[str, Any]) -> dict[str, Any]:
    blob = bytes.fromhex(given["blob"])
    offices = grants.Offices(roots(given), known(given), [bytes.fromhex(one) for one in given["mandates"]])
    found = glass.verified_part(blob, offices)
    opened = algorithms.KemPrivate(bytes.fromhex(given["kem_seed"])).open(found.sealed, found.info)
    names = ("zone", "epoch", "set", "approvers", "place", "person", "certificate")
    return {**{name: getattr(found, name) for name in names}, "made": envelope.peek_body(blob)["made"], "part": opened}


def zone_key(given: dict[str, Any]) -> dict[str, Any]:
    record = epochs.verified_epoch(bytes.fromhex(given["epoch"]), bytes.fromhex(given["access_root"]), given["trust"])
    shares = {int(place): bytes.fromhex(share) for place, share in given["parts"].items()}
    key = glass.combined(Secret(bytes.fromhex(given["asker"])), given["approvers"], shares)
    if epochs.EpochKeys(record.zone, record.epoch, key).commitment != record.commitment:
        raise Forged(Refusal.COMMITMENT)
    return {"zone_key": key.reveal()}


def _opened(given: dict[str, Any], found: sealed_in.Sealed | sealed_in.Share) -> bytes:
    keys = epochs.EpochKeys(found.zone, found.epoch, Secret(bytes.fromhex(given["zone_key"])))
    return keys.ingest.open(found.sealed, found.info)


def message(given: dict[str, Any]) -> dict[str, Any]:
    policy, now = {"ingest": given["machines"]}, moment(given["now"])
    found = sealed_in.verified_content(bytes.fromhex(given["blob"]), known(given), policy, given["trust"], now)
    says = {"zone": found.zone, "epoch": found.epoch, "machine": found.device.person, "seq": found.seq, "at": ms(found.at)}
    return {**says, "content": _opened(given, found)}


def share(given: dict[str, Any]) -> dict[str, Any]:
    found = sealed_in.verified_share(bytes.fromhex(given["blob"]), known(given), given["trust"], moment(given["now"]))
    keys = sealed_in.shared_keys(_opened(given, found))
    says = {"dossier": found.dossier, "zone": found.zone, "epoch": found.epoch, "giver": found.giver.person, "reason": found.reason}
    return {**says, "resource": found.resource, "at": ms(found.at), "keys": {str(number): key.reveal() for number, key in keys.items()}}


FORMATS = {
    "glass-shares": shares,
    "glass-part": part,
    "glass-key": zone_key,
    "sealed-message": message,
    "share": share,
}
