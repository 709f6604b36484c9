"""Signed objects in the form that the gate's `trust_put` takes: the body, and the columns by which it is found."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Any, Protocol

Row = dict[str, Any]


class Gate(Protocol):
    """The way to the store: one named statement a call."""

    def call(self, method: str, /, *, timeout_seconds: float = ..., **arguments: Any) -> Awaitable[Any]: ...


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def grant_row(body: bytes, *, zone: str, subject: str, seq: int, right: str, epoch: int, not_before: datetime, live_until: datetime) -> Row:
    """`subject` is a person's id, or "team:" and a team's."""
    team = subject.removeprefix("team:") if subject.startswith("team:") else None
    whom = {"team": team} if team is not None else {"person": subject}
    moments = {"not_before": milliseconds(not_before), "live_until": milliseconds(live_until)}
    return {"kind": "grant", "body": body, "zone": zone, **whom, "seq": seq, "right": right, "epoch": epoch, **moments}
