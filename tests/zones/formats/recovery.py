"""How the formats of section 24 are opened here."""

from __future__ import annotations

import base64
import json
from typing import Any

from certificates import known, roots
from grants import ms

from cloister.base.secret import Secret
from cloister.offices import ceremony, software_card
from cloister.zones import algorithms, epochs, grants, recovery, unlockers


class Reader:
    """What the verification of a statement asks of a keyring."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.trust_id = str(given["trust"])
        self.offices = offices(given)
        self.author, self.author_at = self.offices.certificates.chained, self.offices.certificates.valid


def offices(given: dict[str, Any]) -> grants.Offices:
    return grants.Offices(roots(given), known(given), [bytes.fromhex(one) for one in given["mandates"]])


def escrow(given: dict[str, Any]) -> dict[str, Any]:
    kem, lattice = recovery.verified_escrow(bytes.fromhex(given["blob"]), offices(given))
    return {"kem": kem, "lattice": lattice}


def card_set(given: dict[str, Any]) -> dict[str, Any]:
    found = recovery.verified_set(bytes.fromhex(given["blob"]), offices(given))
    says = {"set": found.name, "number": found.number, "curve": found.curve, "card": found.card}
    return {**says, "lattice": found.lattice, "escrow": found.escrow, "made": ms(found.made)}


def seal(given: dict[str, Any]) -> dict[str, Any]:
    found = recovery.verified_seal(bytes.fromhex(given["blob"]), offices(given))
    of = recovery.verified_set(bytes.fromhex(given["record"]), offices(given))
    half = recovery.Escrow(Secret(bytes.fromhex(given["escrow_seeds"]))).open(found, of)
    secret = Secret(algorithms.ecdh(of.curve, bytes.fromhex(given["card"]), half.ephemeral))
    return {"zone": found.zone, "epoch": found.epoch, "zone_key": half.open(of, secret).reveal()}


def canary(given: dict[str, Any]) -> dict[str, Any]:
    keys = epochs.EpochKeys(given["zone"], given["epoch"], Secret(bytes.fromhex(given["zone_key"])))
    return {"text": recovery.open_canary(bytes.fromhex(given["blob"]), keys, offices(given)).decode()}


def software(given: dict[str, Any]) -> dict[str, Any]:
    """As software_card.opened, which says the same refusal in words for whoever types the PIN."""
    card = software_card.read_card(given["file"])
    kept = unlockers.Unlocker(
        f"recovery-card/{card.public}", card.trust, unlockers.UnlockerKind.PASSPHRASE, card.params, base64.b64decode(card.sealed)
    )
    assert json.loads(given["file"])["form"] == software_card.FORM
    return {"scalar": unlockers.unwrap_unlock_key(software_card.pin_kek(given["pin"], card.params), kept).reveal()}


def opening(given: dict[str, Any]) -> dict[str, Any]:
    found = ceremony.verified_opening(bytes.fromhex(given["blob"]), Reader(given))  # type: ignore[arg-type]
    names = ("set", "reason", "recipient", "right", "zone", "epoch", "person", "hash")
    says = {name: getattr(found, name) for name in names}
    return {**says, "purpose": str(found.purpose), "at": ms(found.at), "until": ms(found.until)}


def statement(given: dict[str, Any]) -> dict[str, Any]:
    blob, reader = bytes.fromhex(given["blob"]), Reader(given)
    of = ceremony.Opening(
        bytes.fromhex(given["ceremony"]), ceremony.Purpose.RECOVER, "zone-1", 2, "A", "doctor", "read", "why", "doctor", *[None] * 2
    )  # type: ignore[arg-type]
    roles = {"doctor": "management", "access-officer": "access-officer"}
    said = ceremony.verified_statement(blob, reader, roles, of)  # type: ignore[arg-type]
    return {"step": str(said.step), "person": said.person, "at": ms(said.at), "reason": said.details["reason"]}


FORMATS = {
    "recovery-escrow": escrow,
    "recovery-set": card_set,
    "recovery-seal": seal,
    "recovery-canary": canary,
    "software-card": software,
    "ceremony-opening": opening,
    "ceremony-statement": statement,
}
