"""A resource that is to be written: checked, its search values extracted, its bytes ready but for version and time.

The dossier, the version and the moment are known only when the write is built (commit.py), perhaps more than
once, because another session may have written first; nothing here is done twice then.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Self

from cloister.base.clock import iso
from cloister.records.fhir.text import encode  # keeps the digits of a decimal
from cloister.records.search import Values, extract, patient_reference
from cloister.zones import algorithms

CONTENT_BYTES: Final = 16


class Draft:
    """`content` is the digest by which a repeated import recognises what is stored already; `patient` is the reference
    of the patient in whose dossier it belongs, if it is about one."""

    __slots__ = ("_head", "_tail", "content", "id", "patient", "type", "values")

    def __init__(self, resource: dict[str, Any], id: str) -> None:
        """The resource must have been checked. Its own `id`, meta.versionId and meta.lastUpdated do not count."""
        self.type: str = resource["resourceType"]
        self.id = id
        rest = {name: value for name, value in resource.items() if name not in _OUTSIDE}
        self._head = head_of(self.type, id, resource.get("meta"))
        self._tail = b"}," + encode(rest)[1:] if rest else b"}}"
        self.content = algorithms.sha256(self._head + self._tail)[:CONTENT_BYTES]
        self.values: Values = extract(resource)
        self.patient: str | None = _patient_of(self.type, id, self.values, resource)

    @classmethod
    def checked(cls, type: str, id: str, head: bytes, tail: bytes, values: Values, resource: dict[str, Any]) -> Self:
        """Of what was read, checked and written by its elements (elements.py)."""
        made = cls.__new__(cls)
        made.type, made.id, made.values, made._head, made._tail = type, id, values, head, tail
        made.content = algorithms.sha256(head + tail)[:CONTENT_BYTES]
        made.patient = _patient_of(type, id, values, resource)
        return made

    def raw(self, version: int, updated: bytes) -> bytes:
        """The JSON as it is sealed and served."""
        return b'%b"versionId":"%d","lastUpdated":"%b"%b' % (self._head, version, updated, self._tail)


def head_of(type: str, id: str, meta: dict[str, Any] | None) -> bytes:
    """How the JSON begins, up to what the server itself says in `meta`."""
    kept = {name: value for name, value in meta.items() if name not in _SERVER} if meta else None
    return f'{{"resourceType":"{type}","id":"{id}","meta":{{'.encode() + (encode(kept)[1:-1] + b"," if kept else b"")


def _patient_of(type: str, id: str, values: Values, resource: dict[str, Any]) -> str | None:
    if type == "Patient":
        return f"Patient/{id}"
    about = patient_of_bytes(resource) if type == "Binary" else None
    return about if about is not None else patient_reference({"resourceType": type}, values)


def patient_of_bytes(resource: dict[str, Any]) -> str | None:
    """A Binary belongs in the record of the patient whom its securityContext names (binary.html#security); nothing else in it says."""
    reference = str(resource.get("securityContext", {}).get("reference", ""))
    return reference.partition("/_history/")[0] if reference.startswith("Patient/") else None


_OUTSIDE: Final = frozenset({"resourceType", "id", "meta"})
_SERVER: Final = frozenset({"versionId", "lastUpdated"})


def moment_of(milliseconds: int) -> bytes:
    """A FHIR instant."""
    return iso(datetime.fromtimestamp(milliseconds / 1000, UTC)).encode()
