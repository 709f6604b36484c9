"""One thing that somebody did: the audit entry, and the sealed form in which it stands in the log. Spec: docs/spec/zones.md 14.

FHIR AuditEvent's nouns, flattened. An entry never holds a name, a query or a value of a record: ids only. Operations
see a row's number, time, source and category; the rest opens with an hour's data key, which only the privacy office can open.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Final

from cloister.audit.tree import leaf_hash
from cloister.base.errors import Corrupt, Invalid

LABEL: Final = b"cloister/audit-entry/v2"
TEXT_BYTES_MAX: Final = 2_000
PADDED_TO: Final = 64  # so that the length of what is sealed tells little
TRUST_OBJECT: Final = "trust-object"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SESSION_ACTS: Final = frozenset({"sign-in", "unlock", "lock", "end", "sign-out"})

Seal = Callable[[bytes, bytes], bytes]  # plaintext, additional data
Open = Callable[[bytes, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to which object, when, from where, and how it ended."""

    at: datetime
    actor: str  # person id, or the name of a part ("door", "gate")
    session: str
    action: str  # read, search, create, update, delete, sign-in, look-ciphertext, trust-object, ...
    kind: str  # what the object is: a resource type, "session", "grant", ...
    object: str  # its opaque id, or a dossier's
    outcome: str  # "success", "denied", "failed"
    reason: str = ""
    source: str = ""  # server, address or program
    patient: str = ""  # whose dossier it is about
    turn: str = ""  # which of its session's entries this is, from 1

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise Invalid("An audit entry's time needs a time zone.")
        for name in TEXT_FIELDS:
            text = getattr(self, name)
            if not isinstance(text, str) or "\0" in text or len(text) > TEXT_BYTES_MAX // 4 and len(_utf8(text)) > TEXT_BYTES_MAX:
                raise Invalid(f"The audit entry's {name} is not a short text.")

    @property
    def category(self) -> str:
        """All that operations learn of what was done."""
        if self.action == TRUST_OBJECT:
            return "trust"
        return "session" if self.action in _SESSION_ACTS else "record"

    @property
    def named(self) -> bytes:
        """The hash of a signed object stands in clear: sessions prove from it that the object was put on record."""
        return bytes.fromhex(self.object) if self.action == TRUST_OBJECT else b""

    def plain(self) -> bytes:
        """Each text but the time as 2-byte length and UTF-8, then zeros up to a multiple of 64 bytes."""
        raw = [_utf8(getattr(self, name)) for name in TEXT_FIELDS]
        body = b"".join([len(one).to_bytes(2, "big") + one for one in raw])
        return body + bytes(-len(body) % PADDED_TO)


TEXT_FIELDS: Final = tuple(one.name for one in fields(Entry) if one.name != "at")


@dataclass(frozen=True, slots=True)
class DataKey:
    """What seals the entries of one hour, in the gate's memory; `sealed` is the same key for the privacy office."""

    number: int
    begins: datetime
    office: str
    sealed: bytes = field(repr=False)
    token_key: bytes = field(repr=False)
    seal: Seal = field(repr=False, compare=False)

    def token(self, what: str, text: str) -> int:
        return token(self.token_key, what, text)


def token(key: bytes, what: str, text: str) -> int:
    """Finds entries without opening them: equal only under one hour's key. 0 for what an entry does not name."""
    if not text:
        return 0
    return int.from_bytes(hmac.digest(key, what.encode() + b"\0" + _utf8(text), "sha256")[:8], "big", signed=True)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry as it stands in the log."""

    at: datetime
    source: str  # which process numbered it: "session@1f2e3d4c"
    number: int  # from 1, without gaps in each source
    category: str
    named: bytes
    key: int  # of the data key
    actor: int
    object: int
    patient: int
    body: bytes

    def clear(self) -> bytes:
        return clear_bytes(self.at, self.source, self.number, self.category, self.named)

    def private_hash(self) -> bytes:
        """What stands for the rest where an entry is only shown to be in the tree."""
        head = b"".join([one.to_bytes(8, "big", signed=True) for one in (self.key, self.actor, self.object, self.patient)])
        return hashlib.sha256(head + self.body).digest()

    def leaf(self) -> bytes:
        return leaf_hash(self.clear() + self.private_hash())


def clear_bytes(at: datetime, source: str, number: int, category: str, named: bytes) -> bytes:
    """Label, microseconds, number, then source, category and named hash each after its length."""
    moment = (at.astimezone(UTC) - EPOCH) // _MICROSECOND  # whole microseconds, as PostgreSQL keeps them
    parts = [LABEL, moment.to_bytes(8, "big", signed=True), number.to_bytes(8, "big")]
    for raw in (source.encode(), category.encode(), named):
        parts += (len(raw).to_bytes(1, "big"), raw)
    return b"".join(parts)


def sealed_entry(entry: Entry, source: str, number: int, key: DataKey) -> Sealed:
    clear = clear_bytes(entry.at, source, number, entry.category, entry.named)
    return Sealed(
        entry.at, source, number, entry.category, entry.named, key.number,
        key.token("actor", entry.actor), key.token("object", entry.object), key.token("patient", entry.patient),
        key.seal(entry.plain(), clear),
    )  # fmt: skip


def opened_entry(sealed: Sealed, opening: Open) -> Entry:
    """The entry, for whoever has its hour's key; Corrupt for anything but what was sealed."""
    plain, texts, at = opening(sealed.body, sealed.clear()), list[str](), 0
    try:
        for _ in TEXT_FIELDS:
            end = at + 2 + int.from_bytes(plain[at : at + 2], "big")
            texts.append(plain[at + 2 : end].decode())
            at = end
        if at > len(plain) or any(plain[at:]):
            raise ValueError
        return Entry(sealed.at, *texts)
    except (ValueError, Invalid):  # whoever wrote it had the key: a session, perhaps a hostile one
        raise Corrupt("An audit entry is not in the written form.", reason="entry") from None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Invalid("An audit entry's text is not Unicode.") from None
