"""How what people say and sign is opened here: break-glass letters (section 21), words on a restored database (14.6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from certificates import moment
from revocations import ms, offices

from cloister.offices import glass_letters as letters
from cloister.zones import algorithms, certificates, envelope, grants, restores


@dataclass(frozen=True)
class Reader:
    """As much of a keyring as a letter asks for."""

    offices: grants.Offices
    person: str = ""
    kem: algorithms.KemPrivate | None = None

    @property
    def trust_id(self) -> str:
        return self.offices.trust.trust_id

    def author(self, hashed: bytes) -> certificates.Certified:
        return self.offices.certificates.chained(hashed)

    def author_at(self, hashed: bytes, at: datetime) -> certificates.Certified:
        return self.offices.certificates.valid(hashed, at)

    def open_sealed(self, sealed: bytes, info: bytes) -> bytes:
        assert self.kem is not None
        return self.kem.open(sealed, info)


def request(given: dict[str, Any]) -> dict[str, Any]:
    reader = Reader(offices(given), given["person"], algorithms.KemPrivate(bytes.fromhex(given["kem_seed"])))
    found = letters.verified_letter(reader, bytes.fromhex(given["blob"]), moment(given["now"]))
    names = ("zone", "person", "session", "ephemeral", "code")
    return {**{name: getattr(found, name) for name in names}, "at": ms(found.at), "reason": letters.reason_of(reader, found)}


def approval(given: dict[str, Any]) -> dict[str, Any]:
    reader, now, blob = Reader(offices(given)), moment(given["now"]), bytes.fromhex(given["blob"])
    asked = letters.verified_letter(reader, bytes.fromhex(given["letter"]), now)
    found = letters.verified_approval(reader, blob, asked, now)
    share = letters.share_of(algorithms.KemPrivate(bytes.fromhex(given["ephemeral_seed"])), found).reveal()
    says = {"person": found.person, "epoch": found.epoch, "set": found.set, "place": found.place}
    return {**says, "at": envelope.peek_body(blob)["at"], "share": share}


def review(given: dict[str, Any]) -> dict[str, Any]:
    found = letters.verified_review(Reader(offices(given)), bytes.fromhex(given["blob"]), given["zone"])
    return {"request": found.request, "officer": found.officer, "verdict": found.verdict, "at": ms(found.at)}


def restore(given: dict[str, Any]) -> dict[str, Any]:
    found = restores.verified_restore(bytes.fromhex(given["blob"]), offices(given), moment(given["now"]))
    heads = {"lost_size": found.lost[0], "lost_root": found.lost[1], "found_size": found.found[0], "found_root": found.found[1]}
    office = "certificate" if found.certifies else "access"
    return {**heads, "reason": found.reason, "at": ms(found.at), "person": found.person, "office": office}


FORMATS = {"glass-request": request, "glass-approval": approval, "glass-review": review, "restore": restore}
