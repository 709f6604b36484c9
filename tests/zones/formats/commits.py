"""How the formats of section 12 are opened here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from certificates import known
from dossiers import key

from cloister.zones import commits
from cloister.zones.certificates import Certified


class Authors:
    """What a keyring knows of authors."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.certificates, self.trust_id = known(given), given["trust"]

    def author(self, hashed: bytes) -> Certified:
        return self.certificates.chained(hashed)

    def author_at(self, hashed: bytes, moment: datetime) -> Certified:
        return self.certificates.valid(hashed, moment)


def opened(given: dict[str, Any]) -> commits.Commit:
    return commits.verified_commit(bytes.fromhex(given["blob"]), Authors(given), dossier=given["dossier"], key=key(given))


def commit(given: dict[str, Any]) -> dict[str, Any]:
    found = opened(given)
    names = ("dossier", "seq", "previous", "count", "versions", "parts", "key_no", "commitment", "hash")
    return {"author": found.author.person, "time": found.milliseconds, **{name: getattr(found, name) for name in names}}


def chain(given: dict[str, Any]) -> dict[str, Any]:
    seen = given["known"]
    walked = commits.verify_chain(
        [bytes.fromhex(blob) for blob in given["commits"]],
        Authors(given),
        dossier=given["dossier"],
        key=key(given),
        known=None if seen is None else (seen["seq"], bytes.fromhex(seen["hash"])),
    )
    return {"hashes": [one.hash for one in walked]}


def versions(given: dict[str, Any]) -> dict[str, Any]:
    entries = [
        commits.version_entry(one["type"], one["id"], one["version"], one["deleted"], bytes.fromhex(one["sealed"])) for one in given["rows"]
    ]
    commits.check_versions(opened(given), entries)
    return {}


def parts(given: dict[str, Any]) -> dict[str, Any]:
    commits.check_parts(opened(given), {int(number): bytes.fromhex(sealed) for number, sealed in given["parts"].items()})
    return {}


FORMATS = {"commit": commit, "chain": chain, "commit-versions": versions, "commit-parts": parts}
