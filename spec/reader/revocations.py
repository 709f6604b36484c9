"""Section 18: revocations and second signatures."""

from __future__ import annotations

from typing import Any

from spec.reader.algorithms import sha256
from spec.reader.encoding import body, encode
from spec.reader.offices import MS, Offices, apart, opened_grant, trusted
from spec.reader.refused import Refused, need
from spec.reader.trust import opened, split

KINDS = {"certificate", "grant", "membership"}


def public_of(blob: bytes, offices: Offices) -> bytes:
    if split(blob)[2] == "root/certificate":
        return bytes.fromhex(offices.given["certificate_root"])
    return offices.signer(blob)[0]


def in_office(signer: str, offices: Offices, now: int) -> None:
    """An access officer mandated then, for whichever zone; or the access root."""
    if signer == "root/access":
        return
    need(signer != "root/certificate", "malformed")
    officer = offices.certificates.valid(bytes.fromhex(signer), now) or offices.certificates.chained(bytes.fromhex(signer))
    mine = [one for one in offices.mandates if one["office"] == "access" and one["certificate"] == officer.hash]
    need(bool(mine), "mandate-missing")
    apart(offices.certificates, officer)
    need(any(one["person"] == officer.person and now <= one["not_after"] for one in mine), "mandate-expired")


def revocation(given: dict[str, Any]) -> dict[str, Any]:
    offices, blob = Offices(given), bytes.fromhex(given["blob"])
    found = opened("cloister/revocation/v1", blob, public_of(blob, offices))
    trusted(found, offices.trust)
    body(found, trust=str, kind=str, target=32, person=(str, None), reason=str, at=MS)
    need(found["kind"] in KINDS, "malformed")
    signer = split(blob)[2]
    if found["kind"] != "certificate":
        in_office(signer, offices, found["at"])
    elif signer != "root/certificate":
        need(signer != "root/access", "mandate-missing")
        offices.certificates.valid(bytes.fromhex(signer), found["at"])
        need(offices.certificates.chained(bytes.fromhex(signer)).office == "certificate", "mandate-missing")
    return {name: value for name, value in found.items() if name != "trust"}


def terms(grant: dict[str, Any]) -> bytes:
    names = ("zone", "person", "certificate", "right", "floor", "live_until")
    return sha256(encode(["cloister/grant-terms/v1", *(grant[name] for name in names)]))


def countersigned(given: dict[str, Any]) -> dict[str, Any]:
    offices, blob, now = Offices(given), bytes.fromhex(given["grant"]), given["now"]
    grant = opened_grant(blob, offices, now)
    if split(blob)[2] != "root/access":
        first = offices.certificates.chained(bytes.fromhex(split(blob)[2])).person
        need(any(agrees(bytes.fromhex(one), grant, first, offices, now) for one in given["blobs"]), "grant-one-officer")
    return {"terms": terms(grant)}


def agrees(blob: bytes, grant: dict[str, Any], first: str, offices: Offices, now: int) -> bool:
    """Whether this is another officer's word for these terms; what does not verify is nobody's."""
    try:
        found = opened("cloister/countersignature/v1", blob, public_of(blob, offices))
        body(found, trust=str, terms=32, at=MS)
        public, officer = offices.signer(blob)
        offices.check(officer, grant["zone"], now, grant["right"])
    except Refused:
        return False
    if found["trust"] != offices.trust or found["terms"] != terms(grant):
        return False
    return officer is None or officer.person not in (first, grant["person"])


FORMATS = {"revocation": revocation, "countersigned": countersigned}
