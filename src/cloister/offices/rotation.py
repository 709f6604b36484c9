"""A zone's next epoch: a new key for everybody who stays, in one transaction. Spec: docs/spec/zones.md 26.

Every standing grant is verified and signed again at the new epoch, with its terms unchanged and its chain continued; what
does not verify any more is left out and named. The index key is carried along, the recovery and break-glass seals are made
anew. Where the zone's policy says `past: closed`, the new epoch has no link: whoever comes later never opens what was before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.base.errors import CloisterError, Conflict
from cloister.base.secret import Secret
from cloister.offices.objects import Gate, Row, grant_row
from cloister.zones import Forged, Keyring, Refusal, algorithms, envelope, epochs, glass, grants, recovery, teams

PAST: Final = epochs.PAST
CLOSED: Final = epochs.CLOSED
PUT_AT_ONCE: Final = 4_000
SIGNED_AT_ONCE: Final = 25  # then the session's other requests have their turn
SECONDS_MAX: Final = 120.0


@dataclass(frozen=True, slots=True)
class Rotated:
    """What became of a rotation. `left_out`: [person or team, why] of grants that were not given anew."""

    zone: str
    epoch: int
    grants: int
    seals: int
    left_out: tuple[tuple[str, str], ...]


async def rotate(
    keyring: Keyring, gate: Gate, *, zone: str, now: datetime, without: Collection[str] = (), also: Sequence[Row] = ()
) -> Rotated:
    """The next epoch of a zone, for all but `without` (people's ids, and "team:" with a team's id).

    `also` are further signed objects that go with it, all or nothing: the revocations because of which it is made.
    """
    material = await gate.call("rotation_material", zone=zone)
    present = keyring.passing_on(zone)
    newest = max((int(number) for number, _ in material["epochs"]), default=0)
    if newest != present.epoch:
        raise Conflict("This zone has new keys already.", hint="Load the page again.", reason="epoch-replaced")
    keyring.add_certificates([bytes(row["der"]) for row in material["grants"] if row["der"]])
    keyring.add_certificates([bytes(der) for der in material["certificates"]])
    record = _verified_zone(keyring, material["zone"])
    keys = epochs.EpochKeys(zone, present.epoch + 1, epochs.new_zone_key())
    body = epochs.epoch_record(
        keyring.signer,
        trust=keyring.trust_id,
        keys=keys,
        index_key=Secret(keyring.index_key(zone)),
        previous=None if record.policy.get(PAST) == CLOSED else present.key,
        made=now,
    )
    rows: list[Row] = [*also, {"kind": "epoch", "body": body, "zone": zone, "epoch": keys.epoch}]
    seals = _seals(keyring, material, record, keys, now)
    rows += [
        {"kind": "epoch_seal", "body": one.body, "zone": zone, "epoch": keys.epoch, "seal": one.kind, "part": one.part} for one in seals
    ]
    given, left_out = await _granted_anew(keyring, material["grants"], keys, frozenset(without), now)
    rows += given
    for start in range(0, len(rows), PUT_AT_ONCE):
        await gate.call("trust_put", timeout_seconds=SECONDS_MAX, objects=rows[start : start + PUT_AT_ONCE])
    return Rotated(zone, keys.epoch, len(given), len(seals), tuple(left_out))


def _verified_zone(keyring: Keyring, row: Row) -> epochs.Zone:
    """Whether the past is closed stands in a signed record, not in a column."""
    blob, offices = bytes(row["body"]), keyring.offices
    public, _ = offices.access_key(envelope.peek_signer(blob), zone=str(row["id"]), now=_made(blob))
    return epochs.verified_zone(blob, public, keyring.trust_id)


def _made(blob: bytes) -> datetime:
    return epochs.moment(int(envelope.peek_body(blob)["made"]))


def _seals(keyring: Keyring, material: Row, record: epochs.Zone, keys: epochs.EpochKeys, now: datetime) -> list[epochs.EpochSeal]:
    sealing = epochs.SealMaterial(
        trust=keyring.trust_id,
        offices=keyring.offices,
        zone=record,
        previous=tuple(epochs.EpochSeal(kind, part, bytes(body)) for kind, part, body in material["seals"]),
        records={
            recovery.RECORDS: tuple(bytes(body) for body in material["recovery_sets"]),
            "kem": tuple(bytes(kem) for kem in material["kem"]),
        },
    )
    makers = (recovery.seals_of_epoch, glass.seals_of_epoch)
    return [seal for make in makers for seal in make(sealing, keys, keyring.signer, now)]


async def _granted_anew(
    keyring: Keyring, rows: Sequence[Row], keys: epochs.EpochKeys, without: frozenset[str], now: datetime
) -> tuple[list[Row], list[tuple[str, str]]]:
    given: list[Row] = []
    left_out: list[tuple[str, str]] = []
    for number, row in enumerate(rows, start=1):
        subject = str(row["person"] or f"{teams.SUBJECT}{row['team']}")
        if subject in without:
            left_out.append((subject, "left-out"))
        elif row["revoked"] or row["disabled"]:
            left_out.append((subject, "revoked"))
        else:
            try:
                again = _again(keyring, row, keys, now)
            except CloisterError as refused:
                left_out.append((subject, refused.reason or "refused"))
            else:
                given += again
        if number % SIGNED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return given, left_out


def _again(keyring: Keyring, row: Row, keys: epochs.EpochKeys, now: datetime) -> list[Row]:
    """The same grant at the new epoch; nothing for one that has ended."""
    old = grants.authorised_grant(bytes(row["body"]), keyring.offices, now)
    if old.zone != keys.zone:
        raise Forged(Refusal.SWAPPED)
    if now > old.live_until:
        return []
    keyring.offices.access_key(keyring.signer.id, zone=old.zone, now=now, right=old.right)
    certificate, kem_public = _whom(keyring, row, old, now)
    body = grants.sign_grant(
        keyring.signer,
        trust=keyring.trust_id,
        zone=old.zone,
        epoch=keys.epoch,
        floor=old.floor,
        person=old.person,
        certificate=certificate,
        kem_public=kem_public,
        zone_key=keys.key,
        right=old.right,
        not_before=old.not_before,
        live_until=old.live_until,
        reason=old.reason,
        seq=old.seq + 1,
        previous=old.hash,
    )
    terms: dict[str, Any] = {"right": str(old.right), "not_before": old.not_before, "live_until": old.live_until}
    return [grant_row(body, zone=old.zone, subject=old.person, seq=old.seq + 1, epoch=keys.epoch, **terms)]


def _whom(keyring: Keyring, row: Row, old: grants.Grant, now: datetime) -> tuple[bytes, bytes]:
    """Whom to seal to: exactly the certificate that the grant names; of a team the newest generation, whose older key may be known
    to people who have left it."""
    if old.person.startswith(teams.SUBJECT):
        team = teams.verified_team(bytes(row["team_body"] or b""), keyring.offices)
        if team.subject != old.person:
            raise Forged(Refusal.SWAPPED)
        keyring.offices.access_key(team.signer, zone=old.zone, now=team.made, right=old.right)
        return team.hash, team.kem_public
    found, kem = keyring.offices.certificates.valid(old.certificate, now), bytes(row["kem_public"] or b"")
    if found.kem_digest != algorithms.sha256(kem):
        raise Forged(Refusal.CERTIFICATE_OTHER_KEYS)
    return found.hash, kem
