"""Targets behind a signature: the fuzzer chooses the body, a known key signs it, and the reader of that object must cope.

Who signs may be a genuine officer with a faulty program, or a hostile one. Half of the inputs are a body as they stand, half are
a list of changes to a genuine body: field, kind of value, value.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from cloister.base.errors import CloisterError, Corrupt
from cloister.base.secret import Secret
from cloister.offices import ceremony
from cloister.offices import glass_letters as letters
from cloister.records import sealed_in as ingest
from cloister.zones import (
    Keyring,
    TrustMaterial,
    algorithms,
    audit_keys,
    bundle,
    commits,
    envelope,
    epochs,
    glass,
    grants,
    inclusion,
    recovery,
    restores,
    revocations,
    teams,
)
from cloister.zones.cbor import encoded
from cloister.zones.certificates import Certificates, Certified, TrustRoots
from fuzz import seeds

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
CHANGES_MAX = 4


def key(first: int) -> bytes:
    return bytes(range(first, first + 32))


class Trust:
    """The small trust of the vectors, whose keys are known."""

    def __init__(self) -> None:
        given = next(one for one in seeds.given("keyring") if one["grants"])
        ders = [bytes.fromhex(der) for der in given["certificates"]]
        self.roots = TrustRoots(given["trust"], bytes.fromhex(given["certificate_root"]), bytes.fromhex(given["access_root"]))
        self.certificates = Certificates(self.roots, ders)
        self.offices = grants.Offices(self.roots, self.certificates, [bytes.fromhex(blob) for blob in given["mandates"]])
        self.trust_id = given["trust"]
        root, officer, access, doctor = (algorithms.sha256(der).hex() for der in ders)
        self.signers = {"root/access": key(20), officer: key(22), access: key(24), doctor: key(8)}
        zone_keys = {name: [bytes.fromhex(blob) for blob in given[name]] for name in ("mandates", "grants", "zones", "epochs")}
        doctors = bundle.Bundle("doctor", Secret(key(7)), Secret(key(8)))
        self.keyring = Keyring.open(bundle=doctors, trust=self.roots, material=TrustMaterial(certificates=ders, **zone_keys), now=NOW)
        self.access, self.officer, self.doctor, self.root = access, officer, doctor, root

    def author(self, hashed: bytes) -> Certified:
        return self.certificates.chained(hashed)

    def author_at(self, hashed: bytes, moment: datetime) -> Certified:
        return self.certificates.valid(hashed, moment)


trust = cache(Trust)


def changed(body: dict[str, Any], data: bytes) -> dict[str, Any]:
    """The body with up to four fields replaced, added or removed, as the bytes say."""
    names = sorted(body)
    at = 0
    body = dict(body)
    for _ in range(CHANGES_MAX):
        if at + 3 > len(data):
            break
        field, kind, size = data[at : at + 3]
        value = data[at + 3 : at + 3 + size]
        at += 3 + size
        name = names[field % len(names)] if field < 0xF0 else value[:8].decode("utf-8", "replace")
        number = int.from_bytes(value[:9], "big", signed=True)
        kinds: tuple[Callable[[], Any], ...] = (
            lambda value=value: value,
            lambda value=value: value.decode("utf-8", "replace"),
            lambda number=number: max(-(2**64), min(number, 2**64 - 1)),
            lambda: None,
            lambda: True,
            lambda value=value: list(value[:4]),
            lambda value=value: {value[:4].hex(): value},
            lambda value=value: [value.decode("utf-8", "replace")] * 2,
        )
        if kind == 0xFF:
            body.pop(name, None)
        else:
            body[name] = kinds[kind % len(kinds)]()
    return body


def enveloped(label: str, signer: str, data: bytes) -> bytes:
    """data[0] even: a body as it stands; odd: changes to one of the genuine bodies."""
    body, genuine = data[1:], seeds.bodies(label)
    if data[:1] and data[0] & 1 and genuine:
        body = encoded(changed(genuine[(data[0] >> 1) % len(genuine)], data[1:]))
    signature = algorithms.sign(trust().signers[signer], encoded([label, 1, signer, body]))
    return encoded([label, 1, signer, body, signature])


def grant(blob: bytes) -> None:
    found = grants.authorised_grant(blob, trust().offices, NOW)
    grants.check_moment(found, NOW)
    found.open_key(algorithms.KemPrivate(key(7)))


def commit(blob: bytes) -> None:
    commits.verified_commit(blob, trust(), dossier="0193fd6e-0000-7000-8000-000000000001")


def zone(blob: bytes) -> None:
    found = epochs.verified_zone(blob, trust().roots.access_root_public, trust().trust_id)
    glass.policy_of(found.policy)


def content(blob: bytes) -> None:
    ingest.verified_content(blob, trust().certificates, {"ingest": {"doctor": trust().doctor}}, trust().trust_id, NOW)


def countersignature(blob: bytes) -> None:
    genuine = next(iter(seeds.objects()[grants.GRANT_LABEL]))
    revocations.check_countersigned(grants.authorised_grant(genuine, trust().offices, NOW), [blob], trust().offices, NOW)


def canary(blob: bytes) -> None:
    body = envelope.peek_body(blob)
    zone, epoch = body.get("zone"), body.get("epoch")
    if isinstance(zone, str) and isinstance(epoch, int) and 0 < epoch < 2**31:
        recovery.open_canary(blob, epochs.EpochKeys(zone, epoch, Secret(key(31))), trust().offices)


@cache
def opening() -> ceremony.Opening | None:
    for blob in seeds.objects().get(ceremony.LABEL, ()):
        with contextlib.suppress(CloisterError):
            return ceremony.verified_opening(blob, trust().keyring)
    return None


def ceremonial(blob: bytes) -> None:
    with contextlib.suppress(CloisterError):
        ceremony.verified_opening(blob, trust().keyring)
    of = opening()
    if of is not None:
        said = ceremony.verified_statement(blob, trust().keyring, {"doctor": "access-officer"}, of)
        ceremony.walked(of, [said], NOW)


@cache
def asked() -> letters.Letter:
    genuine = next(iter(seeds.objects()[letters.REQUEST_LABEL]))
    return letters.verified_letter(trust().keyring, genuine, NOW)


def request(blob: bytes) -> None:
    letters.reason_of(trust().keyring, letters.verified_letter(trust().keyring, blob, NOW))


def record(data: bytes) -> None:
    """Proofs as a gate sends them, in a form that only a gate of another mind would send."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Corrupt("no JSON") from None
    if isinstance(body, dict):
        genuine = seeds.given("on-record")[0]
        body = {name: _raw(one) for name, one in {**genuine["proofs"], **body}.items()}
        inclusion.included(body, genuine["trust"], audit_keys.AuditPin(bytes.fromhex(genuine["public"])), NOW)


