"""HL7 v2.5 data types to FHIR R4 data types: CX, XPN, XAD, XTN, XCN, CWE, PL, TS, DT, TM. HL7 v2.5 chapter 2A; the v2-to-FHIR tables.

Empty means "says nothing"; the null value "" means "delete" and is decided by the caller (patching.py).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

from cloister.integration.hl7v2.faults import Condition, Unfit
from cloister.integration.hl7v2.message import NULL, Repetition, Segment
from cloister.integration.hl7v2.overrides import SenderMapping

LOCAL: Final = ZoneInfo("Europe/Paris")  # of times without an offset
STAMP: Final = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.\d{1,4})?([+-]\d{4})?")
CLOCK: Final = re.compile(r"(\d\d)(\d\d)?(\d\d)?(?:\.\d{1,4})?(?:[+-]\d{4})?")
OID: Final = re.compile(r"[0-2](\.(0|[1-9]\d*))+")
V2: Final = "http://terminology.hl7.org/CodeSystem/v2-"
V3: Final = "http://terminology.hl7.org/CodeSystem/v3-"
UCUM: Final = "http://unitsofmeasure.org"
INS: Final = {
    "1.2.250.1.213.1.4.8": "INS-NIR",
    "1.2.250.1.213.1.4.9": "INS-NIA",
    "1.2.250.1.213.1.4.10": "INS-NIR",
    "1.2.250.1.213.1.4.11": "INS-NIR",
}
FR_TYPES: Final = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203"
Json = dict[str, Any]


def moment(text: str, place: str, *, precise: bool = False) -> str:
    """TS, DT or DTM as a FHIR dateTime; with `precise`, an instant in time at least to the minute."""
    found = STAMP.fullmatch(text.strip())
    if found is None:
        raise Unfit("A date or time cannot be read.", condition=Condition.DATA_TYPE, place=place, hint="Send YYYYMMDD[HHMM[SS]][+ZZZZ].")
    year, month, day, hour, minute, second, offset = found.groups()
    try:
        if hour is None and not precise:
            return "-".join(part for part in (year, month, day) if part) if datetime(int(year), int(month or 1), int(day or 1)) else ""
        at = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0))
        if offset:
            zone = datetime.strptime(offset, "%z").tzinfo
            at = at.replace(tzinfo=zone)
        else:
            at = at.replace(tzinfo=LOCAL)
    except ValueError:
        raise Unfit("There is no such date or time.", condition=Condition.DATA_TYPE, place=place, hint="Correct the date.") from None
    return at.isoformat()


def day(text: str, place: str) -> str:
    """The date alone, for FHIR date elements."""
    return moment(text[:8], place)[:10]


def clock(text: str, place: str) -> str:
    found = CLOCK.fullmatch(text.strip())
    if found is None or int(found[1]) > 23 or int(found[2] or 0) > 59 or int(found[3] or 0) > 59:
        raise Unfit("A time of day cannot be read.", condition=Condition.DATA_TYPE, place=place, hint="Send HHMM[SS].")
    return f"{found[1]}:{found[2] or '00'}:{found[3] or '00'}"


def number(text: str, place: str) -> Decimal:
    """NM with the digits it came with; a decimal comma is a slip that is refused, because it may be a thousands mark."""
    try:
        value = Decimal(text.strip())
        if not value.is_finite() or len(text) > 30 or abs(value.adjusted()) > 30:
            raise InvalidOperation
    except InvalidOperation:
        raise Unfit("A number cannot be read.", condition=Condition.DATA_TYPE, place=place, hint="Send NM with a decimal point.") from None
    return Decimal(text.strip().lstrip("+"))


def order_of(text: str) -> datetime:
    """A FHIR dateTime as a point in time, for putting in order; what is not precise comes first."""
    parts = text if len(text) > 10 else (text + "-01-01"[len(text) - 4 :])[:10] + "T00:00:00"
    at = datetime.fromisoformat(parts)
    return at if at.tzinfo else at.replace(tzinfo=LOCAL).astimezone(UTC)


# --- identifiers ---------------------------------------------------------------------------------------


def authority(segment: Segment, value: Repetition, component: int, field: str, by: SenderMapping, place: str) -> str:
    """The system of an identifier: the sender's mapping first, then the authority's own OID; never guessed."""
    namespace, universal, kind = (segment.piece(value, component, number) for number in (1, 2, 3))
    named = by.system(namespace) if namespace else ""
    if named:
        return named
    if universal and (kind in ("ISO", "") and OID.fullmatch(universal)):
        return f"urn:oid:{universal}"
    if universal and kind == "URI":
        return universal
    named = by.system(field)
    if named:
        return named
    raise Unfit(
        f"Nobody knows who gave the identifier in {field}.",
        condition=Condition.KEY_UNKNOWN,
        place=place,
        hint=f"Send its authority with an OID, or add it (or '{field}') to this sender's authorities.",
        reason="authority-unknown",
    )


def identifier(segment: Segment, number_: int, value: Repetition, by: SenderMapping, kind: str = "") -> Json | None:
    """CX (or EI, whose authority stands in 2 to 4) as a FHIR Identifier."""
    text = segment.piece(value, 1)
    if not text or text == NULL:
        return None
    system = authority(segment, value, 4, f"{segment.name}-{number_}", by, segment.place(number_, 4))
    code = segment.piece(value, 5) or kind
    found: Json = {"system": system, "value": text}
    ins = INS.get(system.removeprefix("urn:oid:"))
    if ins:
        return {"use": "official", "type": {"coding": [{"system": FR_TYPES, "code": ins}]}, **found}
    if code:
        found = {"type": {"coding": [{"system": f"{V2}0203", "code": code}]}, **found}
    return {"use": "usual", **found} if code == "PI" else found


def entity(segment: Segment, number_: int, by: SenderMapping, kind: str) -> Json | None:
    """EI (ORC-2, OBR-3, SCH-1) as a FHIR Identifier."""
    values = segment.values(number_)
    if not values or not segment.piece(values[0], 1) or segment.piece(values[0], 1) == NULL:
        return None
    one = values[0]
    moved = [one[0], [""], [""], [*(part[0] if part else "" for part in (*one[1:4], [""], [""], [""])[:3])]]
    system = authority(segment, moved, 4, f"{segment.name}-{number_}", by, segment.place(number_, 2))
    return {"type": {"coding": [{"system": f"{V2}0203", "code": kind}]}, "system": system, "value": segment.piece(one, 1)}


# --- people ----------------------------------------------------------------------------------------------


def human_name(segment: Segment, value: Repetition, by: SenderMapping) -> Json | None:
    """XPN."""
    family, given, others, suffix, prefix, _, use = (segment.piece(value, number) for number in range(1, 8))
    givens = [part for part in (given, *others.split()) if part and part != NULL]
    if not (family or givens) or family == NULL:
        return None
    found: Json = {"use": by.table("name-use").get(use, "usual"), "family": family, "given": givens, "prefix": [prefix], "suffix": [suffix]}
    return {name: part for name, part in found.items() if part and part != [""]}


def address(segment: Segment, value: Repetition, by: SenderMapping) -> Json | None:
    """XAD."""
    street, other, city, state, postal, country, use = (segment.piece(value, number) for number in range(1, 8))
    lines = [part for part in (street, other) if part and part != NULL]
    found: Json = {"line": lines, "city": city, "state": state, "postalCode": postal, "country": country}
    found = {name: part for name, part in found.items() if part and part != NULL}
    if not found:
        return None
    named = by.table("address-use").get(use, "home")
    if named == "birth":
        insee = segment.piece(value, 9)  # county: the INSEE code of the place of birth, in French messages
        if insee and insee != NULL:
            found["extension"] = [{"url": INSEE, "valueCoding": {"code": insee}}]
        return {BIRTH: True, **found}
    return {"use": named, **found}


INSEE: Final = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code"
BIRTH: Final = "birth"  # marks a place of birth, and is taken out again by patient.py: FHIR has an extension of its own for it


def telecom(segment: Segment, value: Repetition, by: SenderMapping) -> Json | None:
    """XTN: the number as it was written, or its parts; an address of electronic mail."""
    mail = segment.piece(value, 4)
    parts = [segment.piece(value, number) for number in (5, 6, 7)]
    text = mail or segment.piece(value, 1) or segment.piece(value, 12) or " ".join(part for part in parts if part)
    if not text or text == NULL:
        return None
    system = "email" if mail or "@" in text else by.table("telecom-system").get(segment.piece(value, 3), "phone")
    use = "mobile" if segment.piece(value, 3) == "CP" else by.table("telecom-use").get(segment.piece(value, 2), "home")
    return {"system": system, "value": text, "use": use}


def person(segment: Segment, number_: int, by: SenderMapping) -> Json | None:
    """XCN as a reference that names and identifies, and points nowhere: the register knows its people by other ways."""
    values = segment.values(number_)
    if not values:
        return None
    one = values[0]
    id, family, given, _, _, prefix = (segment.piece(one, number) for number in (1, 2, 3, 4, 5, 6))
    shown = " ".join(part for part in (prefix, given, family) if part and part != NULL)
    found: Json = {"display": shown} if shown else {}
    if id and id != NULL:
        try:
            found["identifier"] = {"system": authority(segment, one, 9, f"{segment.name}-{number_}", by, ""), "value": id}
        except Unfit:
            found["identifier"] = {"value": id}
    return found or None


# --- codes -------------------------------------------------------------------------------------------------


def concept(segment: Segment, number_: int, by: SenderMapping, value: Repetition | None = None) -> Json | None:
    """CE and CWE: both codings, the sender's own mapping of the code before them, the text."""
    values = segment.values(number_)
    one = value if value is not None else values[0] if values else None
    if one is None:
        return None
    field = f"{segment.name}-{number_}"
    codings: list[Json] = []
    mapped = by.code(field, segment.piece(one, 1))
    if mapped:
        codings.append(dict(mapped))
    for first in (1, 4):
        code, shown, system = (segment.piece(one, number) for number in (first, first + 1, first + 2))
        if not code or code == NULL:
            continue
        named = by.table("code-system").get(system) or by.system(system) or by.system(field)
        coding: Json = {"system": named, "code": code, "display": shown}
        codings.append({name: part for name, part in coding.items() if part})
    text = segment.piece(one, 9) or segment.piece(one, 2) or segment.piece(one, 5) or segment.piece(one, 1)
    if not codings and (not text or text == NULL):
        return None
    return {**({"coding": codings} if codings else {}), **({"text": text} if text else {})}


def coded(code: str, system: str, text: str = "") -> Json:
    """A CodeableConcept of one code."""
    return {"coding": [{"system": system, "code": code}], **({"text": text} if text else {})}


def place_of(segment: Segment, number_: int, by: SenderMapping) -> Json | None:
    """PL as a reference: the mapping's, with ward, room and bed as its text."""
    values = segment.values(number_)
    if not values:
        return None
    ward, room, bed = (segment.piece(values[0], number) for number in (1, 2, 3))
    shown = " ".join(part for part in (ward, room, bed) if part and part != NULL)
    if not shown:
        return None
    found = by.location("^".join(part for part in (ward, room, bed) if part), f"{ward}^{room}", ward)
    return {**({"reference": found} if found else {}), "display": shown}
