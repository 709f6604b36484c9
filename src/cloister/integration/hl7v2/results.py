"""ORU^R01: OBR to DiagnosticReport, OBX to Observation. HL7 v2.5 7.3.1, 7.4.1, 7.4.2.

An observation is found again by the filler's order number with its code and sub-id, so that a correction becomes its next
version. A value of a type that is not read stops the message: a result is never shortened silently.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cloister.integration.hl7v2 import datatypes
from cloister.integration.hl7v2.context import Given, Json, Made
from cloister.integration.hl7v2.escapes import unescaped
from cloister.integration.hl7v2.faults import Condition, Unfit
from cloister.integration.hl7v2.message import NULL, Message, Segment
from cloister.integration.hl7v2.overrides import SenderMapping

RANGE: Final = re.compile(r"\s*(-?\d+(?:[.,]\d+)?)\s*(?:-|–|à|to)\s*(-?\d+(?:[.,]\d+)?)\s*\S*\s*")
BOUND: Final = re.compile(r"\s*(<=?|>=?|≤|≥)\s*(-?\d+(?:[.,]\d+)?)\s*\S*\s*")
COMPARATORS: Final = {"<": "<", ">": ">", "<=": "<=", ">=": ">=", "≤": "<=", "≥": ">="}
PARTS_OF_TEXT: Final = frozenset({"TX", "FT", "ST"})
MEDIA: Final = {
    "PDF": "application/pdf",
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "HTML": "text/html",
    "RTF": "text/rtf",
    "XML": "text/xml",
}
GROUPS_MAX: Final = 300
OBSERVATIONS_MAX: Final = 2000


@dataclass(slots=True)
class Group:
    """One OBR with its OBX and NTE."""

    request: Segment
    order: Segment | None
    notes: list[Segment] = field(default_factory=list)
    results: list[tuple[Segment, list[Segment]]] = field(default_factory=list)


def groups(message: Message) -> list[Group]:
    """ORC? OBR NTE* (OBX NTE*)*, repeated."""
    found: list[Group] = []
    order: Segment | None = None
    for segment in message.segments:
        if segment.name == "ORC":
            order = segment
        elif segment.name == "OBR":
            found.append(Group(segment, order))
            order = None
        elif segment.name == "OBX":
            if not found:
                raise Unfit(
                    "An OBX comes before any OBR.",
                    condition=Condition.SEGMENT_SEQUENCE,
                    place=f"OBX^{segment.number}",
                    hint="Send OBR first.",
                )
            found[-1].results.append((segment, []))
        elif segment.name == "NTE" and found:
            (found[-1].results[-1][1] if found[-1].results else found[-1].notes).append(segment)
    if not found:
        raise Unfit("There is no OBR segment.", condition=Condition.SEGMENT_SEQUENCE, place="OBR", hint="Send OBR.")
    if len(found) > GROUPS_MAX or sum(len(one.results) for one in found) > OBSERVATIONS_MAX:
        raise Unfit("There are too many results in one message.", condition=Condition.DATA_TYPE, hint="Send fewer at once.")
    return found


def order_numbers(group: Group, by: SenderMapping) -> tuple[Json | None, Json]:
    """(placer, filler): OBR-2 or ORC-2, OBR-3 or ORC-3. The filler's number is needed: corrections come by it."""
    placer = filler = None
    for segment, first in ((group.request, 2), (group.order, 2)):
        if segment is not None:
            placer = placer or datatypes.entity(segment, first, by, "PLAC")
            filler = filler or datatypes.entity(segment, first + 1, by, "FILL")
    if filler is None:
        raise Unfit(
            "There is no filler order number.",
            condition=Condition.FIELD_MISSING,
            place=group.request.place(3),
            hint="Send OBR-3, by which corrections are found.",
        )
    return placer, filler


def keys(message: Message, by: SenderMapping) -> list[str]:
    """'system|value' of the placers' numbers, for finding the orders."""
    return [f"{placer['system']}|{placer['value']}" for group in groups(message) if (placer := order_numbers(group, by)[0])]


def results(given: Given, made: Made, patient: str, encounter: str) -> None:
    """All reports of the message."""
    for group in groups(given.message):
        _report(given, made, group, patient, encounter)


