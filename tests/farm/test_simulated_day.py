"""The simulated day: two hospitals of the trust, with deaths and a night's maintenance, and the optimum that it is held against."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.farm.maintenance.windows import Window
from cloister.farm.simulate.draw import picture
from cloister.farm.simulate.figures import Figures, figures_of, told
from cloister.farm.simulate.optimum import least_seconds
from cloister.farm.simulate.people import Hospital
from cloister.farm.simulate.plot import Plot
from cloister.farm.simulate.world import World

HOSPITALS = (Hospital("lake", 60, 700), Hospital("forest", 30, 300))
NIGHT = Window(id="night", group="lake", days=("tue",), start=120, minutes=60, percent=20, deadline=1800, zone="UTC")
PLOT = Plot(
    day=datetime(2026, 11, 24, tzinfo=UTC), seed=7, hospitals=HOSPITALS, licences=1200, reserve=50, deaths=4, history_days=14, window=NIGHT
)


@pytest.fixture(scope="module")
def world() -> World:
    made = World(PLOT)
    made.run()
    return made


@pytest.fixture(scope="module")
def figures(world: World) -> Figures:
    return figures_of(world)


def test_nobody_waits_and_most_of_the_energy_is_saved(world: World, figures: Figures) -> None:
    assert world.counts.placed > 2000
    assert world.counts.most_at_once > 800
    assert figures.longest_wait <= 5.0
    assert figures.saved > 0.5
    # Two small hospitals: a spare server of each weighs more than in a trust.
    assert 1.0 <= figures.ratio <= 1.2


def test_what_must_hold_was_checked_at_every_placement(world: World) -> None:
    assert world.counts.checks == world.counts.placed
    assert world.counts.licences_most <= PLOT.licences
    assert len(world.licences.held) == sum(len(server.held) for group in world.groups.values() for server in group.servers)


def test_servers_died_and_their_people_came_back(world: World) -> None:
    assert world.counts.deaths == 4
    assert world.counts.interrupted > 0


def test_the_night_s_maintenance_renewed_every_server_that_ran_and_never_more_than_its_share(world: World) -> None:
    assert world.counts.renewed >= 3
    assert 1 <= world.counts.out_at_once <= 4
    turns = {str(server.turn) for server in world.groups["lake"].servers}
    assert turns <= {"done", "failed"}, turns


def test_the_same_seed_is_the_same_day(world: World) -> None:
    plot = replace(PLOT, hospitals=HOSPITALS[1:], window=None, deaths=1)
    first, second, other = World(plot), World(plot), World(replace(plot, seed=8))
    for one in (first, second, other):
        one.run()
    assert first.counts == second.counts
    assert first.spent_hours == second.spent_hours
    assert first.counts != other.counts


def test_a_farm_that_is_too_small_makes_people_wait_in_turn_and_breaks_nothing() -> None:
    plot = replace(PLOT, hospitals=(Hospital("forest", 6, 120),), licences=70, reserve=5, window=None, deaths=0, history_days=1)
    crowded = World(plot)
    crowded.run()
    assert crowded.counts.waited > 0
    assert {"licences"} <= set(crowded.counts.refusals)
    assert crowded.counts.licences_most <= 70


def test_the_picture_is_well_formed_and_says_what_it_shows(world: World, figures: Figures) -> None:
    drawn = ElementTree.fromstring(picture(figures, "A day"))
    text = "".join(drawn.itertext())
    assert all(word in text for word in ("Servers", "Sessions", "People waiting", "always on", f"{figures.ratio:.3f}"))
    assert len(drawn.findall("{http://www.w3.org/2000/svg}polyline")) == 5
    assert f"{figures.ratio:.3f}" in told(world, figures)


# --- the optimum -----------------------------------------------------------------------------------------


def by_trying(held: list[int], capacity: int, step: float, boot: float, stop: float) -> float:
    """Every plan of how many servers serve at each sample, the cheapest: what the optimum says in one pass."""
    wanted = [-(-sessions // capacity) for sessions in held]
    best = float("inf")
    for plan in itertools.product(range(max(wanted) + 1), repeat=len(wanted)):
        if all(serving >= need for serving, need in zip(plan, wanted, strict=True)):
            changes = [after - before for before, after in itertools.pairwise(plan)]
            cost = step * sum(plan) + sum(boot * change if change > 0 else -stop * change for change in changes)
            best = min(best, cost)
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=6), st.integers(1, 4), st.integers(1, 4))
def test_the_optimum_is_what_trying_every_plan_finds(held: list[int], boot: int, stop: int) -> None:
    held = [*held, max(held)]  # wanted at both ends, where the day is cut
    held[0] = max(held)
    assert least_seconds(held, capacity=3, step=1.0, boot=boot, stop=stop) == pytest.approx(by_trying(held, 3, 1.0, boot, stop))


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    assert least_seconds([3, 0, 3], capacity=3, step=60, boot=120, stop=30) == 180
    assert least_seconds([3, *[0] * 10, 3], capacity=3, step=60, boot=120, stop=30) == 120 + 150
