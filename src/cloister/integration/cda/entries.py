"""The entries of a document's sections as FHIR resources: one function for each kind of section, found by its LOINC code.

C-CDA R2.1 entries; the same patterns in CI-SIS documents. What is negated, unknown or of another form is not guessed: it is reported,
and stays in the document, which is kept as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.integration.cda import datatypes
from cloister.integration.cda.tree import Node

Json = dict[str, Any]
TERMS: Final = "http://terminology.hl7.org/CodeSystem"
ENTRIES_MAX: Final = 5000


@dataclass(slots=True)
class Report:
    """What of the entries was not understood: section, place in it, why."""

    lines: list[dict[str, str]] = field(default_factory=list)

    def leave(self, section: str, number: int, why: str) -> None:
        if len(self.lines) < ENTRIES_MAX:
            self.lines.append({"section": section, "entry": str(number), "why": why})


@dataclass(frozen=True, slots=True)
class Found:
    """One resource without id and subject; `key` says which entry it is, in this document and in the next version of it."""

    key: str
    resource: Json


class NotUnderstood(Exception):
    """Why an entry stays in the document only; never a value of it."""


Kind = Callable[[Node], Iterator[Found]]


def of_sections(body: Node, report: Report) -> list[Found]:
    """All entries of all sections, those of sections in sections too."""
    found: list[Found] = []
    for section in _sections(body):
        code = section.one("code").get("code")
        kind = KINDS.get(code)
        name = section.one("title").text[:60] or code or "?"
        for number, entry in enumerate(section.all("entry"), start=1):
            if kind is None:
                report.leave(name, number, "sections of this kind are kept in the document only")
                continue
            try:
                found += kind(entry)
            except NotUnderstood as why:
                report.leave(name, number, str(why))
    return found[:ENTRIES_MAX]


def _sections(node: Node) -> Iterator[Node]:
    for component in node.all("component"):
        for section in component.all("section"):
            yield section
            yield from _sections(section)


def _checked(node: Node) -> Node:
    if not node:
        raise NotUnderstood("the entry is of another form")
    if node.get("negationInd") == "true":
        raise NotUnderstood("it says that something is not so")
    if node.get("nullFlavor"):
        raise NotUnderstood("it says that something is not known")
    return node


def _coded(node: Node) -> Json:
    found = datatypes.concept(node)
    if found is None:
        raise NotUnderstood("it has no code")
    return found


def _key(kind: str, node: Node, more: str = "") -> str:
    own = datatypes.key_of(node.one("id"))
    if own:
        return f"{kind}|{own}{more}"
    time = node.one("effectiveTime")
    code = node.one("code").get("code") or node.one("value").get("code")
    return f"{kind}|{code}|{datatypes.when(time)}|{node.text[:200]}{more}"


def _identifiers(node: Node) -> list[Json]:
    return [one for one in map(datatypes.identifier, node.all("id")) if one]


def _whole(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if value not in (None, "", [], {})}


def _code(name: str, code: str) -> Json:
    return {"coding": [{"system": f"{TERMS}/{name}", "code": code}]}


# --- the kinds ---------------------------------------------------------------------------------------------


def problems(entry: Node) -> Iterator[Found]:
    """act (concern) / entryRelationship / observation; or the observation alone."""
    acts = entry.all("act/entryRelationship/observation") or entry.all("observation")
    for node in acts or [entry.one("observation")]:
        _checked(node)
        period = datatypes.period(node.one("effectiveTime"))
        active = "end" not in period and entry.one("act/statusCode").get("code") not in ("completed", "aborted")
        yield Found(
            _key("Condition", node),
            _whole(
                {
                    "resourceType": "Condition",
                    "identifier": _identifiers(node),
                    "clinicalStatus": _code("condition-clinical", "active" if active else "resolved"),
                    "verificationStatus": _code("condition-ver-status", "confirmed"),
                    "category": [_code("condition-category", "problem-list-item")],
                    "code": _coded(node.one("value")),
                    "onsetDateTime": period.get("start"),
                    "abatementDateTime": period.get("end"),
                }
            ),
        )


def allergies(entry: Node) -> Iterator[Found]:
    for node in entry.all("act/entryRelationship/observation") or entry.all("observation") or [entry.one("observation")]:
        _checked(node)
        agent = node.one("participant/participantRole/playingEntity")
        code = datatypes.concept(agent.one("code")) or ({"text": agent.one("name").text} if agent.one("name").text else None)
        kind = datatypes.coding(node.one("value"))
        if code is None:
            raise NotUnderstood("it names no substance")
        reactions = [
            {"manifestation": [manifested]}
            for one in node.all("entryRelationship")
            if one.get("typeCode") == "MFST" and (manifested := datatypes.concept(one.one("observation/value")))
        ]
        yield Found(
            _key("AllergyIntolerance", node),
            _whole(
                {
                    "resourceType": "AllergyIntolerance",
                    "identifier": _identifiers(node),
                    "clinicalStatus": _code("allergyintolerance-clinical", "active"),
                    "verificationStatus": _code("allergyintolerance-verification", "confirmed"),
                    "type": "intolerance" if "ntolerance" in (kind or {}).get("display", "") else "allergy",
                    "code": code,
                    "onsetDateTime": datatypes.when(node.one("effectiveTime")),
                    "reaction": reactions,
                }
            ),
        )


def medications(entry: Node) -> Iterator[Found]:
    node = _checked(entry.one("substanceAdministration"))
    period = next((one for one in map(datatypes.period, node.all("effectiveTime")) if one), {})
    status = {"completed": "completed", "aborted": "stopped", "suspended": "on-hold"}.get(node.one("statusCode").get("code"), "active")
    dose = datatypes.quantity(node.one("doseQuantity"))
    dosage = _whole(
        {
            "text": node.one("text").text,
            "route": datatypes.concept(node.one("routeCode")),
            "doseAndRate": [{"doseQuantity": dose}] if dose else [],
        }
    )
    yield Found(
        _key("MedicationStatement", node),
        _whole(
            {
                "resourceType": "MedicationStatement",
                "identifier": _identifiers(node),
                "status": status,
                "medicationCodeableConcept": _drug(node),
                "effectivePeriod": period,
                "dosage": [dosage] if dosage else [],
            }
        ),
    )


def _drug(node: Node) -> Json:
    material = node.one("consumable/manufacturedProduct/manufacturedMaterial")
    found = datatypes.concept(material.one("code")) or ({"text": material.one("name").text} if material.one("name").text else None)
    if found is None:
        raise NotUnderstood("it names no product")
    return found


def immunizations(entry: Node) -> Iterator[Found]:
    node = entry.one("substanceAdministration")
    refused = node.get("negationInd") == "true"
    if not node or node.get("nullFlavor"):
        raise NotUnderstood("the entry is of another form")
    given = datatypes.when(node.one("effectiveTime"))
    if not given:
        raise NotUnderstood("it says no day")
    yield Found(
        _key("Immunization", node),
        _whole(
            {
                "resourceType": "Immunization",
                "identifier": _identifiers(node),
                "status": "not-done" if refused else "completed",
                "vaccineCode": _drug(node),
                "occurrenceDateTime": given,
                "lotNumber": node.one("consumable/manufacturedProduct/manufacturedMaterial/lotNumberText").text,
                "route": datatypes.concept(node.one("routeCode")),
            }
        ),
    )


def _observations(category: str) -> Kind:
    def observations(entry: Node) -> Iterator[Found]:
        for node in entry.all("organizer/component/observation") or [entry.one("observation")]:
            _checked(node)
            yield Found(_key("Observation", node), _observation(node, category))

    return observations


def _observation(node: Node, category: str) -> Json:
    value = datatypes.value(node.one("value"))
    if not value:
        raise NotUnderstood("its value is of a type that is not read")
    status = {"active": "preliminary", "aborted": "cancelled"}.get(node.one("statusCode").get("code"), "final")
    ranges = []
    for one in node.all("referenceRange/observationRange"):
        ends = {name: end for name in ("low", "high") if (end := datatypes.quantity(one.one(f"value/{name}")))}
        text = one.one("text").text
        if ends or text:
            ranges.append({**ends, **({"text": text} if text else {})})
    return _whole(
        {
            "resourceType": "Observation",
            "identifier": _identifiers(node),
            "status": status,
            "category": [_code("observation-category", category)],
            "code": _coded(node.one("code")),
            "effectiveDateTime": datatypes.when(node.one("effectiveTime")),
            **value,
            "interpretation": [said for code in node.all("interpretationCode") if (said := datatypes.concept(code))],
            "referenceRange": ranges,
        }
    )


def procedures(entry: Node) -> Iterator[Found]:
    node = _checked(entry.one("procedure") or entry.one("act") or entry.one("observation"))
    status = {"active": "in-progress", "aborted": "stopped", "cancelled": "not-done"}.get(node.one("statusCode").get("code"), "completed")
    period = datatypes.period(node.one("effectiveTime"))
    time = {"performedPeriod": period} if "end" in period else {"performedDateTime": period.get("start", "")}
    made = {"resourceType": "Procedure", "identifier": _identifiers(node), "status": status, "code": _coded(node.one("code")), **time}
    yield Found(_key("Procedure", node), _whole(made))


def plan(entry: Node) -> Iterator[Found]:
    """What is intended: orders of the intent 'plan'; an encounter or a supply stays in the document."""
    node = _checked(entry.one("observation") or entry.one("procedure") or entry.one("act"))
    made = {
        "resourceType": "ServiceRequest",
        "identifier": _identifiers(node),
        "status": "active",
        "intent": "plan",
        "code": _coded(node.one("code")),
        "occurrenceDateTime": datatypes.when(node.one("effectiveTime")),
    }
    yield Found(_key("ServiceRequest", node), _whole(made))


KINDS: Final[dict[str, Kind]] = {
    "11450-4": problems,
    "11348-0": problems,
    "48765-2": allergies,
    "10160-0": medications,
    "10183-2": medications,
    "11369-6": immunizations,
    "30954-2": _observations("laboratory"),
    "8716-3": _observations("vital-signs"),
    "47519-4": procedures,
    "18776-5": plan,
}
