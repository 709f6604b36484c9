"""The zone's list of people, packed: a search finds the same people as a look at each of them, at whatever size."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.records import shard
from cloister.records.search import IndexEntry, extract, matches, parse
from cloister.records.searching import needles_of

NAMES = ("Lopez", "Löpez", "O'Neill", "de la Tour", "Nguyễn", "Straße", "Ba", "B", "lopez", "Lo|pez")
NOW = datetime(2026, 11, 30, tzinfo=UTC)
QUERIES = (
    *((f"family{how}", name) for how in ("", ":exact", ":contains") for name in (*NAMES, "lop", "o'n", "tour,ba", "x", "é")),
    ("given", "anne"), ("name", "ba"), ("name", "lopez,anne"), ("birthdate", "1980-02"), ("birthdate", "ge1990"), ("gender", "female"),
    ("gender:not", "male"), ("identifier", "urn:x|7"), ("identifier", "7"), ("identifier", "urn:x|"), ("phonetic", "lopes"),
    ("address-city", "saint-é"), ("family:missing", "true"), ("death-date:missing", "true"), ("_id", "p3"), ("_lastUpdated", "gt2020"),
)  # fmt: skip


class Keys:
    """Seals nothing: what is tried here is the list."""

    def shard_seal(self, zone: str, number: int, plain: bytes) -> bytes:
        return plain

    def shard_open(self, zone: str, number: int, sealed: bytes) -> bytes:
        return sealed

    def can(self, zone: str, right: str) -> bool:
        return True


class Gate:
    """The rows of one zone's list."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.sent = 0

    def put(self, number: int, people: Sequence[shard.Person]) -> None:
        self.parts[number] = shard.seal_people(Keys(), "ward", number, people)  # type: ignore[arg-type]

    async def call(self, method: str, **given: Any) -> Any:
        if method == "write":
            for number in given["shard_drop_no"]:
                del self.parts[number]
            self.parts[given["shard_no"][0]] = given["shard_ct"][0]
            return None
        known, bodies = given.get("known", ()), given.get("bodies", True)
        rows = [(number, len(part), part if bodies and number not in known else None) for number, part in sorted(self.parts.items())]
        self.sent += sum(1 for _, _, part in rows if part is not None)
        return rows


def listed(gate: Gate) -> shard.Shard:
    return shard.Shard(gate, Keys(), "ward")  # type: ignore[arg-type]


def person(id: str, version: int = 1, *, deleted: bool = False, **resource: Any) -> shard.Person:
    values = extract({"resourceType": "Patient", "id": id, **resource})
    return shard.Person(id.encode().ljust(16, b"."), deleted, IndexEntry("Patient", id, version, 1_790_000_000_000_000, values))


async def found(people: shard.Shard, *terms: tuple[str, str]) -> set[str]:
    query = parse("Patient", list(terms), now=NOW)
    return {one.entry.id async for one in people.people(needles_of(query)) if not one.deleted and matches(query, one.entry, undecided=True)}


PEOPLE = st.lists(
    st.builds(
        lambda family, given, born, gender, number: {
            **({"name": [{"family": family, "given": [given]}]} if family else {}),
            "birthDate": born,
            "gender": gender,
            "identifier": [{"system": "urn:x", "value": number}],
            "address": [{"city": "Saint-Étienne"}],
        },
        st.sampled_from((*NAMES, "")),
        st.sampled_from(("Anne", "Ann", "Ба")),
        st.sampled_from(("1980-02-29", "1980-02", "1999", "2001-01-01")),
        st.sampled_from(("female", "male")),
        st.sampled_from(("7", "77", "Z")),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(PEOPLE, st.lists(st.sampled_from(QUERIES), min_size=1, max_size=3), st.integers(1, 5))
def test_a_search_finds_whom_a_look_at_each_finds(people: list[dict[str, Any]], terms: list[tuple[str, str]], apart: int) -> None:
    known = [person(f"p{number}", **resource) for number, resource in enumerate(people)]
    gate = Gate()
    for start in range(0, len(known), apart):
        gate.put(start + 1, known[start : start + apart])
    query = parse("Patient", terms, now=NOW)
    expected = {one.entry.id for one in known if matches(query, one.entry, undecided=True)}
    assert asyncio.run(found(listed(gate), *terms)) == expected


async def test_what_was_seen_is_not_fetched_again_and_what_was_made_one_is_not_lost() -> None:
    gate = Gate()
    for number in range(shard.PARTS_MAX + 6):
        gate.put(number + 1, [person(f"p{number}", name=[{"family": f"Many {number}"}])])
    people = listed(gate)
    assert len(await found(people, ("family", "many"))) == shard.PARTS_MAX + 6
    assert len(gate.parts) == shard.PARTS_MAX + 7 - shard.PARTS_MERGED  # and many small parts were made one
    gate.put(10**6, [person("new", name=[{"family": "Many and new"}])])
    before = gate.sent
    assert len(await found(people, ("family", "many"))) == shard.PARTS_MAX + 7
    assert gate.sent - before == 2  # the one of many, and the new one


async def test_no_part_grows_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hospital's list as one part would be more than can be sealed as one."""
    monkeypatch.setattr(shard, "PART_BYTES_MAX", 4096)
    gate, written = Gate(), 0
    for number in range(400):
        several = [person(f"p{number}.{n}", name=[{"family": f"{(number + n) * 7919:x}"}], birthDate="1980-02-29") for n in range(6)]
        gate.put(number + 1, several)
        written += len(several)
        await shard.tidy(gate, Keys(), "ward")  # type: ignore[arg-type]
    sizes = [len(part) for part in gate.parts.values()]
    assert max(sizes) <= 4096
    assert sum(1 for size in sizes if 2 * size <= 4096) <= shard.PARTS_MAX + 1
    assert len([one async for one in listed(gate).people()]) == written


async def test_whoever_was_written_again_is_known_as_last_written() -> None:
    gate = Gate()
    gate.put(1, [person("ada", name=[{"family": "Old"}]), person("bob", name=[{"family": "Old"}])])
    gate.put(2, [person("ada", 2, deleted=True, name=[{"family": "New"}])])
    people = listed(gate)
    (ada,) = await people.of(b"ada".ljust(16, b"."))
    assert (ada.entry.version, ada.deleted) == (2, True)
    assert await found(people, ("family", "new")) == set()
    assert {one.entry.id async for one in people.people([[b"old"]])} == {"ada", "bob"}  # the record itself decides


async def test_a_hospitals_people_take_little_memory_and_no_request_waits_for_their_search() -> None:
    gate = Gate()
    for start in range(0, 20_000, 5_000):
        several = [person(f"p{n}", name=[{"family": f"Family {n * 7919:x}", "given": ["Anne"]}], birthDate="1980-02-29")
                   for n in range(start, start + 5_000)]  # fmt: skip
        gate.put(start + 1, several)
    people, turns = listed(gate), 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.ensure_future(others())
    assert await found(people, ("family", f"family {19_999 * 7919:x}")) == {"p19999"}
    task.cancel()
    assert turns >= 20_000 // shard.CHUNK_PEOPLE
    assert people.bytes_kept < 120 * 20_000
