"""Certifying: IT's certificate officer registers people, compares fingerprints, certifies exactly those public keys, and revokes.
Spec: docs/spec/zones.md 7, 18, 19.

A certificate opens nothing: the access officers grant to it. Who lost everything is enrolled anew, with new keys; the old
certificate ends with it, and every grant has to be given again, so that this office alone lets nobody in.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.errors import Conflict, Denied, Invalid
from cloister.base.wire import Caller
from cloister.identity import sign_in
from cloister.offices import application
from cloister.offices.granting import revoked
from cloister.zones import Forged, Keyring, Refusal, grants

CODE_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: nothing that is read for something else
CODE_GROUPS: Final = 4
CODE_GROUP: Final = 5  # 100 bits in all
CODE_HOURS: Final = 72
CERTIFICATE_DAYS: Final = 1095
RENEW_DAYS: Final = 60  # before its end a certificate is shown as one to renew


@dataclass(frozen=True, slots=True)
class Registered:
    """Shown once, handed over by hand; the store keeps the code's hash only."""

    applicant: str
    person: str
    sign_in: str
    code: str = field(repr=False)
    hours: int


def new_code() -> str:
    return "-".join("".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_GROUP)) for _ in range(CODE_GROUPS))


def code_hash(code: str) -> bytes:
    """Of the code as it was meant: capitals, no blanks or hyphens, O for 0, I and L for 1."""
    plain = "".join(letter for letter in code.upper() if letter.isalnum()).translate(str.maketrans("OIL", "011"))
    return hashlib.sha256(b"cloister/enrolment-code/v1|" + plain.encode("utf-8", "replace")).digest()


async def register(
    gate: Caller, *, sign_in_name: str, name: str, role: str, hospital: str | None, language: str = "en", hours: int = CODE_HOURS
) -> Registered:
    """Somebody new: a one-time code with which to bring keys."""
    if not 0 < len(name.strip()) <= 64:
        raise Invalid("A name has 1 to 64 characters.", hint="It stands in the certificate.", reason="name")
    wanted, code = sign_in.normalised(sign_in_name), new_code()
    made = await gate.call(
        "applicant_register", sign_in=wanted, name=name.strip(), role=role, hospital=hospital or None, language=language,
        code=code_hash(code), hours=hours,
    )  # fmt: skip
    return Registered(made["id"], made["person"], wanted, code, hours)


async def register_again(gate: Caller, *, person: str, hours: int = CODE_HOURS) -> Registered:
    """The way back for somebody who has lost every unlocker: new keys, a new certificate; nothing is reset."""
    row = await gate.call("office_person", person=person)
    if row["kind"] != "person":
        raise Invalid("Programs are not enrolled here.", hint="Their secret is made with their identity.", reason="program")
    code = new_code()
    made = await gate.call(
        "applicant_register", sign_in=row["sign_in"], name=row["name"], role=row["role"], hospital=row["hospital"],
        language=row["language"], code=code_hash(code), hours=hours, person=person,
    )  # fmt: skip
    return Registered(made["id"], person, row["sign_in"], code, hours)


async def answered(gate: Caller, *, trust: str, applicant: str) -> tuple[dict[str, Any], application.Application]:
    """The applicant's row, and what was brought, verified here: the words of it are to be compared."""
    row = await gate.call("applicant", id=applicant)
    if row["state"] != "answered":
        raise Conflict(
            "This applicant has not brought any keys yet.", hint="Wait until the enrolment page was used.", reason="not-answered"
        )
    brought = application.checked(
        trust=trust,
        applicant=applicant,
        person=row["person"],
        challenge=bytes(row["challenge"]),
        kem_public=bytes(row["kem_public"]),
        sign_public=bytes(row["sign_public"]),
        sealed_private=bytes(row["sealed_private"]),
        unlockers=row["unlockers"],
        proof=bytes(row["proof"]),
    )
    return row, brought


