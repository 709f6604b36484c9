"""What a zone's policy says of opening in need, of machines and of sharing: changed and signed by an access officer.

People are named by their sign-in and stand in the policy with the exact certificate that holds now, which the officer's session
verifies. Other break-glass rules need other seals, so the zone gets a new epoch with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.base.errors import Conflict, Invalid
from cloister.base.wire import Caller
from cloister.offices import granting, rotation
from cloister.zones import Keyring, epochs, glass, revocations

CLINICAL: Final = frozenset({"doctor", "nurse"})
MACHINE: Final = frozenset({"program"})
NAMES_MAX: Final = 150
MINUTES_MAX: Final = glass.SECONDS_MAX // 60
DAYS_MAX: Final = 3650


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Names are sign-ins. Without askers nobody opens the zone in need."""

    approvers: int
    minutes: int
    right: str
    askers: Sequence[str]
    pool: Sequence[str]
    machines: Sequence[str]
    share_days: int


async def present(keyring: Keyring, gate: Caller, zone: str) -> tuple[epochs.Zone, Rules]:
    """The zone's verified record, and its rules with people's sign-ins; an id that nobody has any more stands for itself."""
    record = await _record(keyring, gate, zone)
    raw = record.policy.get(glass.KIND) or {}
    named = [*raw.get("askers", {}), *raw.get("approvers_pool", {}), *record.policy.get("ingest", {})]
    sign_ins = {}
    for person in dict.fromkeys(named):
        sign_ins[person] = str((await gate.call("office_person", person=person))["sign_in"])
    rules = Rules(
        approvers=int(raw.get("approvers", 1)),
        minutes=int(raw.get("seconds", 3600)) // 60,
        right=str(raw.get("right", "read")),
        askers=sorted(sign_ins[person] for person in raw.get("askers", {})),
        pool=sorted(sign_ins[person] for person in raw.get("approvers_pool", {})),
        machines=sorted(sign_ins[person] for person in record.policy.get("ingest", {})),
        share_days=int(record.policy.get("share", {}).get("after_discharge_days", 30)),
    )
    return record, rules


async def change(keyring: Keyring, gate: Caller, *, zone: str, rules: Rules, now: datetime) -> None:
    """A newer signed record; with other break-glass rules also a new epoch and its seals."""
    record = await _record(keyring, gate, zone)
    if not 0 <= rules.approvers <= glass.APPROVERS_MAX or not 1 <= rules.minutes <= MINUTES_MAX or not 0 <= rules.share_days <= DAYS_MAX:
        raise Invalid("A number is out of its bounds.", hint="0 to 2 colleagues, 1 minute to a day, 0 to 3650 days.", reason="form")
    askers = await _named(keyring, gate, rules.askers, CLINICAL, now)
    pool = await _named(keyring, gate, rules.pool, CLINICAL, now)
    if askers and any(len(pool.keys() - {asker}) < rules.approvers for asker in askers) or len(pool) > glass.POOL_MAX:
        hint = f"Name more of them, at most {glass.POOL_MAX}."
        raise Invalid("Too few colleagues could agree, or too many are named.", hint=hint, reason="glass-pool")
    if askers and rules.approvers == 0 and record.policy.get(revocations.TWO_OFFICERS) is True:
        hint = "Let a colleague agree, or let one officer's signature do."
        raise Conflict("A zone that two officers grant is not opened at one person's word.", hint=hint, reason="glass-two-officers")
    opened: dict[str, Any] | None = {
        "approvers": rules.approvers,
        "seconds": rules.minutes * 60,
        "right": "write" if rules.right == "write" else "read",
        "askers": askers,
        "approvers_pool": pool,
    }
    changes = {
        glass.KIND: opened if askers else None,
        "ingest": await _named(keyring, gate, rules.machines, MACHINE, now),
        "share": {"after_discharge_days": rules.share_days},
    }
    await granting.set_policy(keyring, gate, zone=zone, changes=changes, now=now)
    if record.policy.get(glass.KIND) != changes[glass.KIND]:
        await rotation.rotate(keyring, gate, zone=zone, now=now)


async def _record(keyring: Keyring, gate: Caller, zone: str) -> epochs.Zone:
    found = await gate.call("office_zones", zone=zone)
    if not found:
        raise Invalid("There is no such zone.", hint="Load the page again.", reason="zone")
    return granting.verified_zone(keyring, bytes(found[0]["body"]))


async def _named(keyring: Keyring, gate: Caller, sign_ins: Sequence[str], roles: frozenset[str], now: datetime) -> dict[str, str]:
    """Ids with the hash of the certificate that holds now; Invalid names whoever cannot be found or has none."""
    if len(sign_ins) > NAMES_MAX:
        raise Invalid(f"At most {NAMES_MAX} people can be named.", hint="Name fewer.", reason="form")
    found = {}
    for name in dict.fromkeys(sign_ins):
        rows = [row for row in await gate.call("office_people", text=name, limit=20) if row["sign_in"] == name and row["role"] in roles]
        if not rows:
            raise Invalid(f"'{name[:60]}' is nobody who can be named here.", hint="Give the sign-in, one on a line.", reason="glass-name")
        one = await granting.subject_of(keyring, gate, rows[0]["id"], now)
        found[one.person] = one.certificate.hash.hex()
    return found
