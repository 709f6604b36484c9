"""Asking for a zone: a clinician's signed request in the letter box, which an access officer grants or refuses with a reason.

Spec: docs/spec/zones.md 20. The request opens nothing. Who asks is who signed, whatever the letter box says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.errors import Denied, Invalid
from cloister.base.wire import Caller
from cloister.identity import learn_signers
from cloister.offices import granting
from cloister.zones import Forged, Keyring, envelope

LABEL: Final = "cloister/access-request/v1"
KIND: Final = "access"
AUDIENCE: Final = ("access-officer",)
LIFE: Final = timedelta(days=14)
DAYS_MAX: Final = 1096
RIGHTS: Final = ("read", "write")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as this session has verified it; `answer` is what the officer wrote."""

    id: str
    person: str
    name: str
    zone: str
    right: str
    days: int
    reason: str
    state: str
    made: str
    answer: str
    genuine: bool


async def ask(keyring: Keyring, gate: Caller, *, zone: str, right: str, days: int, reason: str, now: datetime) -> str:
    """The request's id. The access officers see it; nothing is open because of it."""
    granting.checked_reason(reason)
    if right not in RIGHTS or not 1 <= days <= DAYS_MAX or not zone:
        raise Invalid("Choose a zone, a right and a time.", hint="A grant lasts three years at most.", reason="term")
    body = {
        "trust": keyring.trust_id, "zone": zone, "right": right, "days": days, "reason": reason.strip(), "at": granting.milliseconds(now),
    }  # fmt: skip
    signed = keyring.sign(LABEL, body)
    return str(
        await gate.call("request_open", kind=KIND, zone=zone, body=signed, audience=list(AUDIENCE), seconds=int(LIFE.total_seconds()))
    )


async def asked(keyring: Keyring, gate: Caller, *, open_only: bool, now: datetime) -> list[Asked]:
    """What this person asked, or is asked as an officer; newest first."""
    rows = await gate.call("requests", kinds=[KIND], open_only=open_only)
    return [await _one(keyring, gate, row, now) for row in rows[:100]]


async def _one(keyring: Keyring, gate: Caller, row: list[Any], now: datetime) -> Asked:
    body, genuine = await _verified(keyring, gate, row, now)
    answer = ""
    if row[10]:
        parts = (await gate.call("request", id=row[0]))["parts"]
        answer = bytes(parts[-1][4]).decode("utf-8", "replace")
    return Asked(
        id=row[0], person=row[3], name=row[4], zone=str(body.get("zone") or ""), right=str(body.get("right") or ""),
        days=int(body.get("days") or 0), reason=str(body.get("reason") or ""), state=row[7], made=row[8], answer=answer, genuine=genuine,
    )  # fmt: skip


async def _verified(keyring: Keyring, gate: Caller, row: list[Any], now: datetime) -> tuple[dict[str, Any], bool]:
    """What was asked, and whether the person named by the letter box signed it for this trust and zone."""
    blob = bytes(row[6])
    try:
        hashed = envelope.certificate_hash(envelope.peek_signer(blob))
        await learn_signers(gate, keyring, [blob], now)
        author = keyring.author_at(hashed, now)
        body = envelope.opened(LABEL, blob, author.sign_public)
    except (Forged, Denied):
        return {}, False
    return body, author.person == row[3] and body.get("trust") == keyring.trust_id and body.get("zone") == row[2]


async def grant_asked(keyring: Keyring, gate: Caller, *, request: str, days: int, right: str, answer: str, now: datetime) -> None:
    """Grant what was asked, or less of it; the asker's reason and the officer's words both stand in the grant."""
    found = await _wanted(keyring, gate, request, now)
    if not found.genuine:
        raise Denied(
            "This request was not signed by who it names.", hint="Refuse it, and tell the privacy officer.", reason="request-forged"
        )
    reason = f"{found.reason} / {answer.strip()}" if answer.strip() else found.reason
    until = now + timedelta(days=min(days, found.days))
    await granting.grant(keyring, gate, zone=found.zone, person=found.person, right=right, live_until=until, reason=reason, now=now)
    await _close(gate, request, "granted", answer)


async def refuse_asked(gate: Caller, *, request: str, answer: str) -> None:
    granting.checked_reason(answer)
    await _close(gate, request, "refused", answer)


async def withdraw(gate: Caller, *, request: str) -> None:
    await gate.call("request_close", id=request, state="withdrawn")


async def _close(gate: Caller, request: str, state: str, answer: str) -> None:
    if answer.strip():
        await gate.call("request_part", id=request, kind="answer", body=answer.strip().encode()[:4000])
    await gate.call("request_close", id=request, state=state)


async def _wanted(keyring: Keyring, gate: Caller, request: str, now: datetime) -> Asked:
    row = (await gate.call("request", id=request))["request"]
    return await _one(keyring, gate, [*row, 0], now)
