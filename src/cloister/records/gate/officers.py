"""What officers read of schema trust: people and their keys, zones and who may open them, teams, applicants.

Nothing here is about a patient. Both offices see both sides, because each has to check the other's work; who may
change what is in offices.py. Lists are paged: `after` is the last page's last key.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any, Final

import asyncpg
from msgspec import Meta

from cloister.base.errors import Conflict, Denied, NotFound
from cloister.base.ids import new_id
from cloister.records.gate.statement import Arguments, Call, Note, Statement

PAGE_MAX: Final = 200
OFFICES: Final = frozenset({"access-officer", "certificate-officer", "privacy-officer"})
CODE_HOURS_MAX: Final = 24 * 14

PEOPLE: Final = """
    select p.id, p.sign_in, p.name, p.kind, p.role, p.hospital, p.disabled, i.certificate, c.der, c.issued, c.revoked,
           array(select u.kind from trust.unlocker u where u.person = p.id order by u.created, u.id limit 20) as unlockers,
           (select count(*) from trust."grant" g where g.person = p.id and g.revoked is null and now() <= g.live_until) as grants
      from trust.person p left join trust.identity i on i.person = p.id left join trust.certificate c on c.hash = i.certificate
     where (p.name, p.id) > ($1, $2) and ($3 = '' or p.name ilike '%' || $3 || '%' or p.sign_in ilike $3 || '%')
       and ($4 = '' or p.role = $4)
     order by p.name, p.id limit $5"""
PERSON: Final = """
    select p.id, p.sign_in, p.name, p.kind, p.role, p.hospital, p.language, p.disabled, i.certificate, i.kem_public, i.sign_public
      from trust.person p left join trust.identity i on i.person = p.id where p.id = $1"""
CERTIFICATES: Final = """
    select hash, der, issued, revoked from trust.certificate where person = $1 order by issued desc, hash limit 200"""
UNLOCKERS: Final = """
    select kind, label, created, last_used from trust.unlocker where person = $1 order by created, id limit 100"""
# Grants name a person or a team; `subject` is the name of either.
_GRANT: Final = """
    select g.hash, g.zone, z.name as zone_name, g.person, g.team, coalesce(p.name, g.team) as subject, p.role, g.seq, g."right", g.epoch,
           g.not_before, g.live_until, g.made, g.revoked, g.body
      from trust."grant" g join trust.zone z on z.id = g.zone left join trust.person p on p.id = g.person"""
GRANTS_OF_PERSON: Final = f"{_GRANT} where g.person = $1 order by g.zone, g.seq desc limit 1000"
GRANTS_OF_TEAM: Final = f"{_GRANT} where g.team = $1 order by g.zone, g.seq desc limit 1000"
GRANTS_OF_ZONE: Final = f"""{_GRANT}
     where g.zone = $1 and g.hash > $2 and ($3 or (g.revoked is null and now() <= g.live_until)) order by g.hash limit $4"""
MEMBERSHIPS_OF: Final = """
    select m.hash, m.team, m.generation, m.person, p.name as subject, m.not_before, m.live_until, m.revoked, m.body
      from trust.membership m join trust.person p on p.id = m.person
     where (m.person = $1 or m.team = $2) and m.hash > $3 order by m.hash limit $4"""
ZONES: Final = """
    select z.id, z.hospital, z.ward, z.name, z.policy, z.body, (select max(e.epoch) from trust.epoch e where e.zone = z.id) as epoch,
           (select count(*) from trust."grant" g where g.zone = z.id and g.revoked is null and now() <= g.live_until) as grants
      from trust.zone z where z.id > $1 and ($2 = '' or z.id = $2) order by z.id limit $3"""
TEAMS: Final = """
    select t.id, t.generation, t.hash, t.hospital, t.name, t.made, t.body,
           (select count(*) from trust.membership m
             where m.team = t.id and m.generation = t.generation and m.revoked is null and now() <= m.live_until) as members
      from trust.team t
     where t.id > $1 and t.generation = (select max(o.generation) from trust.team o where o.id = t.id) order by t.id limit $2"""
COUNTERSIGNATURES_OF: Final = """
    select c.body from trust.countersignature c join trust."grant" g on g.hash = c.target where g.zone = $1 order by c.made limit 50000"""
REVOCATIONS_OF: Final = "select target, body, made from trust.revocation where target = any ($1) order by made limit 5000"
REGISTER: Final = """
    insert into trust.applicant (id, person, renews, sign_in, name, role, hospital, language, code, made_by, until)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + $11) returning id"""
TAKEN: Final = "select id from trust.person where sign_in = $1 or id = $2 limit 1"
APPLICANTS: Final = """
    select id, person, renews, sign_in, name, role, hospital, made, until, answered,
           case when state = 'open' and now() >= until then 'expired' else state end as state
      from trust.applicant where state in ('open', 'answered') and id > $1 order by id limit $2"""
APPLICANT: Final = """
    select id, person, renews, sign_in, name, role, hospital, language, state, made, until, answered,
           kem_public, sign_public, sealed_private, unlockers, challenge, proof
      from trust.applicant where id = $1"""
WITHDRAW: Final = "update trust.applicant set state = 'withdrawn' where id = $1 and state in ('open', 'answered') returning id"

Name = Annotated[str, Meta(min_length=1, max_length=200)]
After = Annotated[str, Meta(max_length=200)]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]


class OfficePeople(Arguments):
    """`after` is [name, id] of the last row shown."""

    after: tuple[After, After] = ("", "")
    text: After = ""
    role: After = ""
    limit: Limit = 50


class OfficePerson(Arguments):
    person: Name


class OfficeZones(Arguments):
    after: After = ""
    zone: After = ""
    limit: Limit = 100


class OfficeGrants(Arguments):
    zone: Name
    after: Annotated[bytes, Meta(max_length=32)] = b""
    ended: bool = False
    limit: Limit = 100


class OfficeZone(Arguments, kw_only=True):
    zone: Name


class OfficeTeams(Arguments):
    after: After = ""
    limit: Limit = 100


class OfficeTeam(Arguments):
    team: Name
    after: Annotated[bytes, Meta(max_length=32)] = b""
    limit: Limit = 100


class OfficeRevocations(Arguments):
    targets: Annotated[list[Hash], Meta(max_length=1000)]


class ApplicantRegister(Arguments, kw_only=True):
    """`person` stands for an existing person who gets new keys; the rest is then that person's own."""

    sign_in: Annotated[str, Meta(min_length=1, max_length=128)]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    role: Annotated[str, Meta(pattern="^(doctor|nurse|access-officer|certificate-officer|privacy-officer|management|it-operator)$")]
    hospital: Name | None = None
    language: Annotated[str, Meta(pattern="^(en|fr)$")] = "en"
    code: Hash
    hours: Annotated[int, Meta(ge=1, le=CODE_HOURS_MAX)]
    person: Name | None = None


