"""One of a thousand members leaves: a new epoch for the others, and 100,000 dossier keys under it."""

from __future__ import annotations

import time

from benchmarks.measure import Result, at_most, told
from benchmarks.zones.place import DOSSIERS, LARGE, LARGE_MEMBERS, Place
from cloister.base.clock import system_clock
from cloister.offices import granting, rewrapping, rotation

GOAL_SECONDS = 5.0


async def run(place: Place) -> list[Result]:
    await place.fill()
    leaver = (await place.people("large", 1))[0]
    found = await place.gate.call("office_person", person=leaver)
    target = next(bytes(row["hash"]) for row in found["grants"] if row["zone"] == LARGE)
    stays = (await place.people("large", 2))[1]
    now = system_clock()
    began = time.perf_counter()
    ended = granting.revoked(place.keyring, "grant", target, leaver, "Has left", now)
    made = await rotation.rotate(place.keyring, place.gate, zone=LARGE, now=now, without={leaver}, also=[ended])
    rotated = time.perf_counter()
    done = await rewrapping.rewrap(place.keyring, place.gate, LARGE)
    finished = time.perf_counter()
    assert done == DOSSIERS
    assert made.grants >= LARGE_MEMBERS - 1
    assert not [zone for zone in place.open(leaver, *await place.member(leaver)).zones if zone.zone == LARGE]
    assert place.open(stays, *await place.member(stays)).epoch(LARGE) == made.epoch
    return [
        at_most(f"revoke one of {made.grants:,} and rewrap {done:,} dossiers", finished - began, "s", GOAL_SECONDS),
        told("of that: the new epoch, sealed and signed for everybody who stays", rotated - began, "s"),
        told("of that: rewrapping", finished - rotated, "s"),
    ]
