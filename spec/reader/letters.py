"""Sections 21 and 14.6: what people say and sign about a zone opened in need, and about a restored database."""

from __future__ import annotations

from typing import Any

from spec.reader.algorithms import Kem, raw, sha256, unseal
from spec.reader.encoding import body, encode
from spec.reader.glass import signed_by_person, unsealed
from spec.reader.offices import COUNT, MS, NUMBER, Offices
from spec.reader.refused import need
from spec.reader.trust import split

KEM_PUBLIC = 1_216
CODES = {"life-threat", "no-colleague", "transfer", "patient-asks", "other"}
VERDICTS = {"justified", "not-justified", "unclear"}
REASON = "cloister/glass-reason/v1"


def letter(blob: bytes, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    found, author = signed_by_person("cloister/glass-request/v1", blob, given, given["now"])
    body(found, trust=str, zone=str, session=str, ephemeral=KEM_PUBLIC, code=str, at=MS, reason=bytes, keys=dict)
    need(found["code"] in CODES and all(isinstance(one, bytes) for one in found["keys"].values()), "malformed")
    return found, author.person


def request(given: dict[str, Any]) -> dict[str, Any]:
    blob, seed = raw(given, "blob", "kem_seed")
    found, person = letter(blob, given)
    says = {name: found[name] for name in ("zone", "session", "ephemeral", "code", "at")}
    mine, reason = found["keys"].get(given["person"]), None
    if mine is not None:
        signer, rest = split(blob)[2], {name: one for name, one in found.items() if name not in ("reason", "keys")}
        info = f"{REASON}|".encode() + sha256(encode([REASON, signer, rest]))
        reason = unseal(Kem(seed).open(mine, info), found["reason"], info).rstrip(b"\0").decode()
    return {**says, "person": person, "reason": reason}


def approval(given: dict[str, Any]) -> dict[str, Any]:
    blob, asked, seed = raw(given, "blob", "letter", "ephemeral_seed")
    wanted, asker = letter(asked, given)
    found, author = signed_by_person("cloister/glass-approval/v1", blob, given, given["now"])
    body(found, trust=str, letter=32, zone=str, epoch=NUMBER, set=16, place=range(1, 256), at=MS, sealed=bytes)
    need(found["letter"] == sha256(asked) and found["zone"] == wanted["zone"] and author.person != asker, "swapped")
    says = {name: found[name] for name in ("epoch", "set", "place", "at")}
    return {**says, "person": author.person, "share": unsealed(blob, found, Kem(seed))}


def review(given: dict[str, Any]) -> dict[str, Any]:
    (blob,) = raw(given, "blob")
    offices = Offices(given)
    found, author = signed_by_person("cloister/glass-review/v1", blob, given)
    body(found, trust=str, request=str, letter=32, verdict=str, at=MS)
    need(found["verdict"] in VERDICTS, "malformed")
    offices.check(author, given["zone"], found["at"])
    return {"request": found["request"], "officer": author.person, "verdict": found["verdict"], "at": found["at"]}


def restore(given: dict[str, Any]) -> dict[str, Any]:
    (blob,) = raw(given, "blob")
    found, officer = signed_by_person("cloister/restore/v1", blob, given, given["now"])
    size = range(COUNT.stop)
    body(found, trust=str, lost_size=size, lost_root=32, found_size=size, found_root=32, reason=str, at=MS)
    if officer.office != "certificate":
        Offices(given).check(officer, None, given["now"])
    says = {name: one for name, one in found.items() if name != "trust"}
    return {**says, "person": officer.person, "office": "certificate" if officer.office == "certificate" else "access"}


FORMATS = {"glass-request": request, "glass-approval": approval, "glass-review": review, "restore": restore}
