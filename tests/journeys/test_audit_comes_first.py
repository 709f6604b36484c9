"""An audit entry stands on the disk before any answer leaves; the log cannot be changed unnoticed. ARCHITECTURE.md."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from journeys_cast import (
    FHIR,
    SURGERY_NURSE,
    Administrator,
    Company,
    bundle,
    created,
    observation,
    patient,
    reference,
    refusal,
    until,
    word,
)
from running_trust import RunningTrust
from test_two_people_on_one_server import Hijacked

from cloister.assemble import owner_connection
from cloister.audit import store


@pytest.fixture(scope="module")
def somebody(garrison: Company) -> dict[str, Any]:
    return created(garrison.program(), patient(word()), **{"cloister-zone": "saint-roch-surgery"})


@pytest.fixture(scope="module")
def nadia(garrison: Company) -> httpx.Client:
    return garrison.person(SURGERY_NURSE)


def last(intruder: Administrator) -> int:
    return int(intruder.one("select coalesce(max(seq), -1) from audit.event"))


def entries_after(intruder: Administrator, seq: int, session: str) -> list[dict[str, Any]]:
    return intruder.entries(seq, session)


def test_every_interaction_leaves_its_entry(nadia: httpx.Client, somebody: dict[str, Any], intruder: Administrator) -> None:
    session, about, before = nadia.get("/session/state").json()["session"], reference(somebody), last(intruder)
    made = nadia.post(f"{FHIR}/Observation", json=observation(about)).json()
    here = f"{FHIR}/{reference(made)}"
    statuses = [
        nadia.get(here).status_code,
        nadia.get(here, headers={"if-none-match": 'W/"1"'}).status_code,
        nadia.put(here, json=made).status_code,
        nadia.get(f"{here}/_history/1").status_code,
        nadia.get(f"{here}/_history").status_code,
        nadia.get(f"{FHIR}/Observation?patient={somebody['id']}").status_code,
        nadia.get(f"{FHIR}/Observation?patient={somebody['id']}&_summary=count").status_code,
        nadia.get(f"{FHIR}/Patient?name={word()}").status_code,
        nadia.get(f"{FHIR}/Patient/{word()}").status_code,
        nadia.delete(here).status_code,
        nadia.get(here).status_code,
        nadia.post(FHIR, json=bundle(("POST", "Observation", observation(about)))).status_code,
        nadia.get(f"/patients/{somebody['id']}").status_code,
        nadia.get(f"/patients/{somebody['id']}/access").status_code,
    ]
    assert statuses == [200, 304, 200, 200, 200, 200, 200, 200, 404, 204, 410, 200, 200, 200]
    found = entries_after(intruder, before, session)
    done = Counter(entry["action"] for entry in found)
    assert done["create"] >= 1
    assert done["update"] == 1
    assert done["delete"] == 1
    assert done["vread"] == 1
    assert done["history"] == 1
    assert done["search"] >= 3
    assert done["read"] >= 4
    assert done["transaction"] + done["create"] >= 2
    assert done["open-chart"] + done["readers"] >= 2
    assert {entry["actor"] for entry in found} == {intruder.one("select id from trust.person where sign_in = $1", SURGERY_NURSE)}
    assert [entry["seq"] for entry in intruder.rows("select seq from audit.event order by seq")] == list(range(last(intruder) + 1))


def test_a_hundred_readings_are_a_hundred_entries(garrison: Company, somebody: dict[str, Any], intruder: Administrator) -> None:
    program = garrison.program()
    session, before = program.get("/session/state").json()["session"], last(intruder)
    for _ in range(100):
        program.get(f"{FHIR}/{reference(somebody)}").raise_for_status()
    read = [entry for entry in entries_after(intruder, before, session) if entry["action"] == "read"]
    assert len(read) == 100
    assert {entry["object"] for entry in read} == {reference(somebody)}


@contextmanager
def log_held(intruder: Administrator, seconds: float) -> Iterator[threading.Event]:
    """Somebody holds the audit log's table, so that no entry can be written for a while."""
    held = threading.Event()

    def work() -> None:
        async def do() -> None:
            connection = await owner_connection(intruder.settings)
            async with connection.transaction():
                await connection.execute("lock table audit.event in access exclusive mode")
                held.set()
                await asyncio.sleep(seconds)
            await connection.close()

        asyncio.run(do())

    thread = threading.Thread(target=work)
    thread.start()
    held.wait(10)
    try:
        yield held
    finally:
        thread.join()


