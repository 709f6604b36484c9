"""Where a session goes, and what a refusal says: the pure part."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from farm_cast import NOW, a_server
from hypothesis import given
from hypothesis import strategies as st

from cloister.base.errors import Busy, CloisterError, Unavailable
from cloister.farm import Server
from cloister.farm.groups import EVERYBODY, Group
from cloister.farm.placement import ServerState, Wanted
from cloister.farm.ranking import Ranking, meeting_point

ADELE = Wanted(person="adele", role="nurse", hospital="saint-roch")


def ranking(servers: list[Server], *groups: Group, wanted: Wanted = ADELE, salt: str = "") -> Ranking:
    return Ranking(servers, {group.id: group for group in (EVERYBODY, *groups)}, wanted=wanted, now=NOW, salt=salt)


def refused(servers: list[Server], *groups: Group, wanted: Wanted = ADELE) -> CloisterError:
    with pytest.raises(CloisterError) as raised:
        ranking(servers, *groups, wanted=wanted).best()
    return raised.value


def test_sixty_people_at_once_are_spread_though_no_server_reports_meanwhile() -> None:
    servers = [a_server(f"s{n:02}", load=0.4) for n in range(30)]
    servers[7] = replace(servers[7], load=0.1)  # on this old figure alone, all sixty would go here
    ranked = ranking(servers)
    for _ in range(60):
        ranked.placed(ranked.best(1)[0].server)
    assert max(row.starting for row in ranked.rows.values()) <= 4
    assert min(row.taken for row in ranked.rows.values()) >= 1


@given(st.lists(st.sampled_from(["placed", "ready", "failed"]), max_size=80), st.integers(2, 9))
def test_the_best_is_always_the_one_that_a_full_scan_finds(steps: list[str], count: int) -> None:
    ranked = ranking([a_server(f"s{n}", slots=4 + n % 3, free=4 + n % 3, load=n / 10) for n in range(count)])
    for number, step in enumerate(steps):
        open_rows = [row for row in ranked.rows.values() if row.why is None]
        if not open_rows:
            with pytest.raises(Busy):
                ranked.best()
            ranked.ready(f"s{number % count}")
            continue
        best = ranked.best(1)[0]
        assert best.server == min(open_rows, key=lambda row: (row.index, row.tie)).id
        assert ranked.room == sum(row.room for row in ranked.rows.values())
        getattr(ranked, step)(best.server if step == "placed" else f"s{number % count}")


A_SERVER = st.fixed_dictionaries(
    {
        "free": st.integers(0, 6), "load": st.sampled_from([0.1, 0.5]), "memory": st.sampled_from([0.2, 0.99]),
        "state": st.sampled_from([ServerState.READY, ServerState.DRAINING]), "groups": st.sampled_from([("default",), ("nobody's",)]),
        "starting": st.integers(0, 4), "seen": st.sampled_from([NOW, NOW - timedelta(minutes=1)]),
    }
)  # fmt: skip


@given(st.lists(st.dictionaries(st.integers(0, 5), A_SERVER), min_size=1, max_size=6), st.sampled_from([(), ("b1", "b2")]))
def test_a_ranking_that_was_renewed_is_as_one_made_anew(snapshots: list[dict[int, dict[str, Any]]], brokers: tuple[str, ...]) -> None:
    groups = {EVERYBODY.id: EVERYBODY}
    renewed = Ranking([], groups, wanted=ADELE, now=NOW, brokers=brokers)
    for said in snapshots:
        servers = [a_server(f"s{n}", **{"slots": 6, **facts}) for n, facts in said.items()]
        renewed.reading()
        renewed.renew(servers, groups, now=NOW)
        anew = Ranking(servers, groups, wanted=ADELE, now=NOW, brokers=brokers)
        assert (renewed.room, renewed.published, renewed.account()) == (anew.room, anew.published, anew.account())
        assert _bests(renewed) == _bests(anew)
        for server in list(renewed.rows)[:2]:
            renewed.placed(server)


def _bests(ranked: Ranking) -> object:
    try:
        return ranked.best()
    except CloisterError as refusal:
        return refusal.reason


def test_what_was_learnt_while_a_snapshot_was_read_is_newer_than_it() -> None:
    groups = {EVERYBODY.id: EVERYBODY}
    ranked = ranking([a_server("s1"), a_server("s2")])
    ranked.placed("s1")
    ranked.reading()
    ranked.placed("s2")
    ranked.renew([a_server("s1", free=4), a_server("s2", load=0.5)], groups, now=NOW)
    assert {row.id: (row.taken, row.processor) for row in ranked.rows.values()} == {"s1": (6, 0.0), "s2": (1, 0.5)}
    ranked.reading()
    ranked.renew([a_server("s1", free=4), a_server("s2")], groups, now=NOW)
    assert ranked.rows["s2"].taken == 0


def test_several_brokers_keep_to_their_own_servers_though_others_reported_a_hair_less() -> None:
    names = ("b1", "b2", "b3")
    servers = [a_server(f"s{n:02}", load=0.2 + n % 7 / 1000) for n in range(60)]
    groups = {EVERYBODY.id: EVERYBODY}
    firsts = [{one.server for one in Ranking(servers, groups, wanted=ADELE, now=NOW, salt=name, brokers=names).best()} for name in names]
    assert sum(map(len, firsts)) == len(set.union(*firsts)) == 24


def test_a_refusal_counts_what_refused() -> None:
    busy = [a_server(f"t{n}", starting=4, free=6) for n in range(3)]
    draining = [a_server(f"d{n}", state=ServerState.DRAINING) for n in range(9)]
    found = refused([*busy, *draining])
    assert isinstance(found, Busy)
    assert (found.reason, found.text) == (
        "tolerance",
        "No server can take a session now. 12 servers: 3 at their tolerance of sign-ins, 9 draining.",
    )


@pytest.mark.parametrize(
    ("server", "reason", "kind"),
    [
        ({"starting": 4}, "tolerance", Busy),
        ({"free": 0}, "slots", Busy),
        ({"memory": 0.97}, "memory", Busy),
        ({"state": ServerState.STARTING}, "server-starting", Busy),
        ({"image": "old", "groups": ("tested",)}, "image", Unavailable),
        ({"state": ServerState.DRAINING}, "server-draining", Unavailable),
        ({"state": ServerState.MAINTENANCE}, "server-maintenance", Unavailable),
        ({"state": ServerState.UNHEALTHY}, "server-unhealthy", Unavailable),
        ({"seen": NOW - timedelta(seconds=20)}, "server-silent", Unavailable),
        ({"state": ServerState.OFF}, "server-off", Unavailable),
        ({"groups": ("nobody-knows-it",)}, "not-published", Unavailable),
        ({"groups": ("theirs",)}, "not-published", Unavailable),
    ],
)
def test_each_constraint_refuses_by_its_own_name(server: dict[str, Any], reason: str, kind: type[CloisterError]) -> None:
    tested, theirs = Group(id="tested", image="2026.12"), Group(id="theirs", hospital="sainte-anne")
    found = refused([a_server("only", **server)], tested, theirs)
    assert (found.reason, type(found)) == (reason, kind)
    assert found.hint
    ranking([a_server("only", **server), a_server("other")], tested, theirs).best()


def test_a_group_bounds_its_servers_and_is_for_its_hospital() -> None:
    small = Group(id="small", hospital="saint-roch", tolerance=1, server_max=2)
    assert refused([a_server(groups=("small",), free=8)], small).reason == "slots"
    assert refused([a_server(groups=("small",), free=9, starting=1)], small).reason == "tolerance"
    assert ranking([a_server(groups=("small",), free=9)], small).best()[0].limit == 2
    assert refused([a_server(groups=("small",))], small, wanted=replace(ADELE, hospital="")).reason == "not-published"


def test_brokers_try_equal_servers_in_orders_of_their_own() -> None:
    servers = [a_server(f"s{n}") for n in range(50)]
    firsts = {name: [one.server for one in ranking(servers, salt=name).best()] for name in ("b1", "b2", "b3")}
    assert len({tuple(order) for order in firsts.values()}) == 3
    assert firsts["b1"] == [one.server for one in ranking(servers, salt="b1").best()]


def test_where_brokers_cannot_ask_they_meet_at_the_same_server() -> None:
    servers = [a_server(f"s{n}") for n in range(20)]
    points = {person: [one.server for one in meeting_point(person, ranking(servers, salt="b1"))] for person in ("adele", "bruno", "chloe")}
    assert all(order == [one.server for one in meeting_point(person, ranking(servers, salt="b2"))] for person, order in points.items())
    assert len({order[0] for order in points.values()}) > 1
