"""A founded trust from the database and the files alone: three parties recover every zone, and two of them none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from founding_cast import NOW, PLAN

from cloister.assemble.founding import RECOVERY_FOLDER, Founded, found
from cloister.base.errors import CloisterError
from cloister.base.secret import Secret
from cloister.offices import software_card
from cloister.zones import TrustRoots, algorithms, certificates, epochs, grants, recovery, unlockers

PARTIES = ("it", "medical", "management")


class Thieves:
    """Some of the parties, with all that they keep, the whole schema trust, and every file that was left behind."""

    def __init__(self, rows: dict[str, Any], founded: Founded, left: bytes, parties: Sequence[str]) -> None:
        self.rows, self.left = rows, left
        first = founded.recovery
        self.texts = [first.passphrase] if "it" in parties else []
        self.texts += list(first.pins.values()) if "medical" in parties else []
        self.texts += [founded.certificate_root_passphrase, founded.access_root_passphrase, "12345678"]
        self.cards = dict(first.cards) if "management" in parties else {}
        roots = TrustRoots(founded.trust, rows["certificate_root"], rows["access_root"])
        known = certificates.Certificates(roots, rows["certificates"])
        self.offices = grants.Offices(roots, known, rows["mandates"])
        self.trust = founded.trust
        self.sets = recovery.present_sets(tuple(rows["sets"]), self.offices)

    def escrows(self) -> Iterator[recovery.Escrow]:
        params, sealed = json.loads(self.rows["params"]), self.rows["sealed"]
        for text in self.texts:
            kek, _ = unlockers.passphrase_secrets(text, params)
            kept = unlockers.Unlocker("recovery/escrow", self.trust, unlockers.UnlockerKind.PASSPHRASE, params, sealed)
            try:
                yield recovery.Escrow(unlockers.unwrap_unlock_key(kek, kept))
            except CloisterError:
                continue

    def scalars(self, name: str) -> Iterator[bytes]:
        for text in self.texts if name in self.cards else ():
            try:
                yield self.cards[name].opened(software_card.pin_kek(text, self.cards[name].params)).reveal()
            except CloisterError:
                continue
        yield from (self.left[:32], self.sets[name].card[1:33], self.sets[name].lattice[:32], self.rows["sealed"][:32])

    def opened(self) -> set[tuple[str, int, str]]:
        """(zone, epoch, set) of whatever opens, checked against the epochs' commitments."""
        found, escrows = set(), list(self.escrows())
        scalars = {name: list(self.scalars(name)) for name in self.sets}
        records = {(one.zone, one.epoch): one for one in self.rows["epochs"]}
        for body in self.rows["seals"]:
            seal = recovery.verified_seal(body, self.offices)
            for escrow in escrows:
                half = escrow.open(seal, self.sets[seal.set])
                for scalar in scalars[seal.set]:
                    try:
                        shared = Secret(algorithms.ecdh("P-256", scalar, half.ephemeral))
                        keys = epochs.EpochKeys(seal.zone, seal.epoch, half.open(self.sets[seal.set], shared))
                    except CloisterError:
                        continue
                    assert keys.commitment == records[seal.zone, seal.epoch].commitment
                    if seal.zone == "recovery-canary":
                        recovery.open_canary(self.rows["canary"], keys, self.offices)
                    found.add((seal.zone, seal.epoch, seal.set))
        return found


@pytest.fixture
async def booty(connection: asyncpg.Connection[Any], tmp_path: Path) -> tuple[dict[str, Any], Founded, bytes]:
    founded = await found(connection, PLAN, tmp_path / "roots", lambda: NOW)
    for card in (tmp_path / RECOVERY_FOLDER).iterdir():
        card.unlink()  # management has carried them to its safes

    async def column(sql: str) -> list[Any]:
        return [row[0] for row in await connection.fetch(sql)]

    trust = await connection.fetchrow("select certificate_root, access_root from trust.trust")
    escrow = await connection.fetchrow("select params, sealed from trust.recovery_escrow")
    bodies = await column("select body from trust.epoch")
    rows = {
        **trust, **escrow,
        "certificates": await column("select der from trust.certificate"),
        "mandates": await column("select body from trust.mandate"),
        "sets": await column("select body from trust.recovery_set"),
        "seals": await column("select body from trust.epoch_seal where kind = 'recovery'"),
        "canary": await connection.fetchval("select body from trust.recovery_canary"),
    }  # fmt: skip
    roots = TrustRoots(founded.trust, rows["certificate_root"], rows["access_root"])
    offices = grants.Offices(roots, certificates.Certificates(roots, rows["certificates"]), rows["mandates"])
    rows["epochs"] = [epochs.verified_epoch(body, offices.claimed_key(body), founded.trust) for body in bodies]
    return rows, founded, b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def test_all_three_recover_every_zone_with_either_card(booty: tuple[dict[str, Any], Founded, bytes]) -> None:
    everything = {(zone, 1, name) for zone in (*PLAN.zones, "recovery-canary") for name in recovery.SETS}
    assert Thieves(*booty, PARTIES).opened() == everything


async def test_one_or_two_parties_recover_no_zone_of_a_founded_trust(booty: tuple[dict[str, Any], Founded, bytes]) -> None:
    for parties in (*combinations(PARTIES, 1), *combinations(PARTIES, 2)):
        assert Thieves(*booty, parties).opened() == set(), parties
