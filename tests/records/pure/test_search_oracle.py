"""By chance: small populations and questions, and the compiled search must say what the standard's text says (naive_search.py)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import naive_search as naive
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.records.search import IndexEntry, decided, extract, matches, parse, sorted_entries

Json = dict[str, Any]
Holds = Callable[[Json], bool]
Asked = tuple[str, str, Holds]  # parameter, value, what the standard says of a resource
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EXAMPLES = 120

# --- what resources are made of: few different values, so that they meet -----------------------------------------------

SYSTEMS = ["", "http://loinc.org", "urn:local"]
CODES = ["A", "a", "B-1", "8480-6"]
DAYS = ["2026", "2026-11", "2026-11-21", "2026-11-22", "2025-12-31", "2024-02"]
TIMES = ["T08:00:00Z", "T08:00:00+01:00", "T23:30:00-05:00", "T08:00:00.5Z", "T07:59:59.999+00:00"]
NAMES = ["Lopez", "López", "lopez-Núñez", "Du Pont", "Œuvré", "ŒUVRE", "Ana  María", "ç", "Straße"]
TARGETS = ["Patient/1", "Patient/2", "Group/1", "Device/x", "https://other.example/fhir/Patient/1"]
FORMS = ["http://example.org/q", "http://example.org/q|1.0", "http://example.org/q|2.0", "http://example.org/qq", "urn:uuid:1"]
NUMBERS = ["5", "5.0", "5.35", "5.4", "5.45", "5.449", "-5.4", "0", "100", "99.5", "0.001", "7"]

coding = st.builds(lambda s, c: {"code": c} | ({"system": s} if s else {}), st.sampled_from(SYSTEMS), st.sampled_from(CODES))
concept = st.one_of(
    st.builds(lambda several: {"coding": several}, st.lists(coding, min_size=1, max_size=2)),
    st.just({"text": "Poids"}),
    st.just({"coding": [{"display": "x"}]}),
)
moment = st.one_of(
    st.sampled_from(DAYS), st.builds(lambda d, t: d + t, st.sampled_from([d for d in DAYS if len(d) == 10]), st.sampled_from(TIMES))
)
full = st.one_of(st.sampled_from(["2026-11-21", "2026-11-22", "2026-11-21T08:00:00Z"]))
period = st.builds(
    lambda a, b: {name: one for name, one in (("start", a), ("end", b)) if one},
    st.none() | st.sampled_from(DAYS[:4]),
    st.sampled_from(["2026-11-22", "2027"]),
)
quantity = st.builds(
    lambda v, c, unit: {"value": float(v)} | ({"comparator": c} if c else {}) | unit,
    st.sampled_from(NUMBERS),
    st.sampled_from(["", "", "<", ">"]),
    st.sampled_from([{}, {"unit": "mg"}, {"system": "urn:u", "code": "mg", "unit": "milligram"}, {"system": "urn:u", "code": "g"}]),
)


@st.composite
def observations(draw: st.DrawFn) -> Json:
    made: Json = {"resourceType": "Observation", "status": draw(st.sampled_from(["final", "amended"])), "code": draw(concept)}
    choose = draw(st.integers(0, 255))
    if choose & 1:
        made["subject"] = {"reference": draw(st.sampled_from(TARGETS))}
    if choose & 2:
        made |= {"effectiveDateTime": draw(moment)} if choose & 4 else {"effectivePeriod": draw(period)}
    if choose & 8:
        made["valueQuantity"] = draw(quantity)
    elif choose & 16:
        made["valueCodeableConcept"] = draw(concept)
    if choose & 32:
        made["component"] = [{"code": draw(concept), "valueQuantity": draw(quantity)} for _ in range(draw(st.integers(1, 2)))]
    if choose & 64:
        made["performer"] = [
            {"reference": one} for one in draw(st.lists(st.sampled_from(["Patient/1", "Practitioner/1"]), min_size=1, max_size=2))
        ]
    if choose & 128:
        made["meta"] = {"tag": [draw(coding)]}
    return made


@st.composite
def patients(draw: st.DrawFn) -> Json:
    made: Json = {
        "resourceType": "Patient",
        "name": [{"family": draw(st.sampled_from(NAMES)), "given": draw(st.lists(st.sampled_from(NAMES), max_size=2))}],
    }
    choose = draw(st.integers(0, 15))
    if choose & 1:
        made["birthDate"] = draw(st.sampled_from(DAYS))
    if choose & 2:
        made["identifier"] = [{"value": draw(st.sampled_from(CODES))} | ({"system": "urn:ins"} if choose & 4 else {})]
    if choose & 8:
        made["active"] = bool(choose & 1)
    made["name"][0] = {name: one for name, one in made["name"][0].items() if one}
    return made


@st.composite
def answers(draw: st.DrawFn) -> Json:
    return {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": draw(st.sampled_from(FORMS))}


# --- what is asked: a value as sent, and what the standard says about a resource ---------------------------------------


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("$", "\\$").replace("|", "\\|")


@st.composite
def by_token(draw: st.DrawFn, code: str, *paths: str) -> Asked:
    several = draw(
        st.lists(
            st.builds(lambda s, c: s + c, st.sampled_from(["", "|", "http://loinc.org|", "urn:ins|"]), st.sampled_from([*CODES, "zz"])),
            min_size=1,
            max_size=2,
        )
    )
    not_ = draw(st.booleans())

    def holds(resource: Json) -> bool:
        return any(naive.is_token(naive.tokens(resource, *paths), one) for one in several) is not not_

    return code + (":not" if not_ else ""), ",".join(several), holds


@st.composite
def by_date(draw: st.DrawFn, code: str, *paths: str) -> Asked:
    prefix, text = draw(st.sampled_from(naive.PREFIXES)), draw(moment)

    def holds(resource: Json) -> bool:
        return any(naive.dated(one, prefix, text, NOW) for one in naive.spans(resource, *paths))

    return code, ("" if prefix == "eq" and draw(st.booleans()) else prefix) + text, holds


@st.composite
def by_quantity(draw: st.DrawFn, code: str, *paths: str) -> Asked:
    prefix, number = draw(st.sampled_from(naive.PREFIXES)), draw(st.sampled_from([*NUMBERS, "1e2", "5.40", "54e-1"]))
    text = number + draw(st.sampled_from(["", "", "||mg", "|urn:u|mg"]))

    def holds(resource: Json) -> bool:
        return any(naive.measured(one, prefix, text) for path in paths for one in naive.quantities(resource, path))

    return code, prefix + text, holds


@st.composite
def by_string(draw: st.DrawFn, code: str, *paths: str) -> Asked:
    modifier = draw(st.sampled_from(["", "exact", "contains"]))
    whole = draw(st.sampled_from(NAMES))
    start = draw(st.integers(0, max(0, len(whole) - 2))) if modifier == "contains" else 0
    text = whole[start:] if modifier else whole[: draw(st.integers(1, len(whole)))]

    def holds(resource: Json) -> bool:
        return naive.is_text([one for path in paths for one in naive.each(resource, path)], text, modifier)

    return code + (f":{modifier}" if modifier else ""), escaped(text), holds


@st.composite
def by_reference(draw: st.DrawFn, code: str, path: str, *types: str) -> Asked:
    text = draw(st.sampled_from([*TARGETS, "1", "x", "Practitioner/1"]))

    def holds(resource: Json) -> bool:
        return naive.is_reference(naive.each(resource, f"{path}.reference"), text, types)

    return code, text, holds


@st.composite
def by_missing(draw: st.DrawFn, code: str, *paths: str) -> Asked:
    wanted = draw(st.booleans())
    return (
        f"{code}:missing",
        str(wanted).lower(),
        lambda resource: any(True for path in paths for _ in naive.each(resource, path)) is not wanted,
    )


@st.composite
def by_pair(draw: st.DrawFn) -> Asked:
    _, code, has_code = draw(by_token("code", "code"))
    _, value, has_value = draw(by_quantity("value", "valueQuantity"))
    first = code.split(",")[0]

    def holds(resource: Json) -> bool:
        return any(naive.is_token(naive.tokens(one, "code"), first) and has_value(one) for one in naive.each(resource, "component"))

    del has_code
    return "component-code-value-quantity", f"{first}${value}", holds


by_form = st.sampled_from([*FORMS, "http://example.org/other"]).map(
    lambda text: ("questionnaire", text, lambda resource: naive.is_canonical(naive.each(resource, "questionnaire"), text))
)
EFFECTIVE = ("effectiveDateTime", "effectivePeriod")
of_observations = st.one_of(
    by_token("code", "code"),
    by_token("combo-code", "code", "component.code"),
    by_token("value-concept", "valueCodeableConcept"),
    by_token("_tag", "meta.tag"),
    by_token("status", "status").filter(lambda one: "|" not in one[1]),
    by_date("date", *EFFECTIVE),
    by_quantity("value-quantity", "valueQuantity"),
    by_quantity("combo-value-quantity", "valueQuantity", "component.valueQuantity"),
    by_reference("subject", "subject", "Device", "Group", "Location", "Patient"),
    by_reference("performer", "performer", "CareTeam", "Organization", "Patient", "Practitioner", "PractitionerRole", "RelatedPerson"),
    by_missing("date", *EFFECTIVE),
    by_missing("subject", "subject"),
    by_missing("value-quantity", "valueQuantity"),
    by_pair(),
)
of_patients = st.one_of(
    by_string("family", "name.family"),
    by_string("given", "name.given"),
    by_string("name", "name.family", "name.given"),
    by_date("birthdate", "birthDate"),
    by_token("identifier", "identifier"),
    by_token("active", "active").filter(lambda one: "|" not in one[1]),
    by_missing("birthdate", "birthDate"),
    by_missing("identifier", "identifier"),
)


def agree(type: str, population: list[Json], asked: list[Asked]) -> None:
    entries = [IndexEntry(type, f"{n}", 1, n, extract(one)) for n, one in enumerate(population)]
    query = parse(type, [(name, text) for name, text, _ in asked], strict=True, now=NOW)
    found = [n for n, entry in enumerate(entries) if matches(query, entry, undecided=True) and decided(query, population[n])]
    assert found == [n for n, one in enumerate(population) if all(holds(one) for _, _, holds in asked)], [one[:2] for one in asked]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(observations(), min_size=1, max_size=5), st.lists(of_observations, min_size=1, max_size=2))
def test_observations_are_found_as_the_standard_says(population: list[Json], asked: list[Asked]) -> None:
    agree("Observation", population, asked)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(patients(), min_size=1, max_size=5), st.lists(of_patients, min_size=1, max_size=2))
def test_people_are_found_as_the_standard_says(population: list[Json], asked: list[Asked]) -> None:
    agree("Patient", population, asked)


@settings(max_examples=50, deadline=None)
@given(st.lists(answers(), min_size=1, max_size=4), by_form)
def test_canonical_addresses_are_found_as_the_standard_says(population: list[Json], asked: Asked) -> None:
    agree("QuestionnaireResponse", population, [asked])


KEYS: dict[str, Callable[[Json], list[Any]]] = {
    "birthdate": lambda one: [low for low, _ in naive.spans(one, "birthDate")],
    "family": lambda one: [naive.unfolded(text) for text in naive.each(one, "name.family")],
    "given": lambda one: [naive.unfolded(text) for text in naive.each(one, "name.given")],
    "identifier": lambda one: list(naive.tokens(one, "identifier")),
}


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(patients(), max_size=6),
    st.lists(st.tuples(st.sampled_from(sorted(KEYS)), st.booleans()), min_size=1, max_size=3, unique_by=lambda key: key[0]),
)
def test_several_keys_order_and_what_has_no_value_comes_last(population: list[Json], keys: list[tuple[str, bool]]) -> None:
    """#sort: the lowest value counts when ascending, the highest when descending; equals by the next key, at last the newest first."""
    entries = [IndexEntry("Patient", f"{n:02}", 1, n, extract(one)) for n, one in enumerate(population)]
    query = parse("Patient", [("_sort", ",".join(("-" if down else "") + name for name, down in keys))], strict=True)

    def before(a: int, b: int) -> bool:
        for name, down in keys:
            first, second = KEYS[name](population[a]), KEYS[name](population[b])
            if not first or not second:
                if first or second:
                    return bool(first)
                continue
            one, other = (max(first), max(second)) if down else (min(first), min(second))
            if one != other:
                return one > other if down else one < other
        return a > b

    found = [int(entry.id) for entry in sorted_entries(query, entries)]
    assert sorted(found) == list(range(len(population)))
    assert all(before(a, b) for a, b in zip(found, found[1:], strict=False)), found