class Applicants(Arguments):
    after: After = ""
    limit: Limit = 100


class Applicant(Arguments):
    id: Name


def _office(call: Call, *roles: str) -> None:
    if call.role not in (roles or OFFICES):
        raise Denied("This belongs to another office.", hint="Ask the officer whose part it is.", reason="other-office")


def _map(row: Any) -> dict[str, Any]:
    """Moments travel as ISO 8601."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}


async def _maps(call: Call, sql: str, *values: Any) -> list[dict[str, Any]]:
    return [_map(row) for row in await call.database.fetch(sql, *values)]


def _parsed(rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    for row in rows:
        row[column] = json.loads(row[column]) if row[column] is not None else None
    return rows


async def office_people(call: Call, arguments: OfficePeople) -> Any:
    _office(call)
    after = arguments.after
    return await _maps(call, PEOPLE, after[0], after[1], arguments.text, arguments.role, arguments.limit)


async def office_person(call: Call, arguments: OfficePerson) -> Any:
    """One person with certificates, public keys, kinds of unlocker, grants and memberships."""
    _office(call)
    found = await _maps(call, PERSON, arguments.person)
    if not found:
        raise NotFound("There is no such person in this trust.", reason="person")
    return {
        **found[0],
        "certificates": await _maps(call, CERTIFICATES, arguments.person),
        "unlockers": await _maps(call, UNLOCKERS, arguments.person),
        "grants": await _maps(call, GRANTS_OF_PERSON, arguments.person),
        "memberships": await _maps(call, MEMBERSHIPS_OF, arguments.person, None, b"", PAGE_MAX),
    }


async def office_zones(call: Call, arguments: OfficeZones) -> Any:
    _office(call)
    return _parsed(await _maps(call, ZONES, arguments.after, arguments.zone, arguments.limit), "policy")


async def office_grants(call: Call, arguments: OfficeGrants) -> Any:
    """Who may open a zone; ended and revoked grants only where asked for."""
    _office(call)
    return await _maps(call, GRANTS_OF_ZONE, arguments.zone, arguments.after, arguments.ended, arguments.limit)


async def office_countersignatures(call: Call, arguments: OfficeZone) -> Any:
    """Second signatures on the grants of a zone, as they were signed."""
    _office(call)
    return [row["body"] for row in await call.database.fetch(COUNTERSIGNATURES_OF, arguments.zone)]


async def office_teams(call: Call, arguments: OfficeTeams) -> Any:
    _office(call)
    return await _maps(call, TEAMS, arguments.after, arguments.limit)


async def office_team(call: Call, arguments: OfficeTeam) -> Any:
    _office(call)
    return {
        "grants": await _maps(call, GRANTS_OF_TEAM, arguments.team),
        "memberships": await _maps(call, MEMBERSHIPS_OF, None, arguments.team, arguments.after, arguments.limit),
    }


async def office_revocations(call: Call, arguments: OfficeRevocations) -> Any:
    _office(call)
    return await _maps(call, REVOCATIONS_OF, arguments.targets)


async def applicant_register(call: Call, arguments: ApplicantRegister) -> Any:
    """The applicant's id; Conflict when the sign-in name is taken, or such an applicant is waiting already."""
    _office(call, "certificate-officer")
    a = arguments
    if a.person is None and await call.database.fetchrow(TAKEN, a.sign_in, None) is not None:
        raise Conflict("Somebody has this sign-in name.", hint="Choose another one.", reason="sign-in-taken")
    number, person = new_id(), a.person or new_id()
    values = (number, person, a.person is not None, a.sign_in, a.name, a.role, a.hospital, a.language, a.code, call.person)
    try:
        await call.database.fetchval(REGISTER, *values, timedelta(hours=a.hours))
    except asyncpg.UniqueViolationError:
        raise Conflict("Somebody of this name is waiting.", hint="Withdraw that first.", reason="applicant-waiting") from None
    except asyncpg.ForeignKeyViolationError:
        raise NotFound("There is no such hospital in this trust.", reason="hospital") from None
    return {"id": number, "person": person}


