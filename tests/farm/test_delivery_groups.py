"""Delivery groups as operators write them: which servers they take, whom they serve, what is refused, and that it is on record first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest
import pytest_asyncio
from estate_cast import House
from farm_cast import NOW, Farm, a_server

from cloister.base.errors import CloisterError, Conflict, Invalid, NotFound, Unavailable
from cloister.farm import MemoryStore, group_acts
from cloister.farm.groups import EVERYBODY, THE_RECORD, Application, ApplicationKind, Group, changed


class Groups(House):
    def __init__(self, pool: Any) -> None:
        super().__init__(pool, agents=lambda server: pytest.fail(server), now=NOW)
        group_acts.GroupActs(self.acts, self.acts.store)

    async def groups_of(self, server: str) -> tuple[str, ...]:
        return next(one.groups for one in await self.estate.servers() if one.id == server)


@pytest_asyncio.fixture
async def house(pool: Any) -> Groups:
    made = Groups(pool)
    for name in ("s1", "s2", "s3"):
        await made.estate.set_server(a_server(name))
    return made


async def test_a_group_takes_servers_by_name_and_by_label_and_the_rest_stays_everybodys(house: Groups) -> None:
    made = await house.do("set_group", id="icu", servers=["s1"], labels=["gpu"], roles=["doctor", "nurse"])
    assert made == {"created": True, "members": 1, "fitting": 1, "images": []}
    assert await house.do("label_server", server="s2", labels=["gpu", "cellar"]) == {"groups": ["icu"], "labels": ["cellar", "gpu"]}
    assert [await house.groups_of(one) for one in ("s1", "s2", "s3")] == [("icu",), ("icu",), ("default",)]
    # What a server says of itself at every hello changes nothing of it; what else it names comes beside.
    await house.estate.set_server(a_server("s1"))
    await house.estate.set_server(a_server("s2", groups=("night", "default")))
    assert [await house.groups_of(one) for one in ("s1", "s2")] == [("icu",), ("icu", "night")]
    await house.estate.set_server(a_server("s9"))
    await house.do("set_group", id="icu", servers=["s9"])
    await house.estate.set_server(a_server("s9"))
    assert [await house.groups_of(one) for one in ("s1", "s9")] == [("default",), ("icu",)]
    found = await house.do("groups")
    assert [(one["id"], one["members"]) for one in found["groups"]] == [("default", 2), ("icu", 2)]
    assert found["labels"] == {"s2": ["cellar", "gpu"]}
    assert await house.do("remove_group", id="icu") == {"orphans": []}
    assert [await house.groups_of(one) for one in ("s1", "s2", "s9")] == [("default",), ("night", "default"), ("default",)]


async def test_a_group_of_an_image_says_how_many_of_its_servers_run_it_and_what_the_others_run(house: Groups) -> None:
    for name, image in (("s1", "2026.11"), ("s2", "2026.12"), ("s3", "")):
        await house.estate.set_server(a_server(name, image=image))
    made = await house.do("set_group", id="icu", servers=["s1", "s2", "s3"], image="2026.12")
    assert made == {"created": True, "members": 3, "fitting": 1, "images": ["2026.11", "2026.12"]}
    none = await house.do("set_group", id="icu", image="2027.01")
    assert (none["members"], none["fitting"]) == (3, 0)
    (default, icu) = (await house.do("groups"))["groups"]
    assert (default["fitting"], icu["fitting"], icu["image"]) == (0, 0, "2027.01")


async def test_every_change_is_on_record_before_it_is_made_with_what_was_and_who_did_it(house: Groups) -> None:
    house.audit_is_away = True
    with pytest.raises(Unavailable):
        await house.do("set_group", id="icu", servers=["s1"])
    assert await house.groups_of("s1") == ("default",)
    house.audit_is_away = False
    await house.do("set_group", id="icu", servers=["s1"], tolerance=2)
    await house.do("set_group", id="icu", hospital="h1", server_max=30)
    await house.do("label_server", server="s2", labels=["gpu"])
    await house.do("remove_group", id="icu")
    assert {note["actor"] for note in house.notes} == {"damien"}
    assert [(note["object"], note["reason"]) for note in house.notes] == [
        ("group/icu", "applications: record; tolerance: 2; servers: s1"),
        ("group/icu", "hospital: none -> h1; server_max: none -> 30"),
        ("server/s2", "labels: none -> gpu"),
        ("group/icu", "removed; it had hospital: h1; applications: record; tolerance: 2; server_max: 30; servers: s1"),
    ]


BAD: Final[tuple[tuple[str, dict[str, Any], type[CloisterError], str], ...]] = (
    ("set_group", {"id": "Intensive care"}, Invalid, "group-id"),
    ("set_group", {"id": "icu", "servers": ["s1", "nobody"]}, NotFound, "group-servers"),
    ("set_group", {"id": "icu", "labels": ["G P U"]}, Invalid, "group-labels"),
    ("set_group", {"id": "icu", "applications": ["letters"]}, NotFound, "group-applications"),
    ("set_group", {"id": "icu", "applications": []}, Invalid, "group-applications"),
    ("set_group", {"id": "icu", "hospital": "h9"}, NotFound, "group-hospital"),
    ("set_group", {"id": "icu", "roles": ["wizard"]}, Invalid, "group-roles"),
    ("set_group", {"id": "icu", "tolerance": 0}, Invalid, "group-tolerance"),
    ("set_group", {"id": "icu", "tolerance": None}, Invalid, "group-tolerance"),
    ("set_group", {"id": "icu", "server_max": True}, Invalid, "group-server_max"),
    ("set_group", {"id": "icu", "name": "x\ny"}, Invalid, "group-name"),
    ("set_group", {"id": "icu", "colour": "red"}, Invalid, "group-field"),
    ("set_group", {"id": "default", "servers": ["s1"]}, Invalid, "group-default"),
    ("set_group", {"id": "default"}, Invalid, "group-same"),
    ("remove_group", {"id": "default"}, Conflict, "group-default"),
    ("remove_group", {"id": "icu"}, NotFound, "group"),
    ("label_server", {"server": "nobody", "labels": []}, NotFound, "server"),
    ("label_server", {"server": "s1", "labels": "gpu"}, Invalid, "labels"),
)


async def test_bad_input_is_refused_by_name_and_nothing_is_written(house: Groups) -> None:
    for act, words, kind, reason in BAD:
        with pytest.raises(kind) as refused:
            await house.do(act, **words)
        assert refused.value.reason == reason
        assert refused.value.hint or reason == "group-field"
        assert (house.notes, await house.estate.groups()) == ([], [EVERYBODY])


async def test_who_takes_a_group_away_is_told_what_nobody_offers_any_more(house: Groups) -> None:
    await house.estate.set_application(Application(id="letters", name="Letters", kind=ApplicationKind.WINDOW))
    await house.do("set_group", id="office", applications=["letters", "record"])
    assert await house.do("remove_group", id="office") == {"orphans": ["letters"]}


async def test_a_group_for_doctors_sends_them_to_its_servers_and_nobody_else() -> None:
    store = MemoryStore()
    farm = Farm(store, ["s1", "s2"])
    await store.set_group(changed(Group(id="icu"), {"roles": ["doctor"], "applications": [THE_RECORD.id]}))
    await store.set_server(replace(a_server("s1"), groups=("icu",), seen=farm.now))
    await store.set_server(replace(a_server("s2"), groups=("icu",), seen=farm.now))
    broker = farm.broker(patience_seconds=0)
    await broker.start_session("adele", "doctor", "person")
    with pytest.raises(CloisterError) as refused:
        await broker.start_session("bruno", "nurse", "person")
    assert refused.value.reason == "not-published"