def _raw(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 64:
        with contextlib.suppress(ValueError):
            return bytes.fromhex(value)
    if isinstance(value, dict):
        return {name: _raw(one) for name, one in value.items()}
    return [_raw(one) for one in value] if isinstance(value, list) else value


def policy(data: bytes) -> None:
    """A zone's policy, signed by an officer: what break-glass and ingest make of it."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Corrupt("no JSON") from None
    if isinstance(body, dict):
        with contextlib.suppress(CloisterError):
            glass.policy_of(body)
        message = next(iter(seeds.objects().get(ingest.LABEL, ())), None)
        if message is not None:
            ingest.verified_content(message, trust().certificates, body, trust().trust_id, NOW)


def half(data: bytes) -> None:
    recovery.unpacked_half(data)


OBJECTS: dict[str, tuple[str, str, Callable[[bytes], Any]]] = {
    "mandate": (grants.MANDATE_LABEL, "root", lambda blob: grants.verified_mandate(blob, trust().roots)),
    "grant": (grants.GRANT_LABEL, "access", grant),
    "zone": (epochs.ZONE_LABEL, "root", zone),
    "epoch": (epochs.EPOCH_LABEL, "root", lambda blob: epochs.verified_epoch(blob, trust().roots.access_root_public, trust().trust_id)),
    "team": (teams.TEAM_LABEL, "access", lambda blob: teams.verified_team(blob, trust().offices)),
    "membership": (teams.MEMBERSHIP_LABEL, "access", lambda blob: teams.verified_membership(blob, trust().offices)),
    "revocation": (revocations.REVOCATION_LABEL, "access", lambda blob: revocations.verified_revocation(blob, trust().offices)),
    "certificate-revocation": (
        revocations.REVOCATION_LABEL,
        "officer",
        lambda blob: revocations.verified_revocation(blob, trust().offices),
    ),
    "glass-part": (glass.LABEL, "access", lambda blob: glass.verified_part(blob, trust().offices)),
    "glass-request": (letters.REQUEST_LABEL, "doctor", request),
    "glass-approval": (letters.APPROVAL_LABEL, "access", lambda blob: letters.verified_approval(trust().keyring, blob, asked(), NOW)),
    "glass-review": (letters.REVIEW_LABEL, "access", lambda blob: letters.verified_review(trust().keyring, blob, "zone-1")),
    "restore": (restores.LABEL, "access", lambda blob: restores.verified_restore(blob, trust().offices, NOW)),
    "recovery-escrow": (recovery.ESCROW_LABEL, "officer", lambda blob: recovery.verified_escrow(blob, trust().offices)),
    "recovery-set": (recovery.SET_LABEL, "root", lambda blob: recovery.verified_set(blob, trust().offices)),
    "recovery-seal": (recovery.SEAL_LABEL, "access", lambda blob: recovery.verified_seal(blob, trust().offices)),
    "recovery-canary": (recovery.CANARY_LABEL, "access", canary),
    "ceremony": (ceremony.LABEL, "doctor", ceremonial),
    "countersignature": (revocations.COUNTERSIGNATURE_LABEL, "access", countersignature),
    "commit": (commits.COMMIT_LABEL, "doctor", commit),
    "ingest": (ingest.LABEL, "doctor", content),
    "share": (ingest.SHARE_LABEL, "doctor", lambda blob: ingest.verified_share(blob, trust().certificates, trust().trust_id, NOW)),
}


def targets() -> dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]]:
    found: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {}
    for name, (label, who, read) in OBJECTS.items():

        def run(data: bytes, label: str = label, who: str = who, read: Callable[[bytes], Any] = read) -> None:
            signer = "root/access" if who == "root" else getattr(trust(), who)
            blob = enveloped(label, signer, data)
            read(blob)
            assert encoded([*envelope._split(blob)]) == blob, "accepted, and not the one encoding"

        def corpus(label: str = label) -> list[bytes]:
            bodies = [b"\x00" + encoded(body) for body in seeds.bodies(label)]
            places = range(0, 14)
            return [*bodies, *(bytes((1, place, kind, 2, 0, 7)) for place in places for kind in range(8)), b"\x01" + bytes((0, 0xFF, 0))]

        found[name] = (run, corpus)
    found["on-record"] = (record, lambda: [json.dumps(one["proofs"]).encode() for one in seeds.given("on-record")])
    found["policy"] = (policy, lambda: [json.dumps(one).encode() for one in POLICIES])
    found["recovery-half"] = (half, lambda: [encoded(dict.fromkeys(("context", "ephemeral", "ciphertext", "shared", "sealed"), bytes(32)))])
    return found


POLICIES = [
    {},
    {"ingest": {"doctor": "00"}},
    {"glass": {"approvers": 1, "seconds": 3600, "right": "read", "askers": {"doctor": "00" * 32}, "pool": {"nurse": "00" * 32}}},
    {"glass": []},
    {"ingest": []},
]
