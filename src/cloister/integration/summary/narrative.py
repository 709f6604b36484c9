"""The words of a section, in the reader's language: a table that says what its entries say. http://hl7.org/fhir/R4/narrative.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

import orjson

Resource = Mapping[str, Any]
LANGUAGES: Final = ("en", "fr")
CODES: Final = ("code", "vaccineCode", "medicationCodeableConcept")
TIMES: Final = ("effectiveDateTime", "onsetDateTime", "occurrenceDateTime", "performedDateTime", "authoredOn", "recordedDate", "date")
PERIODS: Final = ("effectivePeriod", "performedPeriod", "onsetPeriod", "timingPeriod")


@cache
def words() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = orjson.loads((Path(__file__).parent / "words.json").read_bytes())
    return found


def table(resources: Sequence[Resource], language: str) -> dict[str, str]:
    """A Narrative that lists these resources."""
    say = words()[language]
    head = "".join(f"<th>{escape(say[name])}</th>" for name in ("what", "when", "more"))
    rows = "".join(
        f"<tr><td>{escape(what(one) or say['unnamed'])}</td><td>{escape(_when(one))}</td><td>{escape(_more(one))}</td></tr>"
        for one in resources
    )
    return _div(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>", language)


def sentence(text: str, language: str) -> dict[str, str]:
    return _div(f"<p>{escape(text)}</p>", language)


def _div(inner: str, language: str) -> dict[str, str]:
    return {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml" lang="{language}" xml:lang="{language}">{inner}</div>',
    }


def what(resource: Resource) -> str:
    for name in CODES:
        text = concept(resource.get(name))
        if text:
            return text
    for name in ("medicationReference", "device"):
        if resource.get(name):
            return str(resource[name].get("display") or "")
    return ""


def concept(value: Any) -> str:
    if not isinstance(value, Mapping):
        return ""
    shown = [str(one["display"]) for one in value.get("coding", ()) if one.get("display")]
    codes = [str(one["code"]) for one in value.get("coding", ()) if one.get("code")]
    return str(value.get("text") or next(iter([*shown, *codes]), ""))


def _when(resource: Resource) -> str:
    for name in TIMES:
        if resource.get(name):
            return str(resource[name])[:10]
    for name in PERIODS:
        period = resource.get(name) or {}
        if period.get("start") or period.get("end"):
            return " – ".join(str(period.get(end, ""))[:10] for end in ("start", "end")).strip()
    return ""


def _more(resource: Resource) -> str:
    parts = [_value(resource)]
    for one in resource.get("component", ()):
        parts.append(f"{concept(one.get('code'))} {_value(one)}".strip())
    for one in (*resource.get("dosage", ()), *resource.get("dosageInstruction", ())):
        parts.append(str(one.get("text") or ""))
    for one in resource.get("reaction", ()):
        parts += [concept(manifestation) for manifestation in one.get("manifestation", ())]
    return "; ".join(part for part in parts if part)


def _value(resource: Resource) -> str:
    quantity = resource.get("valueQuantity")
    if quantity:
        return f"{quantity.get('comparator', '')}{quantity.get('value', '')} {quantity.get('unit', quantity.get('code', ''))}".strip()
    return str(resource.get("valueString") or concept(resource.get("valueCodeableConcept")))
