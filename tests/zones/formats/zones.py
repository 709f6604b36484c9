"""How the formats of section 9 are opened here."""

from __future__ import annotations

from typing import Any

from encoding import shown
from grants import ms

from cloister.base.secret import Secret
from cloister.zones import Forged, Refusal, epochs


def zone(given: dict[str, Any]) -> dict[str, Any]:
    found = epochs.verified_zone(bytes.fromhex(given["blob"]), bytes.fromhex(given["public"]), given["trust"])
    says = {name: getattr(found, name) for name in ("zone", "name", "hospital", "ward", "seq")}
    return {**says, "policy": shown(dict(found.policy)), "made": ms(found.made)}


def epoch(given: dict[str, Any]) -> dict[str, Any]:
    found = epochs.verified_epoch(bytes.fromhex(given["blob"]), bytes.fromhex(given["public"]), given["trust"])
    keys = epochs.EpochKeys(found.zone, found.epoch, Secret(bytes.fromhex(given["zone_key"])))
    if keys.commitment != found.commitment:  # as the keyring compares it
        raise Forged(Refusal.COMMITMENT)
    return {
        "zone": found.zone,
        "epoch": found.epoch,
        "commitment": found.commitment,
        "ingest": found.ingest,
        "made": ms(found.made),
        "index_key": keys.open_index_key(found.index).reveal(),
        "previous": None if found.previous is None else keys.open_previous(found.previous).reveal(),
    }


FORMATS = {"zone": zone, "epoch": epoch}
