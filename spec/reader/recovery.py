"""Section 24: recovery by three parties: public records, seals, the canary, software cards, and what is said in a ceremony."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from spec.reader.algorithms import Kem, expand, hkdf, mac, raw, sha256, unseal
from spec.reader.encoding import body, decode, encode, packed
from spec.reader.glass import signed_by_person
from spec.reader.offices import COUNT, MS, NUMBER, Offices, trusted
from spec.reader.refused import Refused, need
from spec.reader.trust import opened, split
from spec.reader.unlocking import passphrase_root, unwrapped

CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
POINT = {"P-256": 65, "P-384": 97}
CANARY_DOSSIER = "00000000-0000-8000-8000-63616e617279"
CANARY_TEXT = b"This canary was opened by three parties together."
DAY_MS = 86_400_000


def without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: one for name, one in found.items() if name not in names}


def escrow(given: dict[str, Any]) -> dict[str, Any]:
    (blob,) = raw(given, "blob")
    offices = Offices(given)
    if split(blob)[2] == "root/certificate":
        public = offices.certificates.root
    else:
        public, officer = offices.signer(blob)
        need(officer is not None and officer.office == "certificate", "mandate-missing")
    found = opened("cloister/recovery-escrow/v1", blob, public)
    trusted(found, offices.trust)
    body(found, trust=str, kem=1216, lattice=1184, made=MS)
    return {"kem": found["kem"], "lattice": found["lattice"]}


def opened_set(blob: bytes, offices: Offices) -> dict[str, Any]:
    public, officer = offices.signer(blob)
    found = opened("cloister/recovery-set/v1", blob, public)
    trusted(found, offices.trust)
    body(found, trust=str, set=str, number=COUNT, curve=str, card=bytes, lattice=1184, escrow=1216, made=MS)
    need(found["set"] in ("A", "B") and len(found["card"]) == POINT.get(found["curve"]), "malformed")
    offices.check(officer, None, found["made"])
    return found


def card_set(given: dict[str, Any]) -> dict[str, Any]:
    return without(opened_set(*raw(given, "blob"), Offices(given)), "trust")


def seal(given: dict[str, Any]) -> dict[str, Any]:
    blob, record, seeds, scalar = raw(given, "blob", "record", "escrow_seeds", "card")
    offices = Offices(given)
    of = opened_set(record, offices)
    public, officer = offices.signer(blob)
    found = opened("cloister/recovery-seal/v1", blob, public)
    trusted(found, offices.trust)
    body(found, trust=str, zone=str, epoch=NUMBER, set=str, of=32, made=MS, sealed=bytes)
    offices.check(officer, found["zone"], found["made"])
    need(found["of"] == sha256(record), "swapped")
    context = encode(["cloister/recovery-seal/v1", found["trust"], found["zone"], found["epoch"], found["of"]])
    inner = decode(Kem(seeds[:32]).open(found["sealed"], b"cloister/recovery-outer/v1|" + sha256(context)))
    body(inner, ephemeral=bytes, lattice=1088, sealed=bytes)
    secret = shared_point(of["curve"], scalar, inner["ephemeral"]) + MLKEM768PrivateKey.from_seed_bytes(seeds[32:]).decapsulate(
        inner["lattice"]
    )
    salt = sha256(encode([of["curve"], of["card"], of["lattice"], context, inner["ephemeral"], inner["lattice"]]))
    key = expand(mac(salt, secret), b"cloister/recovery-key/v1", 32)
    return {"zone": found["zone"], "epoch": found["epoch"], "zone_key": unseal(key, inner["sealed"], context)}


def shared_point(curve: str, scalar: bytes, point: bytes) -> bytes:
    """The x-coordinate."""
    try:
        there = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], point)
    except ValueError:
        raise Refused("tag") from None
    return ec.derive_private_key(int.from_bytes(scalar, "big"), CURVES[curve]).exchange(ec.ECDH(), there)


def canary(given: dict[str, Any]) -> dict[str, Any]:
    blob, key = raw(given, "blob", "zone_key")
    offices = Offices(given)
    public, officer = offices.signer(blob)
    found = opened("cloister/recovery-canary/v1", blob, public)
    trusted(found, offices.trust)
    body(found, trust=str, zone=str, epoch=NUMBER, wrapped=bytes, sealed=bytes, made=MS)
    need((found["zone"], found["epoch"]) == (given["zone"], given["epoch"]), "swapped")
    wrap = packed("cloister/wrap/v1", found["trust"], found["zone"], found["epoch"], CANARY_DOSSIER, 1)
    dossier_key = unseal(hkdf(key, "cloister/epoch/v1/wrap"), found["wrapped"], wrap)
    place = packed("cloister/version/v1", found["trust"], CANARY_DOSSIER, 1) + b"\x05Basic\x06canary" + bytes(7) + b"\x01" + bytes(4)
    text = unseal(hkdf(dossier_key, "cloister/dossier/v1/versions"), found["sealed"], place)
    need(text == CANARY_TEXT, "swapped")
    return {"text": text.decode()}


def software_card(given: dict[str, Any]) -> dict[str, Any]:
    file = given["file"] if isinstance(given["file"], dict) else json.loads(given["file"])
    kek = hkdf(passphrase_root(given["pin"].strip(), file["params"]), "cloister/unlock/v1/passphrase")
    sealed = base64.b64decode(file["sealed"])
    return {"scalar": unwrapped(kek, "recovery-card/" + file["public"], file["trust"], "passphrase", file["params"], sealed)}


def opening(given: dict[str, Any]) -> dict[str, Any]:
    (blob,) = raw(given, "blob")
    found, person = signed_by_person("cloister/ceremony/v1", blob, given)
    body(found, trust=str, purpose=str, zone=str, epoch=NUMBER, set=str, recipient=str, right=str, reason=str, at=MS, until=MS)
    need(found["purpose"] in ("recover", "drill") and 0 < found["until"] - found["at"] <= DAY_MS, "malformed")
    return {**without(found, "trust"), "person": person.person, "hash": sha256(blob)}


def statement(given: dict[str, Any]) -> dict[str, Any]:
    blob, ceremony = raw(given, "blob", "ceremony")
    found, person = signed_by_person("cloister/ceremony/v1", blob, given)
    body(found, trust=str, ceremony=32, step=str, at=MS, details=dict)
    need(found["step"] in ("join", "escrow", "card", "wrong-pin", "finish", "stop"), "malformed")
    need(found["ceremony"] == ceremony, "swapped")
    return {"step": found["step"], "person": person.person, "at": found["at"], "reason": found["details"].get("reason")}


FORMATS = {
    "recovery-escrow": escrow,
    "recovery-set": card_set,
    "recovery-seal": seal,
    "recovery-canary": canary,
    "software-card": software_card,
    "ceremony-opening": opening,
    "ceremony-statement": statement,
}
