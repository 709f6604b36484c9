"""The store gate: whom it answers, what it refuses, and that it survives what happens to the database."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator

import asyncpg
import pytest
from audit_rig import opened_log
from people import admitted, patient, search, weighed
from store_rig import ADELE, CARDIOLOGY, COLIN, PROGRAM, TOKENS, VASSEUR, Rig, Session, rig

from cloister.base.errors import Conflict, Denied, Invalid, Unavailable
from cloister.base.ids import new_id
from cloister.base.wire import Caller
from cloister.records import commit
from cloister.records.definitions import type_numbers
from cloister.records.gate import writing


async def test_a_process_that_nobody_admitted_is_refused(trust: Rig) -> None:
    stranger = Caller(trust.gate_socket, part="store gate")
    for statement in ("trust_material", "dossiers", "write", "audit_append"):
        with pytest.raises(Denied) as refused:
            await stranger.call(statement)
        assert refused.value.reason == "unknown-process"
    for token in ("", "wrong", TOKENS["controller"]):
        with pytest.raises(Denied) as unknown:
            await stranger.call("session_admit", token=token, pid=os.getpid(), uid=0, session="s", person=VASSEUR.id, role="doctor")
        assert unknown.value.reason == "unknown-service"
    stranger.close()


async def test_a_dismissed_session_is_a_stranger_again(trust: Rig) -> None:
    session = await trust.session(ADELE)
    service = Caller(trust.gate_socket, part="store gate")
    await service.call("session_dismiss", token=TOKENS["agent"], session=session.actor.session)
    service.close()
    with pytest.raises(Denied) as refused:
        await session.gate.call("dossiers", after=bytes(16))
    assert refused.value.reason == "unknown-process"
    session.close()


async def test_a_process_of_another_account_is_not_the_session(trust: Rig) -> None:
    pid, path = trust.relay()
    service = Caller(trust.gate_socket, part="store gate")
    await service.call("session_admit", token=TOKENS["agent"], pid=pid, uid=4242, session=new_id(), person=ADELE.id, role="nurse")
    session = Caller(path, part="store gate")
    with pytest.raises(Denied):
        await session.call("trust_material")
    for one in (service, session):
        one.close()


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        ("rows_by_id", {"rtype": "1", "ids": []}),
        ("rows_by_id", {"rtype": 1, "ids": [b"short"]}),
        ("rows_by_id", {"rtype": 1, "ids": [], "zones": ["saint-roch"]}),
        ("dossiers", {"after": bytes(16), "registers": "all"}),
        ("dossiers", {"after": bytes(16), "limit": 10**9}),
        ("find", {"rtype": 1, "groups": []}),
        ("find", {"rtype": 1, "groups": [[2**63]]}),
        ("audit_append", {"entries": [{"action": "read", "kind": "Patient", "actor": "somebody else"}]}),
        ("write", {"dossier": [bytes(16)]}),
        (
            "write",
            {
                "dossier": [bytes(16)],
                "kind": ["patient"],
                "expected": [0],
                "commit": [b"x"],
                "part_d": [2],
                "part_no": [1],
                "part_ct": [b""],
            },
        ),
    ],
)
async def test_arguments_of_another_form_are_refused(adele: Session, statement: str, arguments: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        await adele.gate.call(statement, **arguments)  # type: ignore[arg-type]


async def test_what_is_no_statement_is_refused(adele: Session) -> None:
    for name in ("select * from care.res", "sql", "session_admit", "__init__"):
        with pytest.raises(Denied):
            await adele.gate.call(name)


async def test_a_session_that_was_taken_over_cannot_reach_beyond_its_zones(adele: Session, program: Session) -> None:
    """Raw statements, as an attacker inside the session's process would send them."""
    hidden = await admitted(program)
    stored = (await weighed(program, hidden)).stored
    place = {"dossiers": [stored.dossier], "rtypes": [1], "ids": [bytes(16)]}
    assert await adele.gate.call("rows", **place) == [[], []]
    assert await adele.gate.call("open_dossiers", dossiers=[stored.dossier], since=[0], seqs=[0]) == []
    assert await adele.gate.call("commits", dossier=stored.dossier) == []
    assert await adele.gate.call("readers", dossier=stored.dossier) == []
    assert await adele.gate.call("shard", zone="saint-roch") == []
    seen = {id for id, _, _ in await adele.gate.call("dossiers", after=bytes(16), limit=1000)}
    assert stored.dossier not in seen
    base = {"dossier": [stored.dossier], "kind": ["patient"], "commit": [b"forged"]}
    with pytest.raises(Denied):
        await adele.gate.call("write", **base, expected=[2])
    with pytest.raises(Denied):
        await adele.gate.call(
            "write", **base, expected=[0], key_d=[1], key_no=[1], key_epoch=[1], key_zone=["saint-roch"], key_wrapped=[b"mine"]
        )
    with pytest.raises(Denied):
        await adele.gate.call(
            "write", shard_drop_zone=["saint-roch"], shard_drop_no=[1], shard_zone=["saint-roch"], shard_no=[2], shard_ct=[b""]
        )
    with pytest.raises(Conflict):  # a new dossier under an id that exists says only that it cannot be
        await adele.gate.call("write", **base, expected=[0])


