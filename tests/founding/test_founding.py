"""The founding of a trust: afterwards everybody opens what was planned, and nobody else opens anything."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from founding_cast import ADELE, ARNAUD, COLIN, LABORATORY, LEMOINE, NOW, PLAN, VASSEUR

from cloister.assemble.founding import GRANT_LIFE, Founded, found
from cloister.assemble.sealed_roots import open_root
from cloister.base.errors import Conflict, Corrupt, Denied, Invalid, NotFound
from cloister.base.secret import Secret
from cloister.identity import Kind, PersonPlan, Role, TrustPlan, programs, sign_in, store
from cloister.zones import Forged, Keyring, Refusal, TrustMaterial, TrustRoots, algorithms, bundle, grants, unlockers

DOOR = Secret(bytes(32))


@dataclass(frozen=True)
class Ceremony:
    """What is left after a ceremony: the database, the folder, and what was handed out."""

    connection: asyncpg.Connection[Any]
    folder: Path
    founded: Founded

    def shown(self, who: str) -> str:
        people = {one.person: one.passphrase for one in self.founded.people}
        return {**people, **{one.client_id: one.client_secret for one in self.founded.programs}}[who]

    async def roots(self) -> TrustRoots:
        row = await store.trust(self.connection)
        return TrustRoots(row.id, row.certificate_root, row.access_root)

    async def material(self, who: str) -> TrustMaterial:
        async def column(query: str, *arguments: str) -> list[bytes]:
            return [row[0] for row in await self.connection.fetch(query, *arguments)]

        return TrustMaterial(
            certificates=await column("select der from trust.certificate"),
            mandates=await column("select body from trust.mandate"),
            grants=await column('select body from trust."grant" where person = $1', who),
            zones=await column("select body from trust.zone"),
            epochs=await column("select body from trust.epoch"),
        )

    async def unlocked(self, who: str, shown: str) -> bundle.Bundle:
        row = await self.connection.fetchrow("select id, kind, params::text, sealed from trust.unlocker where person = $1", who)
        known = await store.known(self.connection, (await store.person(self.connection, who)).sign_in)
        params = known.authenticators[0].params
        if row["kind"] == "passphrase":
            kek, _ = unlockers.passphrase_secrets(shown, params)
        else:
            kek, _ = unlockers.service_secrets(programs.client_secret_bytes(shown).reveal())
        unlock_key = unlockers.unwrap_unlock_key(kek, unlockers.Unlocker(row["id"], who, row["kind"], params, row["sealed"]))
        sealed = await self.connection.fetchval("select sealed_private from trust.identity where person = $1", who)
        return bundle.open_bundle(who, sealed, unlock_key)

    async def keyring(self, who: str) -> Keyring:
        private = await self.unlocked(who, self.shown(who))
        return Keyring.open(bundle=private, trust=await self.roots(), material=await self.material(who), now=NOW)


@pytest.fixture
async def ceremony(connection: asyncpg.Connection[Any], tmp_path: Path) -> Ceremony:
    folder = tmp_path / "founding"
    return Ceremony(connection, folder, await found(connection, PLAN, folder, lambda: NOW))


@pytest.mark.parametrize("who", [ADELE, VASSEUR, LABORATORY], ids=lambda who: who.name)
async def test_everybody_opens_the_zones_of_the_plan_and_no_other(ceremony: Ceremony, who: Any) -> None:
    name = who.id if isinstance(who, PersonPlan) else who.client_id
    keyring = await ceremony.keyring(name)
    assert keyring.refused == []
    assert {held.zone for held in keyring.zones} == set(who.zones)
    assert all(keyring.can(zone, right) for zone in who.zones for right in ("read", "write"))
    assert not keyring.can("sainte-anne-tilleuls", "read")
    assert keyring.certificate.name == who.name


async def test_two_people_of_one_zone_share_its_key_and_two_zones_share_none(ceremony: Ceremony) -> None:
    adele, vasseur = await ceremony.keyring(ADELE.id), await ceremony.keyring(VASSEUR.id)
    assert adele.index_key("saint-roch-cardiology") == vasseur.index_key("saint-roch-cardiology") != vasseur.index_key("saint-roch")
    dossier_key = Secret(bytes(range(32)))
    wrapped = vasseur.wrap("saint-roch-cardiology", "d-1", 1, dossier_key)
    assert adele.unwrap("saint-roch-cardiology", 1, "d-1", 1, wrapped) == dossier_key


async def test_an_access_officer_keeps_every_zone_s_key_and_reads_with_none_of_them(ceremony: Ceremony) -> None:
    keyring = await ceremony.keyring(ARNAUD.id)
    assert keyring.refused == []
    assert {held.zone for held in keyring.zones} == set(PLAN.zones)
    assert not any(keyring.can(zone, right) for zone in PLAN.zones for right in ("read", "write"))
    assert await ceremony.connection.fetchval("select count(*) from trust.zones_of($1, '')", ARNAUD.id) == 0


@pytest.mark.parametrize("who", [LEMOINE, COLIN], ids=lambda who: who.name)
async def test_certificate_officers_and_operators_have_keys_of_their_own_and_open_no_zone(ceremony: Ceremony, who: PersonPlan) -> None:
    keyring = await ceremony.keyring(who.id)
    assert keyring.zones == []
    assert await ceremony.connection.fetchval('select count(*) from trust."grant" where person = $1', who.id) == 0


async def test_the_offices_are_apart_and_each_is_mandated_by_its_own_root(ceremony: Ceremony) -> None:
    roots = await ceremony.roots()
    assert roots.certificate_root_public != roots.access_root_public
    mandates = [grants.verified_mandate(body, roots) for body in (await ceremony.material(ADELE.id)).mandates]
    assert {(str(one.office), one.person) for one in mandates} == {("certificate", LEMOINE.id), ("access", ARNAUD.id)}


async def test_a_grant_ends_after_three_years_and_opens_nothing_then(ceremony: Ceremony) -> None:
    private = await ceremony.unlocked(ADELE.id, ceremony.shown(ADELE.id))
    roots, material = await ceremony.roots(), await ceremony.material(ADELE.id)
    just_before, after = NOW + GRANT_LIFE - timedelta(days=1), NOW + GRANT_LIFE + timedelta(minutes=1)
    assert len(Keyring.open(bundle=private, trust=roots, material=material, now=just_before).zones) == 1
    with pytest.raises(Denied):
        Keyring.open(bundle=private, trust=roots, material=material, now=after)


async def test_a_grant_is_worth_nothing_in_the_hands_of_a_colleague(ceremony: Ceremony) -> None:
    private = await ceremony.unlocked(ADELE.id, ceremony.shown(ADELE.id))
    keyring = Keyring.open(bundle=private, trust=await ceremony.roots(), material=await ceremony.material(VASSEUR.id), now=NOW)
    assert keyring.zones == []
    assert {reason for _, reason in keyring.refused} == {Refusal.GRANT_OTHER_PERSON}


async def test_adele_signs_in_at_the_door_and_a_chosen_passphrase_is_kept(ceremony: Ceremony) -> None:
    known = await store.known(ceremony.connection, " ADELE.morel ")
    assert known.person is not None
    assert known.person.id == ADELE.id
    _, verifier = unlockers.passphrase_secrets(ceremony.shown(ADELE.id), sign_in.passphrase_parameters(known, DOOR))
    proven = sign_in.prove(known, Kind.PASSPHRASE, verifier, DOOR)
    await store.mark_used(ceremony.connection, proven, now=NOW)
    assert ceremony.shown(VASSEUR.id) == VASSEUR.passphrase


async def test_the_laboratory_signs_in_with_its_secret(ceremony: Ceremony) -> None:
    known = await store.known(ceremony.connection, LABORATORY.client_id)
    assert programs.prove_program(known, ceremony.shown(LABORATORY.client_id), DOOR).authenticator.person == LABORATORY.client_id


async def test_nobody_s_passphrase_secret_or_key_is_in_the_database_or_the_folder(ceremony: Ceremony) -> None:
    roots = [
        open_root(ceremony.folder, "certificate", ceremony.founded.certificate_root_passphrase, trust=ceremony.founded.trust),
        open_root(ceremony.folder, "access", ceremony.founded.access_root_passphrase, trust=ceremony.founded.trust),
    ]
    private = [await ceremony.unlocked(one.id, ceremony.shown(one.id)) for one in (ADELE, ARNAUD, LEMOINE)]
    secrets = [root.reveal() for root in roots]
    secrets += [seed.reveal() for one in private for seed in (one.kem_seed, one.sign_seed)]
    texts = [one.passphrase for one in ceremony.founded.people] + [one.client_secret for one in ceremony.founded.programs]
    texts += [ceremony.founded.certificate_root_passphrase, ceremony.founded.access_root_passphrase]
    kept = "".join(path.read_text() for path in ceremony.folder.iterdir())
    for table in await ceremony.connection.fetch("select tablename from pg_tables where schemaname = 'trust'"):
        for row in await ceremony.connection.fetch(f'select * from trust."{table[0]}"'):
            kept += " ".join(value.hex() if isinstance(value, bytes) else str(value) for value in row.values())
    assert not [text for text in texts if text in kept]
    assert not [secret for secret in secrets if secret.hex() in kept]
    assert not [text for text in texts if text in repr(ceremony.founded)]


async def test_a_root_opens_with_its_own_passphrase_only_and_is_readable_by_its_owner_only(ceremony: Ceremony) -> None:
    founded, roots = ceremony.founded, await ceremony.roots()
    access = open_root(ceremony.folder, "access", founded.access_root_passphrase, trust=founded.trust)
    assert algorithms.sign_public(access.reveal()) == roots.access_root_public
    for root, passphrase, trust in (
        ("access", founded.certificate_root_passphrase, founded.trust),
        ("certificate", founded.certificate_root_passphrase, "another-trust"),
    ):
        with pytest.raises(Forged) as forged:
            open_root(ceremony.folder, root, passphrase, trust=trust)
        assert forged.value.refusal is Refusal.WRONG_KEY
    for path in ceremony.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(ceremony.folder.stat().st_mode) == 0o700


async def test_swapped_spoiled_and_missing_root_files_are_refused(ceremony: Ceremony) -> None:
    founded = ceremony.founded
    certificate, access = (ceremony.folder / f"{root}-root.sealed" for root in ("certificate", "access"))
    access.write_bytes(certificate.read_bytes())
    with pytest.raises(Forged):
        open_root(ceremony.folder, "access", founded.certificate_root_passphrase, trust=founded.trust)
    access.write_text("{}")
    with pytest.raises(Corrupt):
        open_root(ceremony.folder, "access", founded.access_root_passphrase, trust=founded.trust)
    access.unlink()
    with pytest.raises(NotFound):
        open_root(ceremony.folder, "access", founded.access_root_passphrase, trust=founded.trust)


async def test_a_trust_is_founded_once_and_a_second_ceremony_touches_nothing(ceremony: Ceremony) -> None:
    before = {path.name: path.read_bytes() for path in ceremony.folder.iterdir()}
    with pytest.raises(Conflict):
        await found(ceremony.connection, PLAN, ceremony.folder, lambda: NOW)
    assert {path.name: path.read_bytes() for path in ceremony.folder.iterdir()} == before


async def test_roots_left_by_a_ceremony_that_broke_off_are_put_aside_not_overwritten(
    connection: asyncpg.Connection[Any], tmp_path: Path
) -> None:
    (tmp_path / "access-root.sealed").write_text("of another trust")
    await found(connection, PLAN, tmp_path, lambda: NOW)
    aside = tmp_path / "access-root.sealed.20261122T080000Z"
    assert aside.read_text() == "of another trust"


async def test_a_database_that_fails_leaves_no_roots_of_a_trust_that_is_not(connection: asyncpg.Connection[Any], tmp_path: Path) -> None:
    await connection.execute('alter table trust."grant" add constraint broken check (seq > 1)')
    with pytest.raises(asyncpg.CheckViolationError):
        await found(connection, PLAN, tmp_path, lambda: NOW)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound):
        await store.trust(connection)


async def test_the_ceremony_tells_how_far_it_is_and_lets_others_work(connection: asyncpg.Connection[Any], tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    beats: list[int] = []

    async def heart() -> None:
        while True:
            beats.append(1)
            await asyncio.sleep(0)

    beating = asyncio.create_task(heart())
    await found(connection, PLAN, tmp_path, lambda: NOW, lambda *step: seen.append(step))
    beating.cancel()
    assert ("Making keys", 0, 6) in seen
    assert ("Making keys", 6, 6) in seen
    assert len(beats) >= 6


def _with(*people: PersonPlan) -> TrustPlan:
    return replace(PLAN, people=people)


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        (_with(ADELE, ARNAUD), "certificate officer"),
        (_with(ADELE, LEMOINE), "access officer"),
        (_with(ADELE, ARNAUD, replace(LEMOINE, id=ARNAUD.id)), "both certify and grant"),
        (_with(ADELE, ARNAUD, replace(LEMOINE, sign_in=ARNAUD.sign_in)), "both certify and grant"),
        (_with(ADELE, replace(VASSEUR, sign_in="ADELE.MOREL"), ARNAUD, LEMOINE), "2 times"),
        (_with(ADELE, replace(VASSEUR, id=LABORATORY.client_id), ARNAUD, LEMOINE), "2 times"),
        (_with(replace(ADELE, zones=("no-such-ward",)), ARNAUD, LEMOINE), "not planned"),
        (_with(replace(ADELE, hospital="no-such-hospital"), ARNAUD, LEMOINE), "not planned"),
        (_with(replace(ADELE, zones=("saint-roch", "saint-roch")), ARNAUD, LEMOINE), "2 times"),
        (_with(ADELE, replace(ARNAUD, zones=("saint-roch",)), LEMOINE), "opens no zone"),
        (_with(ADELE, ARNAUD, LEMOINE, replace(COLIN, zones=("saint-roch",))), "opens no zone"),
        (_with(replace(ADELE, role=Role.PROGRAM), ARNAUD, LEMOINE), "role of a program"),
        (_with(replace(ADELE, passphrase="short"), ARNAUD, LEMOINE), "too short"),
        (_with(replace(ADELE, name=""), ARNAUD, LEMOINE), "cannot stand in a certificate"),
        (_with(replace(ADELE, name="x" * 65), ARNAUD, LEMOINE), "cannot stand in a certificate"),
        (_with(replace(ADELE, sign_in=" "), ARNAUD, LEMOINE), "not a sign-in name"),
        (replace(PLAN, hospitals=(replace(PLAN.hospitals[0], kind="spa"), PLAN.hospitals[1])), "of kind 'spa'"),
        (replace(PLAN, hospitals=(PLAN.hospitals[0], replace(PLAN.hospitals[1], id="saint-roch"))), "2 times"),
    ],
)
def test_a_plan_that_cannot_stand_is_refused_by_name(plan: TrustPlan, word: str) -> None:
    with pytest.raises(Invalid, match=word) as invalid:
        plan.check()
    assert invalid.value.hint