def test_an_answer_waits_for_its_entry(nadia: httpx.Client, somebody: dict[str, Any], intruder: Administrator) -> None:
    nadia.get(f"{FHIR}/{reference(somebody)}").raise_for_status()
    for ask in (
        lambda: nadia.get(f"{FHIR}/{reference(somebody)}"),
        lambda: nadia.get(f"{FHIR}/Observation?patient={somebody['id']}"),
        lambda: nadia.get(f"/patients/{somebody['id']}"),
        lambda: nadia.post(f"{FHIR}/Observation", json=observation(reference(somebody))),
    ):
        with log_held(intruder, 0.7):
            began = time.monotonic()
            assert ask().status_code in (200, 201)
            assert time.monotonic() - began > 0.5


@pytest.fixture
def unwritable(intruder: Administrator) -> Iterator[None]:
    """The log takes no entries any more."""
    intruder.change("revoke insert on audit.event from cloister_gate")
    try:
        yield
    finally:
        intruder.change("grant insert on audit.event to cloister_gate")


def test_without_an_entry_there_is_no_answer(
    besieged: RunningTrust, nadia: httpx.Client, somebody: dict[str, Any], garrison: Company, unwritable: None
) -> None:
    family, about = somebody["name"][0]["family"], reference(somebody)
    answers = [
        nadia.get(f"{FHIR}/{about}"),
        nadia.get(f"{FHIR}/{about}/_history"),
        nadia.get(f"{FHIR}/{about}/_history/1"),
        nadia.get(f"{FHIR}/Patient?name={family}"),
        nadia.get(f"{FHIR}/Patient?_id={somebody['id']}&_summary=count"),
        nadia.get(f"{FHIR}/Observation?patient={somebody['id']}"),
        nadia.get(f"/patients/{somebody['id']}"),
        nadia.get("/patients?q=" + family),
        nadia.get(f"/patients/{somebody['id']}/access"),
        nadia.post(f"{FHIR}/Observation", json=observation(about)),
        nadia.post(FHIR, json=bundle(("POST", "Observation", observation(about)))),
        nadia.delete(f"{FHIR}/{about}"),
        garrison.program().get(f"{FHIR}/{about}"),
    ]
    for answer in answers:
        assert answer.status_code >= 500, (str(answer.url), answer.status_code, answer.text[:300])
        assert family not in answer.text.replace(f"q={family}", "").replace(f'value="{family}"', "")
    with besieged.client() as client:
        proof, _ = besieged.prove(client, "thomas.olivier", besieged.person(sign_in="thomas.olivier")["passphrase"])
        assert proof.status_code >= 500, "nobody signs in without a trace"
    batch = nadia.post(FHIR, json=bundle(("GET", about, None), kind="batch"))
    assert family not in batch.text


def test_the_record_is_there_again_when_the_log_is(nadia: httpx.Client, somebody: dict[str, Any]) -> None:
    until(lambda: nadia.get(f"{FHIR}/{reference(somebody)}").status_code == 200, 10)


def test_a_refused_unlock_and_a_refused_sign_in_leave_a_trace_and_no_secret(besieged: RunningTrust, intruder: Administrator) -> None:
    before, thomas = last(intruder), besieged.person(sign_in="thomas.olivier")
    with besieged.client() as client:
        wrong, _ = besieged.prove(client, thomas["sign_in"], "a-wrong-passphrase")
        assert wrong.status_code == 401
        nobody, _ = besieged.prove(client, "my-secret-passphrase-typed-as-a-name", "x")
        assert nobody.status_code == 401
        right, _ = besieged.prove(client, thomas["sign_in"], thomas["passphrase"])
        client.headers["cookie"] = right.headers["set-cookie"].split(";")[0]
        bad = client.post("/session/unlock", json={"unlocker": right.json()["unlocker"]["id"], "sealed": "AAAA"})
        assert bad.status_code >= 400
        client.post("/session/end")
    found = intruder.entries(before)
    assert [(entry["action"], entry["outcome"]) for entry in found][:4] == [
        ("sign-in", "refused"),
        ("sign-in", "refused"),
        ("sign-in", "success"),
        ("unlock", "denied"),
    ]
    assert "passphrase-typed" not in str(found)
    assert thomas["passphrase"] not in str(found)


