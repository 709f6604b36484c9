"""Teams and rotas: an access officer makes a team, names its members for stretches of time, and opens zones to it.
Spec: docs/spec/zones.md 25.

A rota is signed and sealed beforehand and needs nobody when a shift begins. Every access officer keeps every team, so that
any of them can change tomorrow's rota; keeping opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.errors import Denied, Invalid
from cloister.base.ids import new_id
from cloister.base.secret import Secret
from cloister.base.wire import Caller
from cloister.offices import granting
from cloister.offices.objects import Row, grant_row, milliseconds
from cloister.zones import Forged, Keyring, Refusal, algorithms, grants, teams

NAME_CHARACTERS_MAX: Final = 80
STRETCH_MAX: Final = timedelta(days=400)
KEPT_FOR: Final = timedelta(days=1096)
ROTA_AT_ONCE_MAX: Final = 1000
MEMBERS: Final = frozenset({"doctor", "nurse"})
FAR: Final = 253_370_764_799_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """One person's turn."""

    person: str
    not_before: datetime
    live_until: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn as it stands in the rota."""

    person: str
    name: str
    not_before: datetime
    live_until: datetime
    revoked: bool
    hash: bytes


@dataclass(frozen=True, slots=True)
class TeamView:
    """A team as officers see it. `zones`: [zone, name, right] of what it opens now."""

    team: str
    generation: int
    name: str
    hospital: str
    turns: tuple[Turn, ...]
    zones: tuple[tuple[str, str, str], ...]


async def create(keyring: Keyring, gate: Caller, *, name: str, hospital: str, now: datetime) -> str:
    """A new team without members, kept by every access officer; its id."""
    if not 0 < len(name.strip()) <= NAME_CHARACTERS_MAX:
        raise Invalid(f"A team's name has 1 to {NAME_CHARACTERS_MAX} characters.", hint="For example: Cardiology, nights", reason="name")
    team = new_id()
    rows, _ = await _generation(keyring, gate, team=team, generation=1, name=name.strip(), hospital=hospital, now=now)
    await gate.call("trust_put", objects=rows)
    return team


async def add(keyring: Keyring, gate: Caller, *, team: str, stretches: Sequence[Stretch], reason: str, now: datetime) -> int:
    """Sign these turns. All or none: one that cannot be is refused with the person's name."""
    if not 0 < len(stretches) <= ROTA_AT_ONCE_MAX:
        raise Invalid(f"A rota is signed in parts of 1 to {ROTA_AT_ONCE_MAX} turns.", hint="Split it.", reason="rota")
    for one in stretches:
        check_stretch(one, now)
    way = keyring.team(team)
    subjects = {person: await member_of(keyring, gate, person, now) for person in {one.person for one in stretches}}
    rows = [_turn(keyring, way.team, way.seed, subjects[one.person], one, reason) for one in stretches]
    await gate.call("trust_put", objects=rows)
    return len(rows)


async def member_of(keyring: Keyring, gate: Caller, person: str, now: datetime) -> granting.Subject:
    """A person who may be a member: certified, of a role that reads records, and not the officer."""
    if person == keyring.person:
        raise Denied("Nobody makes oneself a member.", hint="Ask another access officer.", reason=Refusal.GRANT_SELF)
    subject = await granting.subject_of(keyring, gate, person, now)
    if subject.role not in MEMBERS:
        raise Denied(f"{subject.name} has no role that opens records.", hint="Teams are for doctors and nurses.", reason="role")
    return subject


def check_stretch(one: Stretch, now: datetime) -> None:
    if one.live_until <= one.not_before:
        raise Invalid("A turn ends after it begins.", hint="Check the two times.", reason="stretch")
    if one.live_until <= now:
        raise Invalid("This turn is over already.", hint="Check the dates.", reason="stretch")
    if one.live_until - one.not_before > STRETCH_MAX:
        raise Invalid(f"A turn lasts at most {STRETCH_MAX.days} days.", hint="Make it shorter, and sign it again later.", reason="stretch")


async def end_turn(keyring: Keyring, gate: Caller, *, turn: bytes, person: str, reason: str, now: datetime) -> None:
    """End one turn before its time. Who must lose the team's key as well needs a new generation: `renew`."""
    await gate.call("trust_put", objects=[granting.revoked(keyring, "membership", turn, person, reason, now)])


