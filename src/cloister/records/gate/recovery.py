"""What the three parties of a recovery read: card sets, escrow key, seals, drills. What they sign goes through `trust_put`.

IT's sealed recovery data is handed to IT only; the seals to all three, because none opens one alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Denied, NotFound
from cloister.records.gate.statement import Arguments, Call, Statement

IT: Final = frozenset({"certificate-officer", "it-operator"})
PARTIES: Final = IT | {"access-officer", "management"}
SEALS_MAX: Final = 500

SETS: Final = "select body from trust.recovery_set order by name, number limit 1000"
ESCROW: Final = "select hash, body, params, sealed from trust.recovery_escrow order by made desc, hash limit 100"
CANARY: Final = "select zone, epoch, body from trust.recovery_canary order by made desc, zone, epoch desc limit 1"
DRILLS: Final = """
    select r.id, p.name, r.body, t.body
      from trust.request r join trust.request_part t on t.request = r.id and t.kind = 'finish' join trust.person p on p.id = t.person
     where r.kind = 'recovery-drill' and r.state = 'done' order by r.closed desc limit 10"""
ZONE: Final = "select id, name, hospital, ward, body from trust.zone where id = $1"
ZONES: Final = "select id, name from trust.zone order by name, id limit 20000"
EPOCHS: Final = "select epoch, body from trust.epoch where zone = $1 order by epoch limit 5000"
SEALS_OF: Final = "select epoch, part, body from trust.epoch_seal where zone = $1 and kind = 'recovery' order by epoch, part limit 10000"
# Every epoch with its seals, or without: what a missing seal looks like.
SEALS: Final = """
    select e.zone, e.epoch, s.part, s.body
      from (select zone, epoch from trust.epoch where (zone, epoch) > ($1, $2) order by zone, epoch limit $3) e
      left join trust.epoch_seal s on s.zone = e.zone and s.epoch = e.epoch and s.kind = 'recovery'
     order by e.zone, e.epoch, s.part"""

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class RecoveryRecords(Arguments):
    pass


class RecoveryZone(Arguments):
    zone: Name


class RecoverySeals(Arguments):
    """`after` is the zone and epoch of the last page's last row."""

    after: tuple[Annotated[str, Meta(max_length=200)], Annotated[int, Meta(ge=0, lt=2**31)]] = ("", 0)
    limit: Annotated[int, Meta(ge=1, le=SEALS_MAX)] = SEALS_MAX


def _party(call: Call) -> None:
    if call.role not in PARTIES:
        raise Denied("Only IT, access officers and management take part in a recovery.", reason="other-office")


async def recovery_records(call: Call, arguments: RecoveryRecords) -> Any:
    """Bodies of the sets; rows of the escrow, the newest first; [zone, epoch, body] of the canary; [id, name, opening, finish] of
    the last drills; names of zones."""
    _party(call)
    canary = await call.database.fetchrow(CANARY)
    escrows = [dict(row) for row in await call.database.fetch(ESCROW)]
    if call.role not in IT:
        escrows = [{"hash": row["hash"], "body": row["body"]} for row in escrows]
    return {
        "sets": [row[0] for row in await call.database.fetch(SETS)],
        "escrows": escrows,
        "canary": None if canary is None else tuple(canary),
        "drills": [tuple(row) for row in await call.database.fetch(DRILLS)],
        "zones": [tuple(row) for row in await call.database.fetch(ZONES)],
    }


async def recovery_zone(call: Call, arguments: RecoveryZone) -> Any:
    """{"zone": {id, name, hospital, ward, body}, "epochs": [[epoch, body]], "seals": [[epoch, part, body]]}."""
    _party(call)
    zone = await call.database.fetchrow(ZONE, arguments.zone)
    if zone is None:
        raise NotFound("There is no such zone in this trust.", reason="zone")
    return {
        "zone": dict(zone),
        "epochs": [tuple(row) for row in await call.database.fetch(EPOCHS, arguments.zone)],
        "seals": [tuple(row) for row in await call.database.fetch(SEALS_OF, arguments.zone)],
    }


async def recovery_seals(call: Call, arguments: RecoverySeals) -> Any:
    """[[zone, epoch, part, body]], part and body None for an epoch without any."""
    _party(call)
    return [tuple(row) for row in await call.database.fetch(SEALS, *arguments.after, arguments.limit)]


STATEMENTS: Final = (
    Statement("recovery_records", RecoveryRecords, recovery_records),
    Statement("recovery_zone", RecoveryZone, recovery_zone),
    Statement("recovery_seals", RecoverySeals, recovery_seals),
)
