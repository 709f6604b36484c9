"""Program's policy and trust's rules together, by processor time: a question that was never asked, and one that was."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.measure import Result, at_most, percentile
from cloister.access import Action, Actor, Facts, read_policy, rules

NEW: Final = 3_000
AGAIN: Final = 200_000
GOAL_NEW_MILLISECONDS, GOAL_AGAIN_MICROSECONDS = 1.0, 10.0
DOCTOR: Final = Actor(person="p-1", name="Anne Roy", role="doctor", hospital="saint-roch", session="s-1")


async def run() -> list[Result]:
    policy = rules.Placed(read_policy(), lambda: rules.usual().rules)
    took = []
    for number in range(NEW):
        rules.standing_now.set(rules.Standing(place="home", aal=2, minutes=number % 30, site=str(number)))
        facts = Facts(kind="Observation", zones=frozenset({str(number)}))  # so that the program's policy has not heard it either
        began = time.thread_time()
        policy.decide(DOCTOR, Action.READ, facts)
        took.append((time.thread_time() - began) * 1000)
    began = time.process_time()
    for _ in range(AGAIN):
        policy.decide(DOCTOR, Action.READ, facts)
    again = (time.process_time() - began) / AGAIN * 1e6
    return [
        at_most("a decision asked for the first time, p99", percentile(took, 99), "ms", GOAL_NEW_MILLISECONDS),
        at_most("a decision asked before", again, "µs", GOAL_AGAIN_MICROSECONDS),
    ]