async def open_zone(
    keyring: Keyring, gate: Caller, *, team: str, zone: str, right: str, live_until: datetime, reason: str, now: datetime
) -> None:
    """Grant a zone to a team: one grant, however many members come and go."""
    wanted = grants.Right(right)
    if wanted is grants.Right.HOLD:
        raise Invalid("A team reads, or reads and writes.", hint="Choose one of the two.", reason="right")
    keyring.offices.access_key(keyring.signer.id, zone=zone, now=now, right=wanted)
    keys, way = keyring.passing_on(zone), keyring.team(team)
    found = await gate.call("office_team", team=team)
    seq, previous = granting.newest_of(found["grants"], zone)
    terms: dict[str, Any] = {"not_before": now - granting.SKEW, "live_until": live_until}
    body = grants.sign_grant(
        keyring.signer, trust=keyring.trust_id, zone=zone, epoch=keys.epoch, floor=1, person=way.team.subject, certificate=way.team.hash,
        kem_public=way.team.kem_public, zone_key=keys.key, right=wanted, reason=reason, seq=seq + 1, previous=previous, **terms,
    )  # fmt: skip
    row = grant_row(body, zone=zone, subject=way.team.subject, seq=seq + 1, right=str(wanted), epoch=keys.epoch, **terms)
    await gate.call("trust_put", objects=[row])


async def renew(keyring: Keyring, gate: Caller, *, team: str, without: frozenset[str], reason: str, now: datetime) -> list[str]:
    """A new key pair for the team, and every turn that is still to come signed again, but for `without`.

    Returns the zones that the team opens: until their next epoch (rotation.rotate) is made, nobody opens them through it.
    """
    found = await gate.call("team_rota", team=team, start=milliseconds(now), end=FAR)
    old = found["team"]
    rows, seed = await _generation(
        keyring, gate, team=team, generation=old["generation"] + 1, name=old["name"], hospital=old["hospital"], now=now
    )
    record = teams.verified_team(rows[0]["body"], keyring.offices)
    subjects: dict[str, granting.Subject] = {}
    for turn in found["rota"]:
        if turn["keeps"] or turn["revoked"] or turn["person"] in without or turn["generation"] != old["generation"]:
            continue
        if turn["person"] not in subjects:
            subjects[turn["person"]] = await member_of(keyring, gate, turn["person"], now)
        stretch = Stretch(turn["person"], datetime.fromisoformat(turn["not_before"]), datetime.fromisoformat(turn["live_until"]))
        rows.append(_turn(keyring, record, seed, subjects[turn["person"]], stretch, reason))
    await gate.call("trust_put", objects=rows)
    return [grant["zone"] for grant in found["grants"] if not grant["revoked"]]


async def shown(keyring: Keyring, gate: Caller, *, team: str, start: datetime, end: datetime) -> TeamView:
    """A team and its rota in this stretch, from a record that was verified here."""
    found = await gate.call("team_rota", team=team, start=milliseconds(start), end=milliseconds(end))
    row = found["team"]
    record = teams.verified_team(bytes(row["body"]), keyring.offices)
    if record.team != team:
        raise Forged(Refusal.SWAPPED)
    turns = tuple(
        Turn(
            one["person"], one["name"], datetime.fromisoformat(one["not_before"]), datetime.fromisoformat(one["live_until"]),
            one["revoked"], bytes(one["hash"]),
        )
        for one in found["rota"] if not one["keeps"] and one["generation"] == record.generation
    )  # fmt: skip
    zones = tuple((one["zone"], one["name"], one["right"]) for one in found["grants"] if not one["revoked"])
    return TeamView(team, record.generation, record.name, record.hospital, turns, zones)


async def _generation(
    keyring: Keyring, gate: Caller, *, team: str, generation: int, name: str, hospital: str, now: datetime
) -> tuple[list[Row], Secret]:
    """The record of a generation, and a keeper's membership for each access officer."""
    seed = teams.new_team_seed()
    private = algorithms.KemPrivate(seed.reveal())
    body = teams.team_record(
        keyring.signer, trust=keyring.trust_id, team=team, generation=generation, name=name, hospital=hospital,
        kem_public=private.public, made=now,
    )  # fmt: skip
    record = teams.verified_team(body, keyring.offices)
    rows: list[Row] = [{"kind": "team", "body": body, "team": team, "generation": generation, "hospital": hospital, "name": name}]
    for officer, _ in await gate.call("team_officers"):
        subject = await granting.subject_of(keyring, gate, officer, now)
        until = min(now + KEPT_FOR, subject.certificate.not_after)
        rows.append(_turn(keyring, record, seed, subject, Stretch(officer, now - granting.SKEW, until), "keeps the team", keeps=True))
    return rows, seed


def _turn(
    keyring: Keyring, team: teams.Team, seed: Secret, subject: granting.Subject, stretch: Stretch, reason: str, *, keeps: bool = False
) -> Row:
    body = teams.membership(
        keyring.signer, trust=keyring.trust_id, team=team.team, generation=team.generation, person=subject.person,
        certificate=subject.certificate.hash, kem_public=subject.kem_public, team_seed=seed, not_before=stretch.not_before,
        live_until=stretch.live_until, reason=reason, keeps=keeps,
    )  # fmt: skip
    moments = {"not_before": milliseconds(stretch.not_before), "live_until": milliseconds(stretch.live_until)}
    named = {"team": team.team, "generation": team.generation, "person": subject.person, "keeps": keeps}
    return {"kind": "membership", "body": body, **named, **moments}