def cloister(trust: RunningTrust, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **trust.environment}
    return subprocess.run([sys.executable, "-m", "cloister.cli", *command], capture_output=True, text=True, env=environment, check=False)


def test_the_log_is_append_only_and_a_change_is_named_by_verify(besieged: RunningTrust, intruder: Administrator) -> None:
    whole = cloister(besieged, "audit", "verify")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    for change in ("delete from audit.event where seq = 3", "update audit.event set sealed = 'x'", "truncate audit.event"):
        with pytest.raises(Exception, match="append-only"):
            intruder.change(change)
        with pytest.raises(Exception, match="permission denied"):
            intruder.change("set local role cloister_gate", change)
    for change in (
        "delete from audit.event where seq = 3",
        "update audit.event set sealed = 'nobody' where seq = 3",
        "update audit.event set actor = 0, leaf = decode(repeat('00', 32), 'hex') where seq = 3",
        "delete from audit.event where seq = 0",
        "update audit.node set hash = decode(repeat('00', 32), 'hex') where level = 1 and place = 0",
        "delete from audit.node where level = 1 and place = 0",
    ):
        with intruder.kept("audit.event", "audit.node"):
            intruder.change("set local session_replication_role = replica", change)
            broken = cloister(besieged, "audit", "verify")
            assert broken.returncode == 65, broken.stdout + broken.stderr
            assert "error:" in broken.stderr
            assert "Traceback" not in broken.stderr
    assert cloister(besieged, "audit", "verify").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can speak to the gate as a session")
def test_a_log_that_was_rewritten_with_new_hashes_contradicts_its_signed_checkpoint(
    besieged: RunningTrust, intruder: Administrator
) -> None:
    note = {"action": "read", "kind": "Patient", "object": "x", "outcome": "success", "reason": ""}
    Hijacked(besieged, intruder, SURGERY_NURSE).say(("audit_append", {"entries": [note] * 1000}))
    until(lambda: intruder.one("select count(*) from audit.checkpoint"), 10)
    entry = store.row_of(intruder.rows("select * from audit.event where seq = 3")[0]).entry
    leaf = replace(entry, patient=7).leaf()
    forged = ("update audit.event set patient = 7, leaf = $1 where seq = 3", leaf)
    own_key = "update audit.checkpoint set note = replace(note, E'\\ntime 1', E'\\ntime 2')"
    for changes in ((forged,), (forged, own_key), (own_key,)):
        changes = tuple((one, leaf) if "$1" in one and isinstance(one, str) else one for one in changes)
        with intruder.kept("audit.event", "audit.checkpoint"):
            intruder.change("set local session_replication_role = replica", *changes)
            broken = cloister(besieged, "audit", "verify")
            assert broken.returncode == 65, (changes, broken.stdout, broken.stderr)
    assert cloister(besieged, "audit", "verify").returncode == 0


def test_verify_walks_every_chain_without_a_key_and_names_the_broken_one(
    besieged: RunningTrust, garrison: Company, intruder: Administrator
) -> None:
    program = garrison.program()
    who = created(program, patient(word()))
    made = created(program, observation(reference(who)))
    program.put(f"{FHIR}/{reference(made)}", json=made).raise_for_status()
    dossier = intruder.dossier_of(reference(who))
    whole = cloister(besieged, "verify")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    tables = ("care.commit", "care.res", "care.res_hist", "care.index_part", "care.dossier")
    for change in (
        "delete from care.commit where dossier = $1 and seq = 2",
        "delete from care.commit where dossier = $1 and seq = 3",
        "update care.commit c set blob = o.blob from care.commit o where c.dossier = $1 and o.dossier = $1 and c.seq = 3 and o.seq = 2",
        "update care.commit set blob = set_byte(blob, 200, get_byte(blob, 200) # 1) where dossier = $1 and seq = 1",
        "delete from care.res_hist where dossier = $1",
        "delete from care.res where dossier = $1",
        "delete from care.index_part where dossier = $1 and part_no = 1",
        "update care.dossier set seq = 2 where id = $1",
    ):
        with intruder.kept(*tables):
            intruder.change((change, dossier))
            broken = cloister(besieged, "verify")
            assert (broken.returncode, f"broken: dossier {dossier}" in broken.stdout) == (65, True), (change, broken.stdout, broken.stderr)
    assert refusal(program.get(f"{FHIR}/Patient/{word()}")) == ""
