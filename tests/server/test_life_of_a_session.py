"""A session from sign-in to its end, with real processes."""

from __future__ import annotations

import asyncio
import os
import time
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
import ticket_words
from server_rig import IN_ONE_LOOP, Rig, running_server

from cloister.base.errors import Busy, NotFound
from cloister.server import cgroups
from cloister.zones import algorithms

pytestmark = IN_ONE_LOOP


async def test_a_nurse_signs_in_unlocks_and_reads_in_a_process_of_her_own(server: Rig) -> None:
    adele = await server.sign_in("adele")
    assert (await adele.get("/")).status_code == 401
    answer = await adele.unlock()
    assert answer.json()["state"] == "active"
    page = (await adele.get("/")).json()
    assert page["name"] == "Adèle Martin"
    assert page["zones"] == ["zone-ward"]
    assert page["pid"] == await adele.pid() != os.getpid()
    assert [(note["actor"], note["action"], note["outcome"]) for note in server.gate.notes] == [("adele", "unlock", "success")]
    assert server.store.state(adele.started.session) == "active"


async def test_each_person_has_another_process(server: Rig) -> None:
    adele, bruno = await server.open("adele"), await server.open("bruno")
    assert await adele.pid() != await bruno.pid()
    assert (await bruno.get("/")).json()["name"] == "Bruno Petit"


@pytest.mark.skipif(os.geteuid() != 0, reason="groups are made by root")
async def test_a_session_is_in_a_group_of_its_own_before_anybody_hears_of_it(server: Rig) -> None:
    adele = await server.sign_in("adele")
    groups = Path(f"/proc/{await adele.pid()}/cgroup").read_text().splitlines()
    assert sum(adele.started.session in line for line in groups) >= len(set(cgroups.find().folders.values())), groups


async def test_a_ticket_for_another_session_is_misdirected(server: Rig) -> None:
    adele, bruno = await server.open("adele"), await server.open("bruno")
    for sid in (bruno.started.session, "", "x"):
        assert (await adele.get("/", sid=sid)).status_code == 421
    whole = ticket_words.payload(sid=adele.started.session, person="adele", epoch=1)
    twice = [(ticket_words.HEADER, whole), (ticket_words.HEADER, whole)]
    assert (await adele.http.get("/", headers=twice)).status_code == 421
    assert (await adele.get("/fhir/R4/Patient", sid="x")).json()["resourceType"] == "OperationOutcome"


async def test_without_a_session_a_page_leads_to_sign_in_and_fhir_gets_an_outcome(server: Rig) -> None:
    adele = await server.sign_in("adele")
    page = await adele.get("/", accept="text/html")
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    part = await adele.get("/", accept="text/html", hx_request="true")
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")
    outcome = await adele.get("/fhir/R4/Patient")
    assert (outcome.status_code, outcome.json()["issue"][0]["code"]) == (401, "login")


async def test_she_continues_at_another_workstation_in_the_same_process_and_must_unlock_again(server: Rig) -> None:
    first = await server.open("adele")
    pid = await first.pid()
    second = await server.sign_in("adele")
    assert second.started.reconnected
    assert second.started.session == first.started.session
    assert second.started.public_key != first.started.public_key
    assert (await first.get("/")).status_code == 401
    assert (await second.get("/")).status_code == 401, "the door alone must not reach an unlocked session"
    assert (await second.unlock()).status_code == 200
    assert (await second.get("/")).json()["pid"] == pid
    assert (await first.get("/")).status_code == 401
    assert (await first.unlock(second.started.public_key)).status_code == 401


async def test_a_wrong_secret_is_refused_and_the_fifth_time_the_session_ends(server: Rig) -> None:
    adele = await server.sign_in("adele")
    for _ in range(4):
        answer = await adele.unlock(kek=algorithms.random(32))
        assert (answer.status_code, answer.json()["reason"]) == (403, "wrong-secret")
    assert server.gate.notes[-1]["outcome"] == "denied"
    assert (await adele.unlock(kek=algorithms.random(32))).status_code == 403
    await server.until(lambda: server.store.state(adele.started.session) == "ended")
    assert server.store.rows[adele.started.session].why == "too-many-tries"


async def test_after_wrong_tries_the_right_secret_still_opens(server: Rig) -> None:
    adele = await server.sign_in("adele")
    assert (await adele.unlock(kek=algorithms.random(32))).status_code == 403
    assert (await adele.unlock()).status_code == 200


async def test_an_unlock_message_for_another_session_opens_nothing(server: Rig) -> None:
    adele, bruno = await server.sign_in("adele"), await server.sign_in("bruno")
    message = server.trust.unlock_message("adele", bruno.started.session, adele.started.public_key)
    answer = await adele.post("/session/unlock", {"unlocker": "u-adele", "sealed": b64encode(message).decode()})
    assert (answer.status_code, answer.json()["reason"]) == (403, "unlock-message")
    for body in (None, [], {"unlocker": "u-adele"}, {"unlocker": "u-adele", "sealed": "*"}, {"unlocker": 7, "sealed": ""}):
        assert (await adele.post("/session/unlock", body)).status_code == 400
    stolen = await adele.post("/session/unlock", {"unlocker": "u-bruno", "sealed": b64encode(
        server.trust.unlock_message("bruno", adele.started.session, adele.started.public_key)).decode()})  # fmt: skip
    assert stolen.status_code == 404


