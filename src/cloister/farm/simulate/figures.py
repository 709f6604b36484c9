"""What a simulated day comes to: its figures, each with its goal, and its curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloister.farm.simulate.optimum import least_seconds
from cloister.farm.simulate.world import TICK, World

WAIT_GOAL: Final = 5.0
RATIO_GOAL: Final = 1.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Hours are server-hours. `ratio`: ours against the clairvoyant optimum. Curves have a value a minute."""

    spent: float
    least: float
    always: float
    longest_wait: float
    sessions: Sequence[int]
    on: Sequence[int]
    wanted: Sequence[int]  # the fewest servers that hold these sessions
    waiting: Sequence[int]

    @property
    def ratio(self) -> float:
        return self.spent / self.least

    @property
    def saved(self) -> float:
        return 1 - self.spent / self.always

    def as_json(self) -> dict[str, float]:
        numbers = {name: getattr(self, name) for name in ("spent", "least", "always", "ratio", "saved", "longest_wait")}
        return {**numbers, "sessions_most": max(self.sessions)}

    @property
    def holds(self) -> bool:
        return self.ratio <= RATIO_GOAL and self.longest_wait <= WAIT_GOAL


def figures_of(world: World) -> Figures:
    plot, groups = world.plot, list(world.groups.values())
    least = sum(least_seconds(group.held, capacity=plot.slots, step=TICK, boot=plot.boot_mean, stop=plot.stop_mean) for group in groups)
    minutes = range(len(groups[0].held))
    return Figures(
        spent=world.spent_hours, least=least / 3600, always=24.0 * sum(len(group.servers) for group in groups),
        longest_wait=world.counts.longest_wait,
        sessions=[sum(group.held[m] for group in groups) for m in minutes],
        on=[sum(group.on[m] for group in groups) for m in minutes],
        wanted=[sum(-(-group.held[m] // plot.slots) for group in groups) for m in minutes],
        waiting=[sum(group.waiting[m] for group in groups) for m in minutes],
    )  # fmt: skip


def told(world: World, figures: Figures) -> str:
    """The day in lines, as `make sim` prints it."""
    c, f, plot = world.counts, figures, world.plot
    servers = sum(len(group.servers) for group in world.groups.values())
    refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(c.refusals.items())) or "none"
    lines = [
        f"{plot.day:%A %d %B %Y}, seed {plot.seed}: {servers:,} servers in {len(world.groups)} hospitals, {plot.licences:,} licences",
        f"sessions      {c.placed:,} placed, {c.rejoined:,} times rejoined, at most {c.most_at_once:,} at once",
        f"waiting       {c.waited:,} people, the longest {c.longest_wait:.1f} s (goal {WAIT_GOAL:.0f} s), {c.longest_queue} at once; "
        f"refusals: {refused}",
        f"licences      at most {c.licences_most:,} of {plot.licences:,}",
        f"servers       {c.starts:,} starts, {c.stops:,} stops, {c.taken_back:,} taken back; {c.deaths} died with {c.interrupted} sessions",
        f"emptying      {c.moved:,} sessions ended on servers that were emptied, {c.asked_to_move:,} of them with a person before them",
        f"energy        {f.spent:,.0f} server-hours; always on {f.always:,.0f} ({f.saved:.0%} saved); clairvoyant {f.least:,.0f}",
        f"against it    {f.ratio:.3f} (goal {RATIO_GOAL:.2f})",
        f"checked       {c.checks:,} placements and {len(f.sessions):,} recounts, nothing broken",
    ]
    if c.renewed:
        lines.insert(6, f"maintenance   {c.renewed:,} servers started anew in turn, at most {c.out_at_once} out at once")
    return "\n".join(lines)
