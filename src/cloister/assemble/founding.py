"""The founding ceremony: two roots, two offices, everybody's keys and first grants. Spec: docs/spec/zones.md.

The certificate root mandates who certifies, the access root who grants; nobody holds both. A root's private half
is written only sealed under its own passphrase (Argon2id), which is handed out once. The officers' keys exist in
this process's memory for the length of the ceremony, and afterwards only sealed, like everybody's.
The privacy officers are the team to which the audit log's keys are sealed, and nobody else has its key.
Certificate officers and operators are granted nothing. Access officers hold every zone's key in order to pass it on, by
the access root's word, because nobody grants to oneself; they read nothing with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

from cloister.assemble.first_entries import objects_of, put_on_record
from cloister.assemble.first_policies import glass_policy, glass_seals, ingest_policy, roots_of
from cloister.assemble.first_recovery import FirstRecovery, first_recovery, write_cards
from cloister.assemble.sealed_roots import SealedRoot, put_aside, seal_root, write_roots
from cloister.base.clock import Clock, system_clock
from cloister.base.ids import new_id
from cloister.base.secret import Secret
from cloister.identity import (
    Authenticator,
    HospitalPlan,
    Kind,
    Person,
    PersonPlan,
    ProgramPlan,
    Role,
    TrustPlan,
    WardPlan,
    enrolment,
    programs,
    sign_in,
    store,
)
from cloister.zones import algorithms, audit_keys, bundle, certificates, envelope, epochs, grants, teams, unlockers

OFFICER_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 1095
GRANT_LIFE: Final = timedelta(days=1095)
SKEW: Final = timedelta(minutes=5)  # a server whose clock is a little behind must not refuse what was signed now
WRITTEN_RIGHT: Final = "write"
HELD_RIGHT: Final = "hold"
FOUNDING: Final = "founding"
RECOVERY_FOLDER: Final = "recovery"  # beside the roots' folder, until the cards are carried away

Progress = Callable[[str, int, int], None]  # what is being made, how many are done, of how many


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSignIn:
    """What is shown once for a person."""

    person: str
    sign_in: str
    passphrase: str = field(repr=False)
    name: str
    role: Role
    hospital: str | None
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSignIn:
    """What is shown once for a program."""

    client_id: str
    client_secret: str = field(repr=False)
    name: str
    hospital: str
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """What the ceremony hands out; the passphrases of the two roots belong on paper, in two safes.

    So do the recovery data's passphrase, for IT, and the cards' PINs, for medical; the cards themselves go to management.
    """

    trust: str
    people: tuple[PersonSignIn, ...]
    programs: tuple[ProgramSignIn, ...]
    certificate_root_passphrase: str = field(repr=False)
    access_root_passphrase: str = field(repr=False)
    recovery: FirstRecovery = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One person or program during the ceremony, with the keys that nobody sees afterwards."""

    person: Person
    zones: tuple[str, ...]
    keys: bundle.Bundle
    sealed_private: bytes = field(repr=False)
    authenticator: Authenticator
    sealed_unlock_key: bytes = field(repr=False)
    shown: str = field(repr=False)  # the passphrase or client secret
    certificate: bytes = b""

    @property
    def signer(self) -> envelope.Signer:
        return envelope.person_signer(algorithms.sha256(self.certificate), self.keys.signing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roots:
    """Both roots in clear, for the ceremony only."""

    trust: str
    certificate: Secret
    certificate_der: bytes
    access: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class _NewZone:
    row: enrolment.SignedZone
    key: Secret


def _quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


async def found(
    connection: asyncpg.Connection[Any], plan: TrustPlan, folder: Path, clock: Clock = system_clock, progress: Progress = _quiet
) -> Founded:
    """The trust of this plan, in one transaction; its sealed roots in `folder`. Raises Invalid, or Conflict if one exists.

    The roots are on disk before the transaction commits: a trust without its roots can never grow.
    """
    plan.check()
    now = clock()
    certificate_root, certificate_der = certificates.new_root(f"{plan.name[:40]} certificate root")
    roots = _Roots(
        trust=plan.id or new_id(), certificate=certificate_root, certificate_der=certificate_der, access=Secret(algorithms.random(32))
    )
    members = _certified(await _members(plan, progress), roots, now)
    officer = next(one for one in members if one.person.role == Role.ACCESS_OFFICER)
    zones = _zones(plan, members, roots.trust, officer.signer, now)
    enrolled, mandates = tuple(_enrolled(one) for one in members), _mandates(members, roots, now)
    progress("Granting", 0, 1)
    granted = _grants(members, zones, roots, officer.signer, now)
    team, memberships, office = _privacy_office(plan, members, roots, now)
    keys = [epochs.EpochKeys(zone.row.id, 1, zone.key) for zone in zones]
    first = first_recovery(roots.trust, plan.hospitals[0].id, keys, certificate_root=roots.certificate, access_root=roots.access, now=now)
    progress("Granting", 1, 1)
    rows = enrolment.TrustRows(
        trust=store.TrustRow(
            id=roots.trust,
            name=plan.name,
            founded=now,
            certificate_root=algorithms.sign_public(roots.certificate.reveal()),
            access_root=algorithms.sign_public(roots.access.reveal()),
            certificate_root_der=certificate_der,
        ),
        hospitals=_hospitals(plan),
        wards=_wards(plan),
        enrolled=enrolled,
        mandates=mandates,
        zones=(*(zone.row for zone in zones), first.zone),
        grants=granted,
        teams=(team,),
        memberships=memberships,
        seals=glass_seals(
            [(zone.row, one) for zone, one in zip(zones, keys, strict=True)],
            enrolled,
            mandates,
            roots_of(roots.trust, roots.certificate.reveal(), roots.access.reveal()),
            officer.signer,
            now,
        )
        + first.seals,
        recovery=first.rows,
    )
    passphrases = sign_in.new_passphrase(), sign_in.new_passphrase()
    sealed = (
        seal_root(roots.trust, "certificate", roots.certificate, passphrases[0]),
        seal_root(roots.trust, "access", roots.access, passphrases[1]),
    )
    await _kept(connection, rows, folder, sealed, first, office, now)
    return _handed_out(plan, roots.trust, members, passphrases, first)


async def _kept(
    connection: asyncpg.Connection[Any],
    rows: enrolment.TrustRows,
    folder: Path,
    sealed: Sequence[SealedRoot],
    first: FirstRecovery,
    office: audit_keys.PrivacyOffice,
    now: datetime,
) -> None:
    """Roots and cards first, then the rows; those of a trust that did not come to be are taken away again."""
    await enrolment.check_empty(connection)
    put_aside(folder, now)
    written = [*write_roots(folder, sealed), *write_cards(folder.with_name(RECOVERY_FOLDER), first)]
    kept = False
    try:
        async with connection.transaction():
            await enrolment.write_trust(connection, rows)
            await put_on_record(connection, rows.trust.id, objects_of(rows), office, now)
        kept = True
    finally:
        if not kept:
            for path in written:
                path.unlink(missing_ok=True)


async def _members(plan: TrustPlan, progress: Progress) -> list[_Member]:
    """Keys for everybody. Each passphrase costs an Argon2id, so the loop gives way between two of them."""
    everybody: list[PersonPlan | ProgramPlan] = [*plan.people, *plan.programs]
    members: list[_Member] = []
    for number, one in enumerate(everybody):
        progress("Making keys", number, len(everybody))
        members.append(_member(one))
        await asyncio.sleep(0)
    progress("Making keys", len(everybody), len(everybody))
    return members


def _member(plan: PersonPlan | ProgramPlan) -> _Member:
    if isinstance(plan, PersonPlan):
        kind, person, params = Kind.PASSPHRASE, _person(plan), unlockers.new_passphrase_params()
        shown = plan.passphrase or sign_in.new_passphrase()
        kek, verifier = unlockers.passphrase_secrets(shown, params)
    else:
        kind, person, params = Kind.SERVICE, _program(plan), {}
        shown = programs.new_client_secret()
        kek, verifier = unlockers.service_secrets(programs.client_secret_bytes(shown).reveal())
    keys, unlock_key, unlocker_id = bundle.new_bundle(person.id), bundle.new_unlock_key(), new_id()
    unlocker = unlockers.wrap_unlock_key(kek, unlocker_id, person.id, kind, params, unlock_key)
    return _Member(
        person=person,
        zones=plan.zones,
        keys=keys,
        sealed_private=bundle.seal_bundle(keys, unlock_key),
        authenticator=Authenticator(
            id=unlocker_id,
            person=person.id,
            kind=kind,
            params=params,
            verifier=unlockers.stored_verifier(verifier),
            label=FOUNDING,
        ),
        sealed_unlock_key=unlocker.sealed,
        shown=shown,
    )


def _person(plan: PersonPlan) -> Person:
    return Person(
        id=plan.id,
        sign_in=sign_in.normalised(plan.sign_in),
        name=plan.name,
        kind="person",
        role=plan.role,
        hospital=plan.hospital,
        language=plan.language,
        disabled=False,
    )


def _program(plan: ProgramPlan) -> Person:
    return Person(
        id=plan.client_id,
        sign_in=sign_in.normalised(plan.client_id),
        name=plan.name,
        kind="program",
        role=Role.PROGRAM,
        hospital=plan.hospital,
        language="en",
        disabled=False,
    )


def _certified(members: Sequence[_Member], roots: _Roots, now: datetime) -> list[_Member]:
    """The root certifies the certificate officers, the first of these everybody else, in the order of the plan."""
    officers = {
        one.person.id: _with_certificate(one, roots.certificate, roots.certificate_der, "certificate", OFFICER_DAYS, now)
        for one in members
        if one.person.role == Role.CERTIFICATE_OFFICER
    }
    officer = next(iter(officers.values()))
    seed, der = officer.keys.sign_seed, officer.certificate
    return [
        officers.get(one.person.id)
        or _with_certificate(one, seed, der, "access" if one.person.role == Role.ACCESS_OFFICER else None, CERTIFICATE_DAYS, now)
        for one in members
    ]


def _with_certificate(one: _Member, seed: Secret, der: bytes, office: str | None, days: int, now: datetime) -> _Member:
    made = certificates.certificate(seed, der, one.person.id, one.person.name, one.keys.sign_public, one.keys.kem_public, office, days, now)
    return replace(one, certificate=made)


def _mandates(members: Sequence[_Member], roots: _Roots, now: datetime) -> tuple[enrolment.MandateRow, ...]:
    """Each office is given by its own root, over the officer's exact certificate."""
    offices = {Role.CERTIFICATE_OFFICER: ("certificate", roots.certificate), Role.ACCESS_OFFICER: ("access", roots.access)}
    rows = []
    for one in members:
        if (role := Role(one.person.role)) in offices:
            office, root = offices[role]
            until = now + timedelta(days=OFFICER_DAYS)
            hashed = algorithms.sha256(one.certificate)
            body = grants.mandate(root, office, hashed, one.person.id, WRITTEN_RIGHT, None, until, trust=roots.trust)
            rows.append(enrolment.MandateRow(hash=envelope.digest(body), office=office, person=one.person.id, body=body))
    return tuple(rows)


def _zones(plan: TrustPlan, members: Sequence[_Member], trust: str, officer: envelope.Signer, now: datetime) -> list[_NewZone]:
    certified = {one.person.id: algorithms.sha256(one.certificate) for one in members}
    made = []
    for hospital in plan.hospitals:
        places: tuple[HospitalPlan | WardPlan, ...] = (hospital, *hospital.wards)
        for place in places:
            policy = {
                # Codes get no tokens: nearest-frequency matching names them (zones.md, Search).
                "compartment": "psychiatry" if hospital.kind == "psychiatric" else "normal",
                "code_tokens": False,
                **glass_policy(place.glass, certified),
                **ingest_policy(place.id, plan.programs, certified),
            }
            ward, name = (None, hospital.name) if place is hospital else (place.id, f"{hospital.name}, {place.name}")
            made.append(_zone(hospital, ward, place.id, name, policy, trust, officer, now))
    return made


def _zone(
    hospital: HospitalPlan,
    ward: str | None,
    zone: str,
    name: str,
    policy: dict[str, Any],
    trust: str,
    officer: envelope.Signer,
    now: datetime,
) -> _NewZone:
    """A zone and its first epoch."""
    key = epochs.new_zone_key()
    row = enrolment.SignedZone(
        id=zone,
        hospital=hospital.id,
        ward=ward,
        name=name,
        policy=policy,
        body=epochs.zone_record(officer, trust=trust, zone=zone, name=name, hospital=hospital.id, ward=ward, policy=policy, made=now),
        epoch=1,
        epoch_body=epochs.epoch_record(
            officer, trust=trust, keys=epochs.EpochKeys(zone, 1, key), index_key=epochs.new_index_key(), previous=None, made=now
        ),
    )
    return _NewZone(row=row, key=key)


def _grants(
    members: Sequence[_Member], zones: Sequence[_NewZone], roots: _Roots, officer: envelope.Signer, now: datetime
) -> tuple[enrolment.GrantRow, ...]:
    """Each person's planned zones, to read and write; and every zone to each access officer, to hold."""
    by_id = {zone.row.id: zone for zone in zones}
    root = envelope.access_root(roots.access)
    rows = []
    for one in members:
        if one.person.role == Role.ACCESS_OFFICER:
            rows += [_grant(one, zone, HELD_RIGHT, roots.trust, root, now) for zone in zones]
        rows += [_grant(one, by_id[zone], WRITTEN_RIGHT, roots.trust, officer, now) for zone in one.zones]
    return tuple(rows)


def _grant(one: _Member, zone: _NewZone, right: str, trust: str, signer: envelope.Signer, now: datetime) -> enrolment.GrantRow:
    """The zone key sealed to exactly that person's certificate."""
    body = grants.sign_grant(
        signer,
        trust=trust,
        zone=zone.row.id,
        epoch=1,
        floor=1,
        person=one.person.id,
        certificate=algorithms.sha256(one.certificate),
        kem_public=one.keys.kem_public,
        zone_key=zone.key,
        right=right,
        not_before=now - SKEW,
        live_until=now + GRANT_LIFE,
        reason=FOUNDING,
    )
    return enrolment.GrantRow(
        hash=envelope.digest(body), zone=zone.row.id, person=one.person.id, seq=1, body=body,
        right=right, not_before=now - SKEW, live_until=now + GRANT_LIFE,
    )  # fmt: skip


def _privacy_office(
    plan: TrustPlan, members: Sequence[_Member], roots: _Roots, now: datetime
) -> tuple[enrolment.TeamRow, tuple[enrolment.MembershipRow, ...], audit_keys.PrivacyOffice]:
    """The team that opens the audit log, by the access root's word: access officers are seen by it and do not keep its key."""
    seed, root, team, hospital = teams.new_team_seed(), envelope.access_root(roots.access), audit_keys.OFFICE_TEAM, plan.hospitals[0].id
    public = algorithms.kem_public(seed.reveal())
    record = teams.team_record(
        root, trust=roots.trust, team=team, generation=1, name="Privacy office", hospital=hospital, kem_public=public, made=now
    )
    memberships = []
    for one in members:
        if one.person.role != Role.PRIVACY_OFFICER:
            continue
        body = teams.membership(
            root, trust=roots.trust, team=team, generation=1, person=one.person.id, certificate=algorithms.sha256(one.certificate),
            kem_public=one.keys.kem_public, team_seed=seed, not_before=now - SKEW, live_until=now + GRANT_LIFE, reason=FOUNDING,
        )  # fmt: skip
        memberships.append(
            enrolment.MembershipRow(
                hash=envelope.digest(body), team=team, generation=1, person=one.person.id,
                not_before=now - SKEW, live_until=now + GRANT_LIFE, body=body,
            )
        )  # fmt: skip
    row = enrolment.TeamRow(id=team, generation=1, hash=envelope.digest(record), hospital=hospital, name="Privacy office", body=record)
    return row, tuple(memberships), audit_keys.PrivacyOffice(audit_keys.office_name(1), public)


def _hospitals(plan: TrustPlan) -> tuple[store.Hospital, ...]:
    return tuple(
        store.Hospital(id=one.id, name=one.name, kind=one.kind, zone=one.id, ordinal=number) for number, one in enumerate(plan.hospitals)
    )


def _wards(plan: TrustPlan) -> tuple[store.Ward, ...]:
    return tuple(
        store.Ward(id=one.id, hospital=hospital.id, name=one.name, specialty=one.specialty, zone=one.id, ordinal=number)
        for hospital in plan.hospitals
        for number, one in enumerate(hospital.wards)
    )


def _enrolled(one: _Member) -> enrolment.Enrolled:
    return enrolment.Enrolled(
        person=one.person,
        kem_public=one.keys.kem_public,
        sign_public=one.keys.sign_public,
        sealed_private=one.sealed_private,
        certificate_hash=algorithms.sha256(one.certificate),
        certificate_der=one.certificate,
        authenticator=one.authenticator,
        sealed_unlock_key=one.sealed_unlock_key,
    )


def _handed_out(plan: TrustPlan, trust: str, members: Sequence[_Member], passphrases: tuple[str, str], first: FirstRecovery) -> Founded:
    shown = {one.person.id: one.shown for one in members}
    return Founded(
        trust=trust,
        people=tuple(
            PersonSignIn(
                person=one.id,
                sign_in=sign_in.normalised(one.sign_in),
                passphrase=shown[one.id],
                name=one.name,
                role=one.role,
                hospital=one.hospital,
                zones=one.zones,
            )
            for one in plan.people
        ),
        programs=tuple(
            ProgramSignIn(
                client_id=one.client_id, client_secret=shown[one.client_id], name=one.name, hospital=one.hospital, zones=one.zones
            )
            for one in plan.programs
        ),
        certificate_root_passphrase=passphrases[0],
        access_root_passphrase=passphrases[1],
        recovery=first,
    )
