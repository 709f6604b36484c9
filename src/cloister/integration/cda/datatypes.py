"""HL7 v3 data types to FHIR: II, CD, TS, IVL_TS, PQ, PN, AD, TEL. HL7 v3 Data Types R1; C-CDA on FHIR.

A nullFlavor says nothing and becomes nothing.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from cloister.integration.cda.tree import Node

Json = dict[str, Any]
STAMP: Final = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.\d+)?([+-]\d{4})?")
SYSTEMS: Final = {
    "2.16.840.1.113883.6.96": "http://snomed.info/sct",
    "2.16.840.1.113883.6.1": "http://loinc.org",
    "2.16.840.1.113883.6.88": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "2.16.840.1.113883.6.3": "http://hl7.org/fhir/sid/icd-10",
    "2.16.840.1.113883.6.90": "http://hl7.org/fhir/sid/icd-10-cm",
    "2.16.840.1.113883.12.292": "http://hl7.org/fhir/sid/cvx",
    "2.16.840.1.113883.12.359": "http://hl7.org/fhir/sid/cvx",
    "2.16.840.1.113883.6.73": "http://www.whocc.no/atc",
    "2.16.840.1.113883.5.83": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
    "2.16.840.1.113883.5.4": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "2.16.840.1.113883.3.26.1.1": "http://ncithesaurus-stage.nci.nih.gov",
}
GENDERS: Final = {"F": "female", "M": "male", "UN": "other"}
UCUM: Final = "http://unitsofmeasure.org"


def identifier(node: Node) -> Json | None:
    """II: root and extension, or a root that is an identifier itself."""
    root, extension = node.get("root"), node.get("extension")
    if not root:
        return None
    if extension:
        return {"system": f"urn:oid:{root}" if root[:1].isdigit() and "-" not in root else f"urn:uuid:{root.lower()}", "value": extension}
    return {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{root}" if "-" not in root else f"urn:uuid:{root.lower()}"}


def key_of(node: Node) -> str:
    return f"{node.get('root')}|{node.get('extension')}" if node.get("root") else ""


def concept(node: Node) -> Json | None:
    """CD with its translations; its words, where it has no code."""
    codings = [one for one in (coding(part) for part in (node, *node.all("translation"))) if one]
    text = node.one("originalText").text or node.get("displayName")
    if not codings and not text:
        return None
    return {**({"coding": codings} if codings else {}), **({"text": text} if text else {})}


def coding(node: Node) -> Json | None:
    code, system, shown = node.get("code"), node.get("codeSystem"), node.get("displayName")
    if not code or node.get("nullFlavor"):
        return None
    named = SYSTEMS.get(system) or (f"urn:oid:{system}" if system else "")
    return {name: value for name, value in (("system", named), ("code", code), ("display", shown)) if value}


def moment(text: str) -> str:
    """TS as a FHIR dateTime, as precise as it is; nothing for what is no date."""
    found = STAMP.fullmatch(text)
    if found is None:
        return ""
    year, month, day, hour, minute, second, offset = found.groups()
    date = "-".join(part for part in (year, month, day) if part)
    if hour is None:
        return date
    clock = f"{hour}:{minute or '00'}:{second or '00'}"
    return f"{date}T{clock}{offset[:3]}:{offset[3:]}" if offset else f"{date}T{clock}Z"


def period(node: Node) -> Json:
    """IVL_TS with its ends; a single value begins and ends it."""
    start = moment(node.one("low").get("value")) or moment(node.get("value"))
    end = moment(node.one("high").get("value"))
    return {name: value for name, value in (("start", start), ("end", end)) if value}


def when(node: Node) -> str:
    """The one moment of an effectiveTime: its value, else its beginning."""
    return moment(node.get("value")) or moment(node.one("low").get("value")) or moment(node.one("center").get("value"))


def number(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and len(text) <= 30 and abs(value.adjusted()) <= 30 else None


def quantity(node: Node) -> Json | None:
    """PQ: its unit is UCUM by definition."""
    value = number(node.get("value"))
    if value is None:
        return None
    unit = node.get("unit")
    return {"value": value, **({"unit": unit, "system": UCUM, "code": unit} if unit and unit != "1" else {})}


def value(node: Node) -> Json:
    """observation/value by its xsi:type."""
    if node.type in ("PQ", "REAL", "MO"):
        found = quantity(node)
        return {"valueQuantity": found} if found else {}
    if node.type == "INT":
        text = node.get("value")
        return {"valueInteger": int(text)} if re.fullmatch(r"-?\d{1,9}", text) else {}
    if node.type in ("CD", "CE", "CO", "CV"):
        coded = concept(node)
        return {"valueCodeableConcept": coded} if coded else {}
    if node.type == "BL":
        return {"valueBoolean": node.get("value") == "true"} if node.get("value") in ("true", "false") else {}
    if node.type == "TS":
        at = moment(node.get("value"))
        return {"valueDateTime": at} if at else {}
    if node.type == "IVL_PQ":
        ends = {name: one for name in ("low", "high") if (one := quantity(node.one(name)))}
        return {"valueRange": ends} if ends else {}
    return {"valueString": node.text} if node.type in ("ST", "ED") and node.text else {}


def human_name(node: Node) -> Json | None:
    family = " ".join(one.text for one in node.all("family") if one.text)
    found: Json = {
        "family": family,
        "given": [one.text for one in node.all("given") if one.text],
        "prefix": [one.text for one in node.all("prefix") if one.text],
    }
    found = {name: part for name, part in found.items() if part}
    return found or ({"text": node.text} if node.text else None)


def shown_name(node: Node) -> str:
    found = human_name(node)
    if found is None:
        return ""
    return str(found.get("text") or " ".join((*found.get("prefix", ()), *found.get("given", ()), found.get("family", ""))).strip())


def address(node: Node) -> Json | None:
    lines = [one.text for one in (*node.all("streetAddressLine"), *node.all("streetName")) if one.text]
    found: Json = {
        "line": lines,
        **{to: node.one(name).text for name, to in (("city", "city"), ("postalCode", "postalCode"), ("country", "country"))},
    }
    found = {name: part for name, part in found.items() if part}
    return found or None


def telecom(node: Node) -> Json | None:
    text = node.get("value")
    kind, _, rest = text.partition(":")
    system = {"tel": "phone", "mailto": "email", "fax": "fax", "http": "url", "https": "url"}.get(kind.lower())
    if not text or not (rest or system):
        return None
    return {"system": system or "other", "value": rest if system in ("phone", "email", "fax") else text}
