"""Whoever runs the estate works in code, processes and database roles that have no path to the record. ARCHITECTURE.md, 'The house'."""

from __future__ import annotations

from itertools import permutations
from typing import Final

import grimp
import pytest
from journeys_cast import Administrator

ESTATE: Final = ("cloister.farm", "cloister.server", "cloister.gateway")
CARE: Final = ("cloister.records", "cloister.epr")
FOUNDATION: Final = ("cloister.base", "cloister.audit", "cloister.zones", "cloister.identity", "cloister.access")


@pytest.fixture(scope="module")
def house() -> grimp.ImportGraph:
    return grimp.build_graph("cloister")


@pytest.mark.parametrize("estate", ESTATE)
@pytest.mark.parametrize("care", CARE)
def test_no_module_of_the_estate_has_a_path_to_the_record_nor_back(house: grimp.ImportGraph, estate: str, care: str) -> None:
    assert house.find_shortest_chain(importer=estate, imported=care, as_packages=True) is None
    assert house.find_shortest_chain(importer=care, imported=estate, as_packages=True) is None


def test_no_module_of_the_record_imports_another(house: grimp.ImportGraph) -> None:
    modules = sorted(house.find_children("cloister.epr.modules"))
    assert len(modules) > 3
    for one, other in permutations(modules, 2):
        assert house.find_shortest_chain(importer=one, imported=other, as_packages=True) is None, (one, other)


def test_the_foundation_knows_nothing_of_what_stands_on_it(house: grimp.ImportGraph) -> None:
    for lower, higher in permutations(FOUNDATION, 2):
        if FOUNDATION.index(lower) < FOUNDATION.index(higher):
            assert house.find_shortest_chain(importer=lower, imported=higher, as_packages=True) is None, (lower, higher)
    for lower in FOUNDATION:
        for higher in (*ESTATE, *CARE, "cloister.web", "cloister.cli", "cloister.assemble"):
            assert house.find_shortest_chain(importer=lower, imported=higher, as_packages=True) is None, (lower, higher)


def test_the_estates_role_sees_no_sealed_key_and_nothing_of_the_record(administrator: Administrator) -> None:
    may = "select has_{0}_privilege('{1}', '{2}', '{3}')"
    for schema in ("care", "audit"):
        assert administrator.one(may.format("schema", "cloister_estate", schema, "usage")) is False
    assert administrator.one("select has_column_privilege('cloister_estate', 'trust.unlocker', 'sealed', 'select')") is False
    assert administrator.one(may.format("table", "cloister_estate", "trust.identity", "select")) is False
    assert administrator.one(may.format("table", "cloister_gate", "estate.session", "select")) is False
    rights = "select rolsuper, rolcreaterole, rolbypassrls from pg_roles where rolname in ('cloister_gate', 'cloister_estate')"
    roles = administrator.rows(rights)
    assert len(roles) == 2
    assert not any(role["rolsuper"] or role["rolcreaterole"] or role["rolbypassrls"] for role in roles)
    for action in ("update", "delete", "truncate"):
        assert administrator.one(may.format("table", "cloister_gate", "audit.event", action)) is False
