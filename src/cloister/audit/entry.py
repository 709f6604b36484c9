"""One thing that somebody did: the audit entry, and its one encoding. Spec: docs/spec/zones.md 14.

FHIR AuditEvent's nouns, flattened. An entry never holds a name, a query or a value of a record: ids only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloister.audit.tree import leaf_hash
from cloister.base.errors import Invalid

LABEL: Final = b"cloister/audit-entry/v1"
TEXT_BYTES_MAX: Final = 2_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to which object, when, from where, and how it ended."""

    at: datetime
    actor: str  # person id, or the name of a part ("door", "gate")
    session: str
    action: str  # read, search, create, update, delete, sign-in, look-ciphertext, ...
    kind: str  # what the object is: a resource type, "session", "grant", ...
    object: str  # its opaque id, or a dossier's
    outcome: str  # "success", "denied", "failed"
    reason: str = ""
    source: str = ""  # server, address or program

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise Invalid("An audit entry's time needs a time zone.")
        for name in TEXT_FIELDS:
            text = getattr(self, name)
            if not isinstance(text, str) or "\0" in text or len(_utf8(text)) > TEXT_BYTES_MAX:
                raise Invalid(f"The audit entry's {name} is not a short text.")

    def encoded(self) -> bytes:
        """Label, microseconds (8 bytes), then each text as 4-byte length and UTF-8: what the leaf hashes."""
        moment = (self.at.astimezone(UTC) - _EPOCH) // _MICROSECOND  # whole microseconds, as PostgreSQL keeps them
        parts = [LABEL, moment.to_bytes(8, "big", signed=True)]
        for name in TEXT_FIELDS:
            raw = _utf8(getattr(self, name))
            parts.append(len(raw).to_bytes(4, "big"))
            parts.append(raw)
        return b"".join(parts)

    def leaf(self) -> bytes:
        return leaf_hash(self.encoded())

    def as_wire(self) -> dict[str, Any]:
        """For base.wire: microseconds and texts."""
        moment = (self.at.astimezone(UTC) - _EPOCH) // _MICROSECOND
        return {"at": moment, **{name: getattr(self, name) for name in TEXT_FIELDS}}


TEXT_FIELDS: Final = tuple(field.name for field in fields(Entry) if field.name != "at")


def entry_from_wire(body: Any) -> Entry:
    """The entry that `as_wire` described; Invalid for anything else."""
    if not isinstance(body, dict) or not set(body) <= {"at", *TEXT_FIELDS}:
        raise Invalid("This is not an audit entry.")
    moment = body.get("at")
    if not isinstance(moment, int) or not 0 <= moment < 2**58:
        raise Invalid("The audit entry's time is not a number of microseconds.")
    texts = {name: body.get(name, "") for name in TEXT_FIELDS}
    return Entry(at=_EPOCH + timedelta(microseconds=moment), **texts)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Invalid("An audit entry's text is not Unicode.") from None
