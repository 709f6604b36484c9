"""A resource that is to be written: checked, its search values extracted, its bytes ready but for version and time.

The dossier, the version and the moment are known only when the write is built (commit.py), perhaps more than
once, because another session may have written first; nothing here is done twice then.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from cloister.base.clock import iso
from cloister.records.fhir.text import encode  # keeps the digits of a decimal
from cloister.records.search import Values, extract
from cloister.zones import algorithms

CONTENT_BYTES: Final = 16


class Draft:
    """`content` is the digest by which a repeated import recognises what is stored already."""

    __slots__ = ("type", "id", "values", "content", "about", "_head", "_tail")

    def __init__(self, resource: dict[str, Any], id: str) -> None:
        """The resource must have been checked. Its own `id`, meta.versionId and meta.lastUpdated do not count."""
        self.type: str = resource["resourceType"]
        self.id = id
        rest = {name: value for name, value in resource.items() if name not in _OUTSIDE}
        meta = resource.get("meta")
        if meta:
            meta = {name: value for name, value in meta.items() if name not in _SERVER}
        self._head = f'{{"resourceType":"{self.type}","id":"{id}","meta":{{'.encode() + (encode(meta)[1:-1] + b"," if meta else b"")
        self._tail = b"}," + encode(rest)[1:] if rest else b"}}"
        self.content = algorithms.sha256(self._head + self._tail)[:CONTENT_BYTES]
        self.values: Values = extract(resource)
        self.about: str | None = patient_of_bytes(resource) if self.type == "Binary" else None

    def raw(self, version: int, updated: bytes) -> bytes:
        """The JSON as it is sealed and served."""
        return b'%b"versionId":"%d","lastUpdated":"%b"%b' % (self._head, version, updated, self._tail)


def patient_of_bytes(resource: dict[str, Any]) -> str | None:
    """A Binary belongs in the record of the patient whom its securityContext names (binary.html#security); nothing else in it says."""
    reference = str(resource.get("securityContext", {}).get("reference", ""))
    return reference.partition("/_history/")[0] if reference.startswith("Patient/") else None


_OUTSIDE: Final = frozenset({"resourceType", "id", "meta"})
_SERVER: Final = frozenset({"versionId", "lastUpdated"})


def moment_of(milliseconds: int) -> bytes:
    """A FHIR instant."""
    return iso(datetime.fromtimestamp(milliseconds / 1000, UTC)).encode()