def _report(given: Given, made: Made, group: Group, patient: str, encounter: str) -> None:
    by, segment = given.by, group.request
    placer, filler = order_numbers(group, by)
    order = given.known.orders.get(f"{placer['system']}|{placer['value']}") if placer else None
    about: Json = {"subject": {"reference": patient}, **({"encounter": {"reference": encounter}} if encounter else {})}
    if order is not None:
        about["basedOn"] = [{"reference": f"ServiceRequest/{order['id']}"}]
    when = _time(segment, 7)
    issued = _instant(segment, 22)
    forms: list[Json] = []
    references: list[str] = []
    for result, notes in _joined(group):
        form = _form(result)
        if form is not None:
            forms.append(form)
            continue
        made_one = _observation(given, group, result, notes, filler, {**about, **when, **issued})
        references.append(made.put(made_one))
    status = by.looked_up("report-status", segment.text_of(25) or "F", segment.place(25))
    report: Json = {
        "resourceType": "DiagnosticReport",
        "id": given.names.id("DiagnosticReport", filler["system"], filler["value"], _code_of(segment, 4)),
        "identifier": [one for one in (filler, placer) if one],
        "status": status,
        "code": datatypes.concept(segment, 4, by) or _missing(segment, 4),
        **about,
        **when,
        **issued,
        "result": [{"reference": one} for one in references],
        "presentedForm": forms,
    }
    category = by.table("report-category").get(segment.text_of(24))
    if category:
        report["category"] = [datatypes.coded(category, f"{datatypes.V2}0074")]
    doctor = datatypes.person(segment, 32, by)
    if doctor:
        report["resultsInterpreter"] = [doctor]
    if group.notes:
        report["conclusion"] = _text(group.notes)
    made.put({name: value for name, value in report.items() if value not in ([], "", None)})


def _missing(segment: Segment, number: int) -> Json:
    raise Unfit(
        f"{segment.name}-{number} is missing.", condition=Condition.FIELD_MISSING, place=segment.place(number), hint="Send the code."
    )


def _code_of(segment: Segment, number: int) -> str:
    return segment.text_of(number, 1) or segment.text_of(number, 2)


def _joined(group: Group) -> Iterator[tuple[list[Segment], list[Segment]]]:
    """Text that was cut into several OBX of the same code and sub-id is one observation."""
    collected: dict[tuple[str, str], tuple[list[Segment], list[Segment]]] = {}
    for segment, notes in group.results:
        key = (_code_of(segment, 3), segment.text_of(4))
        there = collected.get(key)
        if there is None:
            collected[key] = ([segment], list(notes))
        elif segment.text_of(2) in PARTS_OF_TEXT and there[0][0].text_of(2) in PARTS_OF_TEXT:
            there[0].append(segment)
            there[1].extend(notes)
        else:
            raise Unfit(
                "Two results have the same code and sub-id.",
                condition=Condition.KEY_DUPLICATE,
                place=segment.place(4),
                hint="Number them in OBX-4.",
                reason="result-twice",
            )
    yield from collected.values()


def _form(result: list[Segment]) -> Json | None:
    """ED as an attachment of the report; RP is refused, for nobody could open it."""
    segment = result[0]
    if segment.text_of(2) != "ED":
        return None
    values = segment.values(5)
    kind, sub, coding, text = (segment.piece(values[0], number) if values else "" for number in (2, 3, 4, 5))
    place = segment.place(5)
    if coding.upper() != "BASE64":
        raise Unfit("A document is not in Base64.", condition=Condition.DATA_TYPE, place=place, hint="Send ED with encoding Base64.")
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Unfit("A document's Base64 is broken.", condition=Condition.DATA_TYPE, place=place, hint="Encode it anew.") from None
    media = MEDIA.get(sub.upper()) or MEDIA.get(kind.upper()) or "application/octet-stream"
    return {"contentType": media, "data": base64.b64encode(raw).decode(), "title": segment.text_of(3, 2) or segment.text_of(3)}


def _observation(given: Given, group: Group, result: list[Segment], notes: list[Segment], filler: Json, about: Json) -> Json:
    by, segment = given.by, result[0]
    status = by.looked_up("result-status", segment.text_of(11), segment.place(11))
    sub = segment.text_of(4)
    code = _code_of(segment, 3)
    own = _time(segment, 14)
    found: Json = {
        "resourceType": "Observation",
        "id": given.names.id("Observation", filler["system"], filler["value"], _code_of(group.request, 4), code, sub),
        "identifier": [{"system": filler["system"], "value": "-".join(part for part in (filler["value"], code, sub) if part)}],
        "status": status,
        "category": [datatypes.coded("laboratory", "http://terminology.hl7.org/CodeSystem/observation-category")],
        "code": datatypes.concept(segment, 3, by) or _missing(segment, 3),
        **about,
        **own,
        **_value(result, by),
        "interpretation": _flags(segment, by),
        "referenceRange": _ranges(segment, by),
        "note": [{"text": text}] if (text := _text(notes)) else [],
    }
    method = datatypes.concept(segment, 17, by)
    if method:
        found["method"] = method
    performer = datatypes.person(segment, 16, by) or ({"display": segment.text_of(23)} if segment.text_of(23) else None)
    if performer:
        found["performer"] = [performer]
    if status == "cancelled" and not any(name.startswith("value") for name in found):
        found["dataAbsentReason"] = datatypes.coded("not-performed", "http://terminology.hl7.org/CodeSystem/data-absent-reason")
    return {name: value for name, value in found.items() if value not in ([], "", None)}


