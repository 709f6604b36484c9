"""The demo's code systems: fragments with the codes that its records use, and the notices of their owners."""

from __future__ import annotations

from datetime import date
from typing import Any

from cloister.demo import code_systems, generate
from cloister.records.terminology.library import Library
from cloister.records.terminology.pack import pack_of
from cloister.records.validation import check


def codings(node: Any) -> set[tuple[str, str]]:
    if isinstance(node, list):
        return {pair for one in node for pair in codings(one)}
    if not isinstance(node, dict):
        return set()
    own = {(node["system"], node["code"])} if isinstance(node.get("code"), str) and isinstance(node.get("system"), str) else set()
    return own.union(*(codings(value) for value in node.values()))


def test_every_code_of_a_demo_record_is_in_the_demo_s_fragments() -> None:
    made = code_systems()
    for one in made:
        check(one)
        assert one["content"] == "fragment"
        assert one["copyright"]
    library = Library([pack_of(made, "demo")])
    for system, code in codings(list(generate(60, 3, today=date(2026, 11, 20)))):
        if library.has("CodeSystem", system):
            assert library.code_system(system).find(code) is not None, (system, code)


def test_a_whole_table_goes_before_a_fragment() -> None:
    (loinc, *_) = code_systems()
    whole = loinc | {"content": "complete", "version": "2.80", "concept": [{"code": "1-8"}]}
    for packs in ([pack_of([loinc], "demo"), pack_of([whole], "loinc")], [pack_of([whole], "loinc"), pack_of([loinc], "demo")]):
        assert Library(packs).code_system(loinc["url"]).find("1-8") is not None
