"""Dossier keys under a zone's older epochs are wrapped anew under the newest, at once or slowly in the background.

Whoever holds the zone may do it, and reads nothing by it. It can stop at any moment: what is left is what still stands under
an older epoch, so the next one goes on from there, in whoever's session.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import CloisterError, Conflict
from cloister.base.telemetry import log
from cloister.offices.objects import Gate
from cloister.offices.rotation import CLOSED, PAST
from cloister.zones import Keyring

AT_ONCE: Final = 10_000
SLOWLY: Final = 250
PAUSE_SECONDS: Final = 0.25
FIRST: Final = (bytes(16), 0)
RENEWED_TIMES_MAX: Final = 3
SECONDS_MAX: Final = 120.0

Progress = Callable[[int, int], None]  # how many are done, of how many


@dataclass(frozen=True, slots=True)
class Left:
    """How many dossier keys of a zone still stand under an older epoch, of how many."""

    stale: int
    total: int


async def left(gate: Gate, zone: str) -> Left:
    stale, total = await gate.call("wraps_left", zone=zone)
    return Left(int(stale), int(total))


async def rewrap(keyring: Keyring, gate: Gate, zone: str, *, progress: Progress | None = None, slowly: bool = False) -> int:
    """How many were rewrapped. `slowly` leaves the store to others between small steps.

    A gate that has a newer epoch than this session renews the session's keys with its refusal, and it begins again.
    """
    if any(held.zone == zone and held.policy.get(PAST) == CLOSED for held in keyring.zones):
        raise Conflict("The past of this zone is closed.", hint="Its older keys stay with those who had them.", reason="past-closed")
    done = 0
    total = (await left(gate, zone)).stale
    for last in (*[False] * (RENEWED_TIMES_MAX - 1), True):
        try:
            async for count in _steps(keyring, gate, zone, SLOWLY if slowly else AT_ONCE):
                done += count
                if progress is not None:
                    progress(done, max(total, done))
                if slowly:
                    await asyncio.sleep(PAUSE_SECONDS)
        except Conflict as replaced:
            if replaced.reason != "epoch-replaced" or last:
                raise
        else:
            break
    return done


async def _steps(keyring: Keyring, gate: Gate, zone: str, size: int) -> Any:
    """While one step is being stored, the next is being fetched."""
    fetching = asyncio.ensure_future(gate.call("wraps_stale", timeout_seconds=SECONDS_MAX, zone=zone, after=FIRST, limit=size))
    try:
        while rows := await fetching:
            after = (rows[-1][0], rows[-1][1])
            fetching = asyncio.ensure_future(gate.call("wraps_stale", timeout_seconds=SECONDS_MAX, zone=zone, after=after, limit=size))
            named = [(str(uuid.UUID(bytes=id)), key_no, epoch, wrapped) for id, key_no, epoch, wrapped in rows]
            wrapped = keyring.rewrapped(zone, named)
            dossiers, key_nos, was, _ = (list(column) for column in zip(*rows, strict=True))
            epoch = keyring.passing_on(zone).epoch
            columns = {"dossiers": dossiers, "key_nos": key_nos, "was": was, "wrapped": wrapped}
            yield await gate.call("wraps_put", timeout_seconds=SECONDS_MAX, zone=zone, epoch=epoch, **columns)
    finally:
        fetching.cancel()


_running: Final[dict[str, asyncio.Task[None]]] = {}


def later(keyring: Keyring, gate: Gate, zone: str) -> None:
    """Rewrap a zone slowly while this session is open; once at a time. When the session ends, the next officer's goes on."""
    if zone in _running:
        return
    task = asyncio.get_running_loop().create_task(_slowly(keyring, gate, zone))
    _running[zone] = task
    task.add_done_callback(lambda _: _running.pop(zone, None))


def running(zone: str) -> bool:
    return zone in _running


async def _slowly(keyring: Keyring, gate: Gate, zone: str) -> None:
    try:
        done = await rewrap(keyring, gate, zone, slowly=True)
    except CloisterError as stopped:
        log("rewrapping.stopped", level="warning", zone=zone, reason=stopped.reason)
    else:
        log("rewrapping.done", zone=zone, keys=done)
