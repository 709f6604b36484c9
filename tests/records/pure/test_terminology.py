"""Terminology: what is in a value set, what a code is called, how codes stand to each other. http://hl7.org/fhir/R4/terminology-service.html."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from terms_cast import ILL_SYSTEM, ILLS, SETS, WARDS, filtered, sets_of, value_set

from cloister.base.errors import Corrupt, Invalid, NotFound, Unsupported
from cloister.records.terminology import shelf
from cloister.records.terminology.coding import Coded, lookup, subsumes, valid_in_set, valid_in_system
from cloister.records.terminology.expansion import Asked, Expander
from cloister.records.terminology.library import Absent, Library, version_key
from cloister.records.terminology.naming import ranges
from cloister.records.terminology.pack import open_pack, pack_of, packed
from cloister.records.terminology.translation import Wanted, maps_for, translate
from cloister.records.terminology.ucum import is_unit
from cloister.records.terminology.valuesets import Member

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def expanded(*resources: dict[str, Any], base: bool = False, **asked: Any) -> list[str]:
    sets = sets_of(*resources, base=base)
    made = Expander(sets).expand(sets.composed(resources[0]["url"]), Asked(**asked), now=NOW)
    return [one["code"] for one in made["expansion"].get("contains", [])]


def told(answer: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: next((value for name, value in one.items() if name.startswith("value")), None) for one in answer["parameter"]}


# --- value sets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("property", "op", "value", "codes"),
    [
        ("concept", "is-a", "A2", ["A2", "A21"]),
        ("concept", "descendent-of", "A", ["A1", "A2", "A21"]),
        ("concept", "child-of", "A", ["A1", "A2"]),
        ("concept", "is-not-a", "A", ["B"]),
        ("concept", "generalizes", "A21", ["A", "A2", "A21"]),
        ("parent", "=", "A", ["A1", "A2"]),
        ("season", "=", "winter", ["A1"]),
        ("season", "exists", "false", ["A", "A2", "A21", "B"]),
        ("code", "regex", "A[0-9]", ["A1", "A2"]),
        ("display", "regex", "Fièvre.*", ["A2", "A21"]),
        ("code", "in", "A1, B", ["A1", "B"]),
        ("code", "not-in", "A1,B", ["A", "A2", "A21"]),
    ],
)
def test_each_filter_lets_its_codes_through(property: str, op: str, value: str, codes: list[str]) -> None:
    one = value_set("filtered", filtered(property, op, value))
    assert expanded(one) == codes
    sets = sets_of(one)
    inside = sets.composed(one["url"])
    assert [code for code in ("A", "A1", "A2", "A21", "B") if sets.has(inside, ILLS, code) is Member.YES] == codes


def test_includes_are_joined_imports_are_intersected_and_excludes_take_away() -> None:
    fevers = value_set("fevers", filtered("concept", "is-a", "A2"))
    short = value_set("short", {"system": ILLS, "concept": [{"code": "A2"}, {"code": "A1"}]})
    both = value_set(
        "both", {"valueSet": [fevers["url"], short["url"]]}, {"system": WARDS}, exclude=[{"system": WARDS, "concept": [{"code": "MED"}]}]
    )
    assert expanded(both, fevers, short) == ["A2", "SURG"]
    sets = sets_of(both, fevers, short)
    inside = sets.composed(both["url"])
    assert sets.has(inside, ILLS, "A2") is Member.YES
    assert sets.has(inside, ILLS, "A21") is Member.NO
    assert sets.has(inside, WARDS, "MED") is Member.NO
    assert sets.has(inside, WARDS, "surg") is Member.YES  # that system does not mind case


def test_a_value_set_that_includes_itself_is_refused_by_name() -> None:
    first = value_set("first", {"valueSet": [f"{SETS}second"]})
    second = value_set("second", {"valueSet": [f"{SETS}first"]})
    with pytest.raises(Invalid) as refused:
        expanded(first, second)
    assert refused.value.reason == "cycle"
    sets = sets_of(first, second)
    with pytest.raises(Invalid):
        sets.has(sets.composed(first["url"]), ILLS, "A")


def test_a_value_set_of_a_system_that_is_not_loaded_is_unknown_and_never_a_no() -> None:
    elsewhere = value_set("elsewhere", {"system": "http://snomed.info/sct"})
    sets = sets_of(elsewhere)
    assert sets.has(sets.composed(elsewhere["url"]), "http://snomed.info/sct", "1") is Member.UNKNOWN
    assert sets.has(sets.composed(elsewhere["url"]), ILLS, "A") is Member.NO
    with pytest.raises(Absent) as absent:
        expanded(elsewhere)
    assert "snomed" in absent.value.text
    assert absent.value.hint


def test_a_list_of_codes_needs_no_loaded_system() -> None:
    listed = value_set("listed", {"system": "http://snomed.info/sct", "concept": [{"code": "1", "display": "One"}]})
    assert expanded(listed) == ["1"]


def test_a_page_of_an_expansion_and_what_is_asked_of_it() -> None:
    whole = value_set("whole", {"system": ILLS})
    assert expanded(whole) == ["A", "A1", "A2", "A21", "B"]
    assert expanded(whole, offset=1, count=2) == ["A1", "A2"]
    assert expanded(whole, filter="fievre urb") == ["A21"]
    assert expanded(whole, filter="influenza") == ["A1"]
    assert expanded(whole, filter="yellow") == ["A2"]  # a supplement's name
    assert expanded(whole, active=True)[-1] == "A21"
    assert expanded(whole, selectable=True)[0] == "A1"
    sets = sets_of(whole)
    made = Expander(sets).expand(sets.composed(whole["url"]), Asked(language="en-GB", designations=True, count=3), now=NOW)
    names = [one["display"] for one in made["expansion"]["contains"]]
    assert names == ["Infections", "Influenza", "Yellow fever"]
    assert made["expansion"]["contains"][1]["designation"] == [{"language": "en", "value": "Influenza"}]
    assert made["expansion"]["total"] == 5


def test_a_long_list_is_given_in_pages_and_refused_whole() -> None:
    many = {"resourceType": "CodeSystem", "url": "https://codes.example/many", "status": "active", "content": "complete"}
    many["concept"] = [{"code": str(number)} for number in range(6000)]
    one = value_set("many", {"system": many["url"]})
    assert expanded(one, many, count=3, offset=5998) == ["5998", "5999"]
    with pytest.raises(Invalid) as refused:
        expanded(one, many)
    assert refused.value.reason == "too-costly"


def test_implicit_value_sets_are_told_by_their_address() -> None:
    sets = sets_of()
    assert sets.has(sets.composed(f"{ILLS}?fhir_vs"), ILLS, "B") is Member.YES
    assert sets.has(sets.composed(f"{ILLS}?fhir_vs=isa/A2"), ILLS, "A1") is Member.NO
    assert sets.has(sets.composed(f"{SETS}whole-ills"), ILLS, "A1") is Member.YES  # CodeSystem.valueSet


def test_a_filter_that_cannot_hold_is_refused_by_name() -> None:
    for broken in (filtered("concept", "is-a", "Z"), filtered("code", "regex", "(?=A)A1"), filtered("code", "regex", "(")):
        with pytest.raises(Invalid):
            expanded(value_set("broken", broken))
    with pytest.raises(Unsupported):
        expanded(value_set("broken", filtered("code", "sounds-like", "A")))


# --- single codes ---------------------------------------------------------------------------------------------------


def test_a_code_is_looked_up_with_its_names_and_its_family() -> None:
    answer = lookup(sets_of().library, Coded(ILLS, "A2"), language="en")
    assert told(answer)["display"] == "Yellow fever"
    assert told(answer)["name"] == "Maladies"
    family = {part["part"][0]["valueCode"]: part["part"][1] for part in answer["parameter"] if part["name"] == "property"}
    assert family["parent"]["valueCode"] == "A"
    assert family["child"]["valueCode"] == "A21"
    with pytest.raises(NotFound) as unknown:
        lookup(sets_of().library, Coded(ILLS, "Z"))
    assert unknown.value.reason == "unknown-code"


def test_a_code_is_valid_under_its_names_and_under_no_other() -> None:
    library = sets_of().library
    assert told(valid_in_system(library, Coded(ILLS, "A1", display="grippe")))["result"] is True
    assert told(valid_in_system(library, Coded(ILLS, "A1", display="Influenza")))["result"] is True
    wrong = told(valid_in_system(library, Coded(ILLS, "A1", display="Fracture")))
    assert wrong["result"] is False
    assert wrong["display"] == "Grippe"
    assert told(valid_in_system(library, Coded(ILLS, "a1")))["result"] is False
    with pytest.raises(Absent):
        valid_in_system(library, Coded("http://snomed.info/sct", "1"))


def test_one_coding_of_a_concept_is_enough_and_a_system_may_be_inferred() -> None:
    one = value_set("one", filtered("concept", "is-a", "A"))
    sets = sets_of(one)
    inside = sets.composed(one["url"])
    assert told(valid_in_set(sets, inside, [Coded(WARDS, "MED"), Coded(ILLS, "A1")]))["result"] is True
    assert told(valid_in_set(sets, inside, [Coded("", "A1")]))["result"] is False
    assert told(valid_in_set(sets, inside, [Coded("", "A1")], infer=True))["system"] == ILLS
    assert told(valid_in_set(sets, inside, [Coded(ILLS, "A")], abstract=False))["result"] is False


def test_how_two_codes_stand_to_each_other() -> None:
    library = sets_of().library
    for one, other, outcome in (
        ("A", "A21", "subsumes"),
        ("A21", "A", "subsumed-by"),
        ("A1", "A2", "not-subsumed"),
        ("B", "B", "equivalent"),
    ):
        assert told(subsumes(library, Coded(ILLS, one), Coded(ILLS, other)))["outcome"] == outcome


MAP = {
    "resourceType": "ConceptMap",
    "url": "https://codes.example/map",
    "status": "active",
    "group": [
        {
            "source": ILLS,
            "target": WARDS,
            "element": [{"code": "A1", "target": [{"code": "MED", "equivalence": "wider"}]}],
            "unmapped": {"mode": "fixed", "code": "SURG", "display": "Chirurgie"},
        }
    ],
}


def test_a_code_is_translated_forwards_backwards_and_by_what_is_left() -> None:
    library = sets_of(MAP).library
    for wanted, code, relation in (
        (Wanted([Coded(ILLS, "A1")]), "MED", "wider"),
        (Wanted([Coded(ILLS, "B")], target_system=WARDS), "SURG", "inexact"),
        (Wanted([Coded(WARDS, "MED")], reverse=True), "A1", "narrower"),
    ):
        answer = translate(library, maps_for(library, wanted), wanted)
        match = next(one for one in answer["parameter"] if one["name"] == "match")
        assert [match["part"][0]["valueCode"], match["part"][1]["valueCoding"]["code"]] == [relation, code]
    with pytest.raises(NotFound):
        maps_for(library, Wanted([Coded("https://codes.example/none", "1")]))


# --- units ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unit",
    [
        "mg/dL",
        "10*3/uL",
        "mm[Hg]",
        "/min",
        "{beats}/min",
        "J/(kg.K)",
        "m-1",
        "[in_i'H2O]",
        "B[10.nV]",
        "U/(10.g){feces}",
        "%",
        "1/d",
        "[iU]/mL",
    ],
)
def test_these_are_units(unit: str) -> None:
    assert is_unit(unit)


@pytest.mark.parametrize("text", ["", "mmHg", "kg m", "m//s", "m/", ".m", "(m", "m)", "k[degF]", "{é}", "foo", "m{", "((((((((((((((((((m"])
def test_these_are_not(text: str) -> None:
    assert not is_unit(text)


@given(st.text(alphabet="mgksL/.()[]{}0123456789+-'*^Hµ %", max_size=40))
@settings(max_examples=150, deadline=None)
def test_no_text_breaks_the_grammar(text: str) -> None:
    assert is_unit(text) in (True, False)


# --- packs and the library ------------------------------------------------------------------------------------------


def test_a_pack_in_a_file_says_what_the_resources_said(tmp_path: Path) -> None:
    path = tmp_path / "one.pack"
    path.write_bytes(packed([ILL_SYSTEM, MAP]))
    pack = open_pack(path)
    system = pack.code_system(pack.entries[0])
    assert [system.code(number) for number in range(system.count)] == ["A", "A1", "A2", "A21", "B"]
    assert list(system.named("fievre")) == [2, 3]
    assert pack.resource(pack.entries[1]) == MAP
    path.write_bytes(b"CLPACK01" + bytes(40))
    with pytest.raises(Corrupt):
        open_pack(path)


@given(st.lists(st.text(alphabet="AaBbÉé1-", min_size=1, max_size=4), unique=True, max_size=30), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_code_is_found_again(codes: list[str], minds_case: bool) -> None:
    made = {"resourceType": "CodeSystem", "url": "u", "content": "complete", "caseSensitive": minds_case}
    folded = {code if minds_case else code.casefold(): code for code in codes}
    made["concept"] = [{"code": code} for code in folded.values()]
    pack = pack_of([made], "any")
    system = pack.code_system(pack.entries[0])
    for code in folded.values():
        number = system.find(code)
        assert number is not None
        assert system.code(number) == code
    assert system.find("never") is None


def test_the_highest_version_counts_unless_one_is_named() -> None:
    older = ILL_SYSTEM | {"version": "10", "concept": [{"code": "new"}]}
    library = Library([pack_of([older, ILL_SYSTEM], "two")])
    assert library.code_system(ILLS).version == "10"
    assert library.code_system(f"{ILLS}|2").find("A1") is not None
    assert version_key("2.10") > version_key("2.9")


def test_what_is_laid_over_never_takes_the_place_of_what_is_loaded() -> None:
    below = Library([pack_of([ILL_SYSTEM], "loaded")])
    forged = ILL_SYSTEM | {"version": "99", "concept": [{"code": "forged"}]}
    over = Library([pack_of([forged, MAP], "register")], below=below)
    assert over.code_system(ILLS).find("forged") is None
    assert over.has("ConceptMap", MAP["url"])


def test_the_trusts_folder_is_looked_at_again(tmp_path: Path) -> None:
    try:
        (tmp_path / "ills.pack").write_bytes(packed([ILL_SYSTEM]))
        (tmp_path / "torn.pack").write_bytes(b"CLPACK01")
        assert shelf.refresh(tmp_path)
        assert not shelf.refresh(tmp_path)
        assert shelf.library().has("CodeSystem", ILLS)
        assert shelf.library().has("CodeSystem", "http://hl7.org/fhir/administrative-gender")
        (tmp_path / "ills.pack").unlink()
        assert shelf.refresh(tmp_path)
        assert not shelf.library().has("CodeSystem", ILLS)
    finally:
        shelf.refresh(None)


def test_the_value_sets_of_r4_that_can_be_listed_are() -> None:
    """Those that cannot need a code system that R4 does not bring along, and say which."""
    sets = shelf.value_sets()
    expander, listed = Expander(sets), 0
    for name in (
        "administrative-gender",
        "observation-status",
        "condition-clinical",
        "identifier-type",
        "v3-ActEncounterCode",
        "currencies",
    ):
        address = f"http://{'terminology.hl7.org' if name.startswith('v3') else 'hl7.org/fhir'}/ValueSet/{name}"
        listed += len(expander.expand(sets.composed(address), Asked(), now=NOW)["expansion"]["contains"])
    assert listed > 150


def test_languages_fall_back_as_rfc_4647_says() -> None:
    assert ranges("en;q=0.5, fr-CA") == ["fr-ca", "fr", "en"]
    assert ranges("*") == []
