"""How the formats of section 14 are opened here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from certificates import moment

from cloister.audit import Sealed, entry
from cloister.audit.checkpoint import verified_checkpoint
from cloister.audit.note import parsed_note
from cloister.zones import algorithms, audit_keys, inclusion


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def opened_key(given: dict[str, Any], number: int, sealed: str) -> audit_keys.OpenedDataKey:
    kem = algorithms.KemPrivate(raw(given["seed"]))
    return audit_keys.opened_data_key(given["trust"], number, given["office"], raw(sealed), kem.open)


def data_key(given: dict[str, Any]) -> dict[str, Any]:
    return {"token": opened_key(given, given["number"], given["sealed"]).token(given["what"], given["text"])}


def audit_entry(given: dict[str, Any]) -> dict[str, Any]:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=given["at"])
    clear = (at, given["source"], given["number"], given["category"], raw(given["named"]))
    sealed = Sealed(*clear, given["key"], given["actor"], given["object"], given["patient"], raw(given["body"]))
    found = opened_key(given, given["key"], given["data_key"]).opened(sealed)
    return {"texts": {name: getattr(found, name) for name in entry.TEXT_FIELDS}, "leaf": sealed.leaf()}


def checkpoint(given: dict[str, Any]) -> dict[str, Any]:
    found = verified_checkpoint(given["note"], audit_keys.log_key(given["trust"], raw(given["public"])))
    return {"size": found.size, "root": found.root, "time": int(found.at.timestamp())}


def witnessed(given: dict[str, Any]) -> dict[str, Any]:
    key = audit_keys.witness_key(given["name"], raw(given["public"]))
    return {"time": parsed_note(given["note"]).witnessed(key)}


def bytes_of(value: Any) -> Any:
    """Of proofs as JSON has them: hashes as bytes."""
    if isinstance(value, str) and len(value) == 64:
        return raw(value)
    if isinstance(value, dict):
        return {name: bytes_of(inner) for name, inner in value.items()}
    return [bytes_of(inner) for inner in value] if isinstance(value, list) else value


def on_record(given: dict[str, Any]) -> dict[str, Any]:
    pin = audit_keys.AuditPin(raw(given["public"]))
    found = inclusion.included(bytes_of(given["proofs"]), given["trust"], pin, moment(given["now"]))
    return {"hashes": sorted(one.hex() for one in found)}


FORMATS = {"audit-data-key": data_key, "audit-entry": audit_entry, "checkpoint": checkpoint, "witnessed": witnessed, "on-record": on_record}
