"""How the format of section 7 is opened here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cloister.zones.certificates import Certificates, TrustRoots


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def revocations(given: dict[str, Any]) -> dict[bytes, datetime]:
    """Hash -> since when; one without a moment counts for ever."""
    return {bytes.fromhex(hashed): moment(since or 0) for hashed, since in given.get("revoked", {}).items()}


def roots(given: dict[str, Any]) -> TrustRoots:
    return TrustRoots(given["trust"], bytes.fromhex(given["certificate_root"]), bytes.fromhex(given["access_root"]))


def known(given: dict[str, Any]) -> Certificates:
    return Certificates(roots(given), [bytes.fromhex(der) for der in given["certificates"]], revocations(given))


def certificate(given: dict[str, Any]) -> dict[str, Any]:
    found = known(given).valid(bytes.fromhex(given["hash"]), moment(given["now"]))
    return {"person": found.person, "name": found.name, "office": found.office, "public": found.sign_public, "kem": found.kem_digest}


FORMATS = {"certificate": certificate}
