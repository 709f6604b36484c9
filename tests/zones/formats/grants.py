"""How the formats of section 8 are opened here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from certificates import known, moment, roots

from cloister.zones import algorithms, envelope, grants


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def mandate(given: dict[str, Any]) -> dict[str, Any]:
    found = grants.verified_mandate(bytes.fromhex(given["blob"]), roots(given))
    return {
        "office": found.office,
        "ceiling": found.ceiling,
        "zones": None if found.zones is None else sorted(found.zones),
        "person": found.person,
        "certificate": found.certificate,
        "not_after": ms(found.not_after),
    }


def grant(given: dict[str, Any]) -> dict[str, Any]:
    mandates = [bytes.fromhex(blob) for blob in given["mandates"]]
    found = grants.verified_grant(
        bytes.fromhex(given["blob"]), trust=roots(given), certificates=known(given), mandates=mandates, now=moment(given["now"])
    )
    return {
        "zone_key": found.open_key(algorithms.KemPrivate(bytes.fromhex(given["kem_seed"]))).reveal(),
        "hash": envelope.digest(bytes.fromhex(given["blob"])),
        "zone": found.zone,
        "epoch": found.epoch,
        "floor": found.floor,
        "person": found.person,
        "certificate": found.certificate,
        "right": found.right,
        "not_before": ms(found.not_before),
        "live_until": ms(found.live_until),
        "reason": found.reason,
        "seq": found.seq,
        "previous": found.previous,
    }


FORMATS = {"mandate": mandate, "grant": grant}
