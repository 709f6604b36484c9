"""What differs from sender to sender: authorities, code tables, places, character set. A JSON file; tables.json is built in.

Text of the mapping, never of a patient. What is not known in it is refused by name, so that a slip of the pen is not passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import orjson

from cloister.base.errors import Invalid
from cloister.integration.hl7v2.faults import Condition, Unfit
from cloister.integration.hl7v2.message import CHARSETS

ANYBODY: Final = "*"
SENDERS_MAX: Final = 500
FILE_BYTES_MAX: Final = 1024 * 1024
FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}").fullmatch


class Sender(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One sender's own words. `sender` is MSH-3|MSH-4, or * for every sender; a sender's entry goes before that of *."""

    sender: str
    certificates: list[str] = []  # SHA-256 of the client certificates that this sender may show, and nobody else
    charset: str = ""  # MSH-18 assumed where it is empty
    processing: list[str] = msgspec.field(default_factory=lambda: ["P"])  # MSH-11 values that are taken
    authorities: dict[str, str] = {}  # CX-4.1 or a field such as PV1-19: the system of its identifiers
    locations: dict[str, str] = {}  # PL-1, or PL-1^PL-2: a reference such as Location/cardio
    codes: dict[str, dict[str, dict[str, str]]] = {}  # field such as OBX-3: local code: {system, code, display}
    tables: dict[str, dict[str, str]] = {}  # name in tables.json: more lines for it
    units: dict[str, str] = {}  # OBX-6: the UCUM code
    keep: list[str] = []  # segments that no table knows, kept word by word on the message's Provenance
    refuse_unknown: bool = False  # a segment that is neither mapped, nor passed over, nor kept, stops the message
    creates_patients: list[str] = msgspec.field(
        default_factory=lambda: ["ADT"]
    )  # message types that may bring a patient who is not here yet


class Overrides(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The file."""

    senders: list[Sender] = []


@cache
def built_in() -> dict[str, dict[str, str]]:
    """tables.json: HL7 v2 tables to FHIR codes."""
    tables: dict[str, dict[str, str]] = orjson.loads((Path(__file__).parent / "tables.json").read_bytes())
    return tables


def read_overrides(body: bytes) -> Overrides:
    """Raises Invalid that names the place."""
    if len(body) > FILE_BYTES_MAX:
        raise Invalid("The mapping is larger than 1 MiB.", hint="Split it by sender.", reason="mapping")
    try:
        found = msgspec.json.decode(body or b"{}", type=Overrides)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(
            f"The mapping cannot be read: {str(wrong)[:200]}.", hint="docs/integration.md shows its form.", reason="mapping"
        ) from None
    names = [one.sender for one in found.senders]
    if len(set(names)) != len(names) or len(names) > SENDERS_MAX:
        raise Invalid("The mapping names a sender twice, or too many.", hint="Give each sender one entry.", reason="mapping")
    for one in found.senders:
        if not all(FINGERPRINT(text) for text in one.certificates):
            hint = "Write 64 digits of 0-9a-f: openssl x509 -noout -fingerprint -sha256, without colons, in small letters."
            raise Invalid(f"The mapping of '{one.sender[:80]}' has a certificate that is no SHA-256.", hint=hint, reason="mapping")
        unknown = sorted(one.tables.keys() - built_in().keys())
        if unknown or (one.charset and one.charset.upper() not in CHARSETS):
            what = f"table '{unknown[0][:40]}'" if unknown else f"character set '{one.charset[:40]}'"
            raise Invalid(
                f"The mapping of '{one.sender[:80]}' names an unknown {what}.", hint="docs/integration.md lists them.", reason="mapping"
            )
    return found


@dataclass(frozen=True, slots=True)
class SenderMapping:
    """The tables in force for one sender."""

    own: Sender
    every: Sender = field(default_factory=lambda: Sender(sender=ANYBODY))

    def table(self, name: str) -> Mapping[str, str]:
        return {**built_in()[name], **self.every.tables.get(name, {}), **self.own.tables.get(name, {})}

    def looked_up(self, name: str, value: str, place: str, usual: str | None = None) -> str:
        """A value of a table; Unfit names table and place when it has no line, unless `usual` is given."""
        found = self.table(name).get(value)
        if found is not None:
            return found
        if usual is not None:
            return usual
        raise Unfit(
            f"The value of {place.replace('^', '-')} is not in table '{name}'.",
            condition=Condition.TABLE_VALUE,
            place=place,
            hint=f"Add a line to table '{name}' of this sender's mapping.",
        )

    def system(self, namespace: str) -> str:
        return self.own.authorities.get(namespace) or self.every.authorities.get(namespace, "")

    def location(self, *names: str) -> str:
        return next((place for name in names for one in (self.own, self.every) if (place := one.locations.get(name))), "")

    def code(self, field: str, local: str) -> Mapping[str, str] | None:
        return self.own.codes.get(field, {}).get(local) or self.every.codes.get(field, {}).get(local)

    def unit(self, text: str) -> str:
        return self.own.units.get(text) or self.every.units.get(text, "")

    @property
    def charset(self) -> str:
        return self.own.charset or self.every.charset

    @property
    def kept(self) -> frozenset[str]:
        return frozenset(self.own.keep) | frozenset(self.every.keep)


def mapping_for(overrides: Overrides, sender: str) -> SenderMapping:
    by_name = {one.sender: one for one in overrides.senders}
    every = by_name.get(ANYBODY, Sender(sender=ANYBODY))
    own = by_name.get(sender)
    return SenderMapping(own if own is not None else Sender(**{**msgspec.structs.asdict(every), "sender": sender}), every)


def bound(overrides: Overrides, sender: str, certificate: str) -> bool:
    """Whether a message of this sender may come with this certificate: one that an entry names speaks for that sender alone, and a
    sender whose entry names some shows one of them. Entries without certificates ask for none."""
    by_name = {one.sender: one.certificates for one in overrides.senders}
    own = by_name.get(sender) or by_name.get(ANYBODY, [])
    if own:
        return certificate in own
    return not any(certificate in named for named in by_name.values())


def encoded(overrides: Overrides) -> bytes:
    return orjson.dumps(msgspec.to_builtins(overrides), option=orjson.OPT_INDENT_2)


__all__ = ["SenderMapping", "Overrides", "bound", "Sender", "built_in", "encoded", "mapping_for", "read_overrides"]