def _value(result: list[Segment], by: SenderMapping) -> Json:
    """OBX-5 by the type that OBX-2 names."""
    segment = result[0]
    kind = segment.text_of(2)
    values = segment.values(5)
    place = segment.place(5)
    if not segment.given(5) or segment.is_null(5):
        return {}
    if kind == "NM":
        return {"valueQuantity": {"value": datatypes.number(segment.text_of(5), place), **_unit(segment, by)}}
    if kind in PARTS_OF_TEXT:
        return {"valueString": "\n".join(_lines(one) for one in result)}
    if kind in ("CE", "CWE", "CF", "CNE", "IS", "ID"):
        several = [one for value in values if (one := datatypes.concept(segment, 5, by, value))]
        text = several[0] if len(several) == 1 else {"coding": [one for each in several for one in each.get("coding", ())]}
        return {"valueCodeableConcept": text} if several else {}
    if kind == "SN":
        return _structured(segment, by)
    if kind in ("DT", "TS", "DTM"):
        return {"valueDateTime": datatypes.moment(segment.text_of(5), place)}
    if kind == "TM":
        return {"valueTime": datatypes.clock(segment.text_of(5), place)}
    raise Unfit(
        f"Values of type '{kind[:10]}' are not read.",
        condition=Condition.TABLE_VALUE,
        place=segment.place(2),
        hint="Send NM, ST, TX, CE, CWE, SN, ED, DT or TM.",
        reason="value-type",
    )


def _lines(segment: Segment) -> str:
    by = segment.delimiters
    pieces = [by.component.join(by.subcomponent.join(part) for part in value) for value in segment.values(5)]
    return "\n".join(unescaped(one, by, segment.charset) for one in pieces)


def _structured(segment: Segment, by: SenderMapping) -> Json:
    """SN: <comparator> ^ <number> ^ <separator> ^ <number>: a bound, a range or a ratio."""
    place, unit = segment.place(5), _unit(segment, by)
    comparator, first, mark, second = (segment.text_of(5, number) for number in (1, 2, 3, 4))
    if second and mark == "-":
        return {
            "valueRange": {
                "low": {"value": datatypes.number(first, place), **unit},
                "high": {"value": datatypes.number(second, place), **unit},
            }
        }
    if second and mark in (":", "/"):
        return {
            "valueRatio": {
                "numerator": {"value": datatypes.number(first, place)},
                "denominator": {"value": datatypes.number(second, place)},
            }
        }
    if second or mark not in ("", "+") or comparator not in ("", "=", *COMPARATORS) or mark == "+":
        return {"valueString": "".join((comparator, first, mark, second))}
    found = {"value": datatypes.number(first, place), **unit}
    if comparator in COMPARATORS:
        found["comparator"] = COMPARATORS[comparator]
    return {"valueQuantity": found}


def _unit(segment: Segment, by: SenderMapping) -> Json:
    """OBX-6: a UCUM code where the sender says so or the mapping does; otherwise its text and nothing else."""
    text = segment.text_of(6, 1)
    shown = segment.text_of(6, 2) or text
    if not text or text == NULL:
        return {}
    code = by.unit(text) or (text if segment.text_of(6, 3) in ("UCUM", "UCD") else "")
    return {"unit": shown, **({"system": datatypes.UCUM, "code": code} if code else {})}


def _flags(segment: Segment, by: SenderMapping) -> list[Json]:
    """OBX-8: a flag of the table as a code, any other in words."""
    known = by.table("abnormal-flag")
    texts = [text for value in segment.values(8) if (text := segment.piece(value, 1)) and text != NULL]
    return [datatypes.coded(known[text], f"{datatypes.V3}ObservationInterpretation") if text in known else {"text": text} for text in texts]


def _ranges(segment: Segment, by: SenderMapping) -> list[Json]:
    """OBX-7: its text always, its bounds where they can be read."""
    text = segment.raw(7).strip()
    if not text or text == NULL:
        return []
    unit = _unit(segment, by) if segment.text_of(2) in ("NM", "SN") else {}
    both, one = RANGE.fullmatch(text), BOUND.fullmatch(text)
    found: Json = {"text": text}
    place = segment.place(7)
    if both:
        found["low"], found["high"] = ({"value": datatypes.number(part.replace(",", "."), place), **unit} for part in both.groups())
    elif one:
        side = "high" if one[1][0] in "<≤" else "low"
        found[side] = {"value": datatypes.number(one[2].replace(",", "."), place), **unit}
    return [found]


def _time(segment: Segment, number: int) -> Json:
    text = segment.text_of(number)
    return {"effectiveDateTime": datatypes.moment(text, segment.place(number))} if text and text != NULL else {}


def _instant(segment: Segment, number: int) -> Json:
    text = segment.text_of(number)
    return {"issued": datatypes.moment(text, segment.place(number), precise=True)} if len(text) >= 8 and text != NULL else {}


def _text(notes: list[Segment]) -> str:
    return "\n".join(text for one in notes for value in one.values(3) if (text := one.piece(value, 1)) and text != NULL)
