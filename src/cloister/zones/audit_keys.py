"""The audit log's keys: what signs its checkpoints, what seals its entries for the privacy office. Spec: docs/spec/zones.md 14.

The store gate holds an hour's data key in memory and forgets it with the hour; the same key stands in the database sealed
to the privacy office's public key. Whoever writes the log reads no more of it than the hour that is being written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from cloister.audit import DataKey, Entry, NoteKey, NoteSigner, Sealed, entry, note, opened_entry, origin_of
from cloister.zones import algorithms
from cloister.zones.packing import packed

OFFICE_TEAM: Final = "privacy-office"
INFO: Final = "cloister/audit-key/v1"
STALE_AFTER: Final = timedelta(minutes=10)

OpenSealed = Callable[[bytes, bytes], bytes]  # HPKE: sealed, info


@dataclass(frozen=True, slots=True)
class AuditPin:
    """By which key a server believes checkpoints, and how old the newest may be when a session opens."""

    public: bytes
    stale_after: timedelta = STALE_AFTER


@dataclass(frozen=True, slots=True)
class PrivacyOffice:
    """To whom the hour's keys are sealed: the team's generation and its HPKE public key."""

    name: str
    public: bytes = field(repr=False)


def office_name(generation: int) -> str:
    return f"{OFFICE_TEAM}/{generation}"


def log_key(trust: str, public: bytes) -> NoteKey:
    return NoteKey(origin_of(trust), note.ED25519, public, partial(algorithms.verify, public))


def log_key_65(trust: str, public: bytes) -> NoteKey:
    return NoteKey(origin_of(trust), note.ML_DSA_65, public, partial(algorithms.verify_ml_dsa, public))


def witness_key(name: str, public: bytes) -> NoteKey:
    return NoteKey(name, note.COSIGNATURE, public, partial(algorithms.verify, public))


def log_signer(trust: str, seed: bytes) -> NoteSigner:
    private = algorithms.SignPrivate(seed)
    return NoteSigner(log_key(trust, private.public), private.sign)


def log_signer_65(trust: str, seed: bytes) -> NoteSigner:
    private = algorithms.MlDsaPrivate(seed)
    return NoteSigner(log_key_65(trust, private.public), private.sign)


def witness_signer(name: str, seed: bytes) -> NoteSigner:
    private = algorithms.SignPrivate(seed)
    return NoteSigner(witness_key(name, private.public), private.sign)


def new_data_key(trust: str, number: int, begins: datetime, office: PrivacyOffice) -> DataKey:
    key = algorithms.random(algorithms.KEY_BYTES)
    return DataKey(
        number=number,
        begins=begins,
        office=office.name,
        sealed=algorithms.kem_seal(office.public, key, _info(trust, number, office.name)),
        token_key=algorithms.hkdf(key, f"{INFO}/token"),
        seal=algorithms.Aead(algorithms.hkdf(key, f"{INFO}/seal")).seal,
    )


@dataclass(frozen=True, slots=True)
class OpenedDataKey:
    """An hour's key in the privacy officer's session: finds entries by person, object or patient, and opens them."""

    number: int
    _token_key: bytes = field(repr=False)
    _open: Callable[[bytes, bytes], bytes] = field(repr=False)

    def token(self, what: str, text: str) -> int:
        return entry.token(self._token_key, what, text)

    def opened(self, sealed: Sealed) -> Entry:
        return opened_entry(sealed, self._open)


def opened_data_key(trust: str, number: int, office: str, sealed: bytes, opening: OpenSealed) -> OpenedDataKey:
    """Forged(tag) for anything but a key that was sealed for this office and number."""
    key = opening(sealed, _info(trust, number, office))
    return OpenedDataKey(number, algorithms.hkdf(key, f"{INFO}/token"), algorithms.Aead(algorithms.hkdf(key, f"{INFO}/seal")).open)


def _info(trust: str, number: int, office: str) -> bytes:
    return packed(INFO, trust, office, number)
