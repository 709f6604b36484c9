"""How the formats of section 18 are opened here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from certificates import known, moment, roots

from cloister.zones import grants, revocations


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def offices(given: dict[str, Any]) -> grants.Offices:
    return grants.Offices(roots(given), known(given), [bytes.fromhex(blob) for blob in given["mandates"]])


def revocation(given: dict[str, Any]) -> dict[str, Any]:
    found = revocations.verified_revocation(bytes.fromhex(given["blob"]), offices(given))
    return {"kind": str(found.kind), "target": found.target, "person": found.person, "reason": found.reason, "at": ms(found.at)}


def countersigned(given: dict[str, Any]) -> dict[str, Any]:
    held, now = offices(given), moment(given["now"])
    grant = grants.authorised_grant(bytes.fromhex(given["grant"]), held, now)
    revocations.check_countersigned(grant, [bytes.fromhex(blob) for blob in given["blobs"]], held, now)
    return {"terms": revocations.terms_of(grant)}


FORMATS = {"revocation": revocation, "countersigned": countersigned}
