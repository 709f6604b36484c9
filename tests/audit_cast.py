"""Keys and entries for the tests of the audit room, whose room itself knows no algorithm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cloister.audit import Entry, Log, Sealed, sealed_entry
from cloister.audit.log import Step
from cloister.zones import algorithms, audit_keys

NOW = datetime(2026, 11, 22, 13, 0, 0, 123456, tzinfo=UTC)
TRUST = "val-d-orme"
SIGNER = audit_keys.log_signer(TRUST, bytes(range(32)))
STRONG = audit_keys.log_signer_65(TRUST, bytes(range(1, 33)))
OFFICE = algorithms.KemPrivate(bytes(range(2, 34)))
KEY = audit_keys.new_data_key(
    TRUST, 1, NOW.replace(minute=0, second=0, microsecond=0), audit_keys.PrivacyOffice("privacy-office/1", OFFICE.public)
)


def opened_key() -> audit_keys.OpenedDataKey:
    return audit_keys.opened_data_key(TRUST, KEY.number, KEY.office, KEY.sealed, OFFICE.open)


def entry(number: int = 0, **changed: Any) -> Entry:
    terms = {"actor": "adele", "session": "s-1", "action": "read", "kind": "Patient", "object": f"p-{number}", "outcome": "success"}
    return Entry(at=NOW + timedelta(seconds=number), **{**terms, **changed})


def sealed(number: int = 0, *, source: str = "session@1", **changed: Any) -> Sealed:
    return sealed_entry(entry(number, **changed), source, number + 1, KEY)


def written(count: int) -> tuple[Log, Step]:
    log = Log()
    step = log.step(sealed(number) for number in range(count))
    log.keep(step)
    return log, step
