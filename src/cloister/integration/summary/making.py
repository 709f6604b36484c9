"""Patient/[id]/$summary: reads what this session can open, and makes the document. http://hl7.org/fhir/uv/ips/OperationDefinition/summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cloister.base.clock import iso
from cloister.base.errors import Denied
from cloister.base.ids import new_id
from cloister.integration.summary.document import chosen, pointed, summary
from cloister.integration.summary.narrative import LANGUAGES
from cloister.integration.summary.sections import SECTIONS
from cloister.records import Records, as_sent, parse

PAGE: Final = 200
PAGES_MAX: Final = 10  # of one type
SORTED: Final = {
    "Condition": "-recorded-date",
    "AllergyIntolerance": "-date",
    "MedicationStatement": "-effective",
    "MedicationRequest": "-authoredon",
    "Immunization": "-date",
    "Observation": "-date",
    "Procedure": "-date",
    "DeviceUseStatement": "-_lastUpdated",
}


async def make_summary(records: Records, id: str, *, base: str, language: str) -> dict[str, Any]:
    """NotFound where there is no such patient for this session. What its role may not read is left out, as if it were not there."""
    await records.exported("Patient")
    patient = as_sent((await records.read("Patient", id)).resource or {})
    found: dict[str, list[Mapping[str, Any]]] = {}
    for type in dict.fromkeys(type for section in SECTIONS for type in section.types):
        found[type] = await _of(records, type, id)
    used = [one for section in SECTIONS for one in chosen(section, found)]
    beside = await records.many(pointed([patient, *used]))
    along = {reference: as_sent(stored.resource or {}) for reference, stored in beside.items()}
    return summary(
        patient,
        found,
        along,
        base=base,
        language=language if language in LANGUAGES else "en",
        id=new_id(),
        ids=_ids(),
        now=iso(records.clock()),
    )


async def _of(records: Records, type: str, patient: str) -> list[Mapping[str, Any]]:
    try:
        page = await records.search(
            parse(
                type, [("patient", f"Patient/{patient}"), ("_sort", SORTED[type]), ("_count", str(PAGE)), ("_total", "none")], strict=True
            )
        )
    except Denied:
        return []
    found = [hit.stored.resource or {} for hit in page.hits]
    for _ in range(PAGES_MAX):
        if page.next is None:
            break
        page = await records.page(page.next)
        found += [hit.stored.resource or {} for hit in page.hits]
    return list(found)


def _ids() -> Iterator[str]:
    while True:
        yield new_id()