async def test_what_sessions_ask_at_one_moment_is_answered_by_what_each_may_open(adele: Session, program: Session) -> None:
    """The gate asks for such rows in one statement, of sessions with the same zones only."""
    hidden, shown = await admitted(program), await admitted(program, ward=CARDIOLOGY)
    rtype = type_numbers()["Patient"]
    ids = [uuid.UUID(id).bytes for id in (hidden, shown)] * 8
    calls = [one.gate.call("rows_by_id", rtype=rtype, ids=[id], open=True) for id in ids for one in (adele, program)]
    answers = await asyncio.gather(*calls)
    seen = [[row[1] for row in rows] for rows, _ in answers]
    assert seen == [answer for id in ids for answer in ([] if id == ids[0] else [id], [id])]
    opened = [{row[1] for row in opening} for _, opening in answers]
    assert opened == [{row[0] for row in rows} for rows, _ in answers]


async def test_a_revoked_grant_ends_within_seconds(trust: Rig, program: Session) -> None:
    lopez = await admitted(program, ward=CARDIOLOGY)
    session = await trust.session(ADELE)
    assert (await session.records.open_chart(lopez)).patient.id == lopez
    database = await trust.connect()
    await database.execute('update trust."grant" set revoked = now() where person = $1', ADELE.id)
    try:
        await asyncio.sleep(2.2)
        assert await session.gate.call("dossiers", after=bytes(16)) == []
    finally:
        await database.execute('update trust."grant" set revoked = null where person = $1', ADELE.id)
        await database.close()
        session.close()
        await asyncio.sleep(2.2)


async def test_only_an_operator_looks_at_ciphertext_and_sees_no_name(colin: Session, vasseur: Session, program: Session) -> None:
    await program.records.create(patient("Unmistakable", "Philomena"))
    with pytest.raises(Denied):
        await vasseur.gate.call("look_ciphertext", limit=5)
    looked = await colin.gate.call("look_ciphertext", limit=200)
    tables = {one["table"]: one for one in looked["tables"]}
    assert len(tables["care.res"]["rows"]) > 0
    assert {"dossier", "ct"} <= set(tables["care.res"]["columns"])
    assert b"Unmistakable" not in repr(looked).encode()
    assert b"Philomena" not in repr(looked).encode()


def test_both_ends_of_a_write_name_the_same_columns() -> None:
    assert commit.COLUMNS == writing.NAMES