async def applicants(call: Call, arguments: Applicants) -> Any:
    _office(call, "certificate-officer")
    return await _maps(call, APPLICANTS, arguments.after, arguments.limit)


async def applicant(call: Call, arguments: Applicant) -> Any:
    """One applicant with what he or she brought; the officer's session checks all of it."""
    _office(call, "certificate-officer")
    found = _parsed(await _maps(call, APPLICANT, arguments.id), "unlockers")
    if not found:
        raise NotFound("There is no such applicant.", reason="applicant")
    return found[0]


async def applicant_withdraw(call: Call, arguments: Applicant) -> None:
    _office(call, "certificate-officer")
    if await call.database.fetchval(WITHDRAW, arguments.id) is None:
        raise NotFound("There is no such applicant.", reason="applicant")


def _registered(arguments: ApplicantRegister) -> list[Note]:
    return [Note("register", "applicant", arguments.person or "", reason=arguments.role)]


def _withdrawn(arguments: Applicant) -> list[Note]:
    return [Note("withdraw", "applicant", arguments.id)]


STATEMENTS: Final = (
    Statement("office_people", OfficePeople, office_people),
    Statement("office_person", OfficePerson, office_person),
    Statement("office_zones", OfficeZones, office_zones),
    Statement("office_grants", OfficeGrants, office_grants),
    Statement("office_countersignatures", OfficeZone, office_countersignatures),
    Statement("office_teams", OfficeTeams, office_teams),
    Statement("office_team", OfficeTeam, office_team),
    Statement("office_revocations", OfficeRevocations, office_revocations),
    Statement("applicant_register", ApplicantRegister, applicant_register, notes=_registered),
    Statement("applicants", Applicants, applicants),
    Statement("applicant", Applicant, applicant),
    Statement("applicant_withdraw", Applicant, applicant_withdraw, notes=_withdrawn),
)