async def test_locking_wipes_the_keys_and_a_fresh_key_unlocks_again(server: Rig) -> None:
    adele = await server.open("adele")
    assert (await adele.post("/session/lock")).status_code == 200
    assert (await adele.get("/")).status_code == 401
    assert (await adele.unlock()).status_code == 409, "a recorded unlock message must not work twice"
    key = b64decode((await adele.get("/session/key")).json()["public_key"])
    assert key != adele.started.public_key
    assert (await adele.unlock(key)).status_code == 200
    assert (await adele.get("/")).json()["opened"] == ["Adèle Martin"], "the application forgot what was open before"


async def test_signing_out_ends_the_process_and_frees_the_slot(server: Rig) -> None:
    adele = await server.open("adele")
    pid = await adele.pid()
    answer = await adele.post("/session/end", accept="text/html")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert answer.headers["set-cookie"].startswith("__Host-ticket=; Max-Age=0")
    await server.until(lambda: not os.path.exists(f"/proc/{pid}"))
    await server.until(lambda: server.store.state(adele.started.session) == "ended")
    assert server.store.rows[adele.started.session].why == "signed-out"
    assert [(note["action"], note["reason"]) for note in server.gate.notes] == [("unlock", ""), ("end", "signed-out")]
    assert await server.listed() == {}
    assert not (server.folder / "slots" / f"{adele.started.slot}.sock").exists()
    with pytest.raises(NotFound):
        await server.broker.end_session(adele.started.session)


async def test_the_broker_ends_a_session(server: Rig) -> None:
    adele = await server.open("adele")
    await server.broker.end_session(adele.started.session, "revoked")
    await server.until(lambda: server.store.state(adele.started.session) == "ended")
    again = await server.sign_in("adele")
    assert not again.started.reconnected


async def test_a_cookie_near_its_end_is_renewed_and_others_are_not(server: Rig) -> None:
    adele = await server.open("adele")
    adele.expires = int(time.time()) + 500
    assert "set-cookie" not in (await adele.get("/")).headers
    adele.expires = int(time.time()) + 200
    cookie = (await adele.get("/")).headers["set-cookie"]
    assert cookie.startswith("__Host-ticket=ey")
    assert cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Strict")


async def test_another_site_cannot_make_her_browser_write(server: Rig) -> None:
    adele = await server.open("adele")
    assert (await adele.post("/session/lock", sec_fetch_site="cross-site")).status_code == 403
    assert (await adele.get("/", sec_fetch_site="cross-site")).status_code == 200
    assert (await adele.post("/session/lock", sec_fetch_site="same-origin")).status_code == 200


async def test_a_session_left_alone_wipes_its_keys_then_ends() -> None:
    async with running_server(idle_lock_seconds=1, linger_seconds=3) as server:
        adele = await server.open("adele")
        await asyncio.sleep(0.6)
        assert (await adele.get("/")).status_code == 200
        await asyncio.sleep(0.6)
        assert (await adele.get("/")).status_code == 200, "a click keeps it"
        await server.until(lambda: server.store.state(adele.started.session) == "disconnected", 3)
        assert (await adele.get("/")).status_code == 401
        await server.until(lambda: server.store.state(adele.started.session) == "ended", 6)
        assert server.store.rows[adele.started.session].why == "linger"


async def test_a_session_that_nobody_unlocks_ends() -> None:
    async with running_server(unlock_seconds=1) as server:
        adele = await server.sign_in("adele")
        await server.until(lambda: server.store.state(adele.started.session) == "ended", 4)
        assert server.store.rows[adele.started.session].why == "not-unlocked"


async def test_workers_of_a_program_share_a_session_and_labels_get_their_own_up_to_four(server: Rig) -> None:
    first = await server.open("lab", role="program", kind="program")
    second = await server.sign_in("lab", role="program", kind="program")
    assert second.started.reconnected
    assert (await first.get("/")).status_code == 200, "its first worker goes on"
    message = server.trust.unlock_message("lab", second.started.session, second.started.public_key)
    await server.broker.unlock(second.started.session, "u-lab", message)
    assert (await second.get("/")).status_code == 200
    for label in ("b", "c", "d"):
        await server.sign_in("lab", role="program", kind="program", label=label)
    with pytest.raises(Busy) as refused:
        await server.sign_in("lab", role="program", kind="program", label="e")
    assert refused.value.reason == "program-sessions"


async def test_a_full_server_says_that_its_slots_are_taken() -> None:
    async with running_server(slots=1) as server:
        adele = await server.sign_in("adele")
        with pytest.raises(Busy) as refused:
            await server.sign_in("bruno")
        assert refused.value.reason == "slots"
        await server.broker.end_session(adele.started.session)
        await server.until(lambda: server.store.state(adele.started.session) == "ended")
        await server.sign_in("bruno")