async def test_everything_is_audited_before_it_is_answered(trust: Rig, program: Session, adele: Session) -> None:
    lopez = await admitted(program, ward=CARDIOLOGY)
    stored = (await weighed(program, lopez)).stored
    await adele.records.read("Observation", stored.id)
    await search(adele, "Observation", f"patient={lopez}")
    with pytest.raises(Denied):
        await adele.records.create({"resourceType": "Condition", "subject": {"reference": f"Patient/{lopez}"}})
    database = await trust.connect()
    entries = [entry for _, entry in await opened_log(database, trust.trust.trust_id)]
    rows = [entry for entry in entries if entry.session == adele.actor.session]
    seen = [(row.action, row.kind, row.outcome) for row in rows]
    assert seen == [("read", "Observation", "success"), ("search", "Observation", "success"), ("create", "Condition", "denied")]
    assert {row.actor for row in rows} == {ADELE.id}
    assert rows[0].object == f"Observation/{stored.id}"
    dossier = str(await database.fetchval("select dossier from care.res where id = $1::text::uuid", lopez))
    assert [row.patient for row in rows] == [dossier, dossier, ""], "whose record it was, also where the object does not say"
    assert [row.turn for row in rows] == ["1", "2", "3"]
    written = [entry for entry in entries if entry.session == program.actor.session and entry.action == "create"]
    assert {row.kind for row in written} == {"Patient", "Encounter", "Observation"}
    text = " ".join(str(value) for row in await database.fetch("select * from audit.event") for value in row.values())
    assert "Lopez" not in text
    assert ADELE.id not in text
    assert stored.id not in text
    await database.close()


@pytest.fixture(scope="module")
def own() -> Iterator[Rig]:
    """A trust that these tests may stop and start."""
    with rig() as made:
        yield made


async def test_a_stopped_database_is_said_so_and_recovered_from(own: Rig) -> None:
    session = await own.session(PROGRAM)
    lopez = await admitted(session)
    own.server.stop()
    for ask in (weighed(session, lopez), search(session, "Observation", f"patient={lopez}"), session.records.read("Patient", lopez)):
        with pytest.raises(Unavailable):
            await ask
    own.server.start()
    assert (await weighed(session, lopez)).created
    assert (await search(session, "Observation", f"patient={lopez}")).total == 1
    session.close()


async def test_a_killed_gate_comes_back_and_the_log_goes_on(own: Rig) -> None:
    session = await own.session(VASSEUR)
    lopez = await admitted(session)
    own.stop_gate()
    with pytest.raises(Unavailable):
        await session.records.read("Patient", lopez)
    own.start_gate()
    with pytest.raises(Denied):  # the new gate knows nobody until the agent has said who is who
        await session.records.read("Patient", lopez)
    await own.admit(session.pid, VASSEUR.id, "doctor", session.actor.session)
    assert (await session.records.read("Patient", lopez)).id == lopez
    database = await own.connect()
    numbers = [row[0] for row in await database.fetch("select seq from audit.event order by seq")]
    assert numbers == list(range(len(numbers)))
    await database.close()
    session.close()


async def test_a_full_disk_stores_nothing_and_says_what_to_do(own: Rig) -> None:
    session = await own.session(PROGRAM)
    lopez = await admitted(session)
    database = await own.connect()
    await database.execute(
        """create function public.full() returns trigger language plpgsql as $$
           begin raise exception 'could not extend file' using errcode = '53100'; end $$"""
    )
    await database.execute("create trigger full_disk before insert on care.res for each statement execute function public.full()")
    with pytest.raises(Unavailable) as full:
        await weighed(session, lopez)
    assert full.value.reason == "disk-full"
    assert "space" in full.value.hint
    await database.execute("drop trigger full_disk on care.res")
    await database.execute("create trigger full_log before insert on audit.event for each statement execute function public.full()")
    with pytest.raises(Unavailable):
        await session.records.read("Patient", lopez)  # no answer without its audit entry
    await database.execute("drop trigger full_log on audit.event")
    assert (await search(session, "Observation", f"patient={lopez}")).total == 0
    assert (await weighed(session, lopez)).created
    await database.close()
    session.close()


async def test_the_gates_role_reaches_nothing_but_what_it_needs(own: Rig) -> None:
    role = await asyncpg.connect(**own.server.arguments("postgres", "cloister_gate"))
    for sql in (
        "update audit.event set actor = 1",
        "delete from audit.event",
        "update trust.identity set sealed_private = ''",
        'update trust."grant" set body = body',
        "create table care.other (a int)",
        "drop table care.res",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await role.execute(sql)
    await role.close()


async def test_an_operator_has_no_zone(colin: Session) -> None:
    assert colin.keyring.zones == []
    assert COLIN.zones == ()
    assert await colin.gate.call("dossiers", after=bytes(16)) == []