async def certify(keyring: Keyring, gate: Caller, *, applicant: str, words: str, now: datetime, days: int = CERTIFICATE_DAYS) -> str:
    """The certificate for exactly the keys whose words the officer has heard; the person's id.

    For a person who exists already, every older certificate is revoked in the same act.
    """
    row, brought = await answered(gate, trust=keyring.trust_id, applicant=applicant)
    if " ".join(words.lower().split()) != brought.words:
        raise Denied(
            "These are not the words of these keys.",
            hint="Compare once more; if they differ, withdraw the applicant.",
            reason="fingerprint",
        )
    if row["role"] == "certificate-officer":
        raise Denied(
            "A certificate officer is certified by the root.", hint="On the server: cloister office mandate certificate", reason="root-only"
        )
    if brought.person == keyring.person:
        raise Denied("An officer does not certify oneself.", hint="Ask another certificate officer.", reason="certify-self")
    office = grants.Office.ACCESS if row["role"] == "access-officer" else None
    der = keyring.certify(
        person=brought.person, name=row["name"], sign_public=brought.sign_public, kem_public=brought.kem_public, office=office, days=days,
        now=now,
    )  # fmt: skip
    objects: list[dict[str, Any]] = []
    if row["renews"]:
        existing = await gate.call("office_person", person=brought.person)
        objects += [
            revoked(keyring, "certificate", bytes(one["hash"]), brought.person, "Enrolled with new keys", now)
            for one in existing["certificates"]
            if one["revoked"] is None
        ]
    objects.append({"kind": "certificate", "body": der, "person": brought.person, "applicant": applicant})
    await gate.call("trust_put", objects=objects)
    return brought.person


async def renew(keyring: Keyring, gate: Caller, *, person: str, now: datetime, days: int = CERTIFICATE_DAYS) -> None:
    """A further certificate for the keys that the person has, before the old one ends. Grants are then renewed by an access officer."""
    row = await gate.call("office_person", person=person)
    keyring.add_certificates(bytes(one["der"]) for one in row["certificates"])
    if row["certificate"] is None:
        raise Denied("This person has no keys yet.", hint="Enrol them first.", reason="no-keys")
    present = keyring.author_at(bytes(row["certificate"]), now)  # what the store says of the keys is believed only against this
    if present.person != person or hashlib.sha256(bytes(row["kem_public"])).digest() != present.kem_digest:
        raise Denied(
            "The stored keys are not those that were certified.", hint="Enrol this person anew.", reason=Refusal.CERTIFICATE_OTHER_KEYS
        )
    if present.office == grants.Office.CERTIFICATE:
        raise Denied(
            "A certificate officer is certified by the root.", hint="On the server: cloister office mandate certificate", reason="root-only"
        )
    der = keyring.certify(
        person=person, name=present.name, sign_public=present.sign_public, kem_public=bytes(row["kem_public"]), office=present.office,
        days=days, now=now,
    )  # fmt: skip
    await gate.call("trust_put", objects=[{"kind": "certificate", "body": der, "person": person}])


async def revoke(keyring: Keyring, gate: Caller, *, person: str, reason: str, now: datetime) -> int:
    """Every certificate of this person ends now, and so do the sessions; how many. What was written before stays verified."""
    row = await gate.call("office_person", person=person)
    if person == keyring.person:
        raise Denied("An officer does not revoke oneself.", hint="Ask another certificate officer.", reason="revoke-self")
    objects = [
        revoked(keyring, "certificate", bytes(one["hash"]), person, reason, now) for one in row["certificates"] if one["revoked"] is None
    ]
    if not objects:
        raise Conflict("This person has no certificate that could be revoked.", hint="Load the page again.", reason="already-revoked")
    await gate.call("trust_put", objects=objects)
    return len(objects)


def term(row: Mapping[str, Any], keyring: Keyring, now: datetime) -> tuple[str, datetime | None]:
    """How a person's certificate stands, and until when: none, revoked, expired, soon, valid, or refused."""
    if row["certificate"] is None:
        return "none", None
    if row.get("revoked") is not None:
        return "revoked", None
    keyring.add_certificates([bytes(row["der"])])
    try:
        found = keyring.author(bytes(row["certificate"]))
    except (Denied, Forged):
        return "refused", None
    if now > found.not_after:
        return "expired", found.not_after
    return ("soon" if found.not_after - now < timedelta(days=RENEW_DAYS) else "valid"), found.not_after
