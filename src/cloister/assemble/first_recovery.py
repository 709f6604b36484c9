"""Recovery from the first day: escrow key, two software cards, seals of every zone's first epoch, the canary. docs/recovery.md.

Signed by the two roots, while the founding ceremony holds them. The two card files lie in the state folder until somebody carries
them away; the PINs and the passphrase are handed out once, on paper, to medical and to IT.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cloister.base.secret import Secret
from cloister.identity import enrolment, sign_in
from cloister.offices import recovery_founding, software_card
from cloister.zones import algorithms, certificates, envelope, epochs, grants, recovery

CARD_FILE: Final = "card-{}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRecovery:
    """The rows, the card files of set A and B, and what is handed out once."""

    zone: enrolment.SignedZone
    seals: tuple[enrolment.SealRow, ...]
    rows: enrolment.RecoveryRows
    cards: dict[str, software_card.SoftwareCard]
    pins: dict[str, str] = field(repr=False)
    passphrase: str = field(repr=False)


def first_recovery(
    trust: str, hospital: str, keys: Iterable[epochs.EpochKeys], *, certificate_root: Secret, access_root: Secret, now: datetime
) -> FirstRecovery:
    """`hospital` is where the canary zone is filed; nobody works in it, and nobody is granted it."""
    signer, certifier = envelope.access_root(access_root), envelope.certificate_root(certificate_root)
    passphrase = sign_in.new_passphrase()
    escrow, params, sealed = recovery_founding.new_recovery_data(trust, passphrase)
    pins = {name: software_card.new_pin() for name in recovery.SETS}
    cards = {name: software_card.new_card(trust, pin) for name, pin in pins.items()}
    records = {
        name: recovery.set_record(
            signer, trust=trust, name=name, number=1, curve=card.curve, card=bytes.fromhex(card.public),
            lattice=escrow.lattice_public, escrow=escrow.kem_public, made=now,
        )
        for name, card in cards.items()
    }  # fmt: skip
    roots = certificates.TrustRoots(trust, certifier.key.public, signer.key.public)
    offices = grants.Offices(roots, certificates.Certificates(roots, []), [])
    sets = recovery.present_sets(tuple(records.values()), offices)
    canary_keys = epochs.EpochKeys(recovery_founding.CANARY_ZONE, 1, epochs.new_zone_key())
    seals = tuple(
        enrolment.SealRow(zone=one.zone, epoch=one.epoch, kind=seal.kind, part=seal.part, body=seal.body)
        for one in (*keys, canary_keys)
        for seal in recovery.sealed_for(sets, trust, one, signer, now)
    )
    record = recovery.escrow_record(certifier, trust=trust, kem=escrow.kem_public, lattice=escrow.lattice_public, made=now)
    rows = enrolment.RecoveryRows(
        escrow=(algorithms.sha256(record), record, json.dumps(params), sealed),
        sets=tuple((name, 1, algorithms.sha256(body), body) for name, body in records.items()),
        canary=_canary(signer, trust, canary_keys, now),
    )
    zone = _canary_zone(signer, trust, hospital, canary_keys, now)
    return FirstRecovery(zone=zone, seals=seals, rows=rows, cards=cards, pins=pins, passphrase=passphrase)


def _canary(signer: envelope.Signer, trust: str, keys: epochs.EpochKeys, now: datetime) -> tuple[str, int, bytes, bytes]:
    body = recovery.canary(signer, trust=trust, keys=keys, made=now)
    return keys.zone, keys.epoch, algorithms.sha256(body), body


def _canary_zone(signer: envelope.Signer, trust: str, hospital: str, keys: epochs.EpochKeys, now: datetime) -> enrolment.SignedZone:
    name, policy = recovery_founding.CANARY_NAME, recovery_founding.CANARY_POLICY
    return enrolment.SignedZone(
        id=keys.zone,
        hospital=hospital,
        ward=None,
        name=name,
        policy=policy,
        body=epochs.zone_record(signer, trust=trust, zone=keys.zone, name=name, hospital=hospital, ward=None, policy=policy, made=now),
        epoch=1,
        epoch_body=epochs.epoch_record(signer, trust=trust, keys=keys, index_key=epochs.new_index_key(), previous=None, made=now),
    )


def write_cards(folder: Path, first: FirstRecovery) -> list[Path]:
    """One file a set, for two safes; a folder of another trust's cards is kept under another name."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}.{first.cards[recovery.SETS[0]].public[2:14]}"))
    folder.mkdir(parents=True, mode=0o700)
    written = []
    for name, card in first.cards.items():
        path = folder / CARD_FILE.format(name)
        software_card.write_card(path, card)
        written.append(path)
    return written


def handed_out(first: FirstRecovery, folder: Path) -> dict[str, Any]:
    """Of a demo only: a real trust writes these on paper, and carries the files to two safes."""
    return {
        "passphrase": first.passphrase,
        "pins": first.pins,
        "cards": {name: str(folder / CARD_FILE.format(name)) for name in first.cards},
    }
