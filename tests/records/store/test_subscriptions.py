"""Subscriptions: who may ask for what, who is told, and that nobody is told of what its program cannot open."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hook_endpoint import Hook, hook
from over_http import client_of
from people import patient
from store_rig import CARDIOLOGY, DELIVERY_SEED, Rig, Session

from cloister.gateway.outbound import Rounds
from cloister.gateway.outbound.addresses import Host, Refused, chosen, permitted
from cloister.gateway.outbound.posting import post
from cloister.zones import algorithms

CODE = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hook]:
    with hook(tmp_path_factory.mktemp("hook")) as made:
        yield made


@pytest.fixture
async def outbound(trust: Rig, endpoint: Hook) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The delivery process at work, allowed to send to the endpoint alone."""
    connection = await trust.connect()
    await connection.execute("alter role cloister_outbound login")
    await connection.execute("delete from outbound.host")
    await connection.execute("delete from outbound.channel")
    values = ("localhost", endpoint.port, ["127.0.0.1/32"], endpoint.authority.read_text())
    await connection.execute("insert into outbound.host values ($1, $2, $3, $4)", *values)
    arguments = trust.server.arguments("postgres", "cloister_outbound")
    task = asyncio.create_task(Rounds(arguments, algorithms.KemPrivate(DELIVERY_SEED), tries_max=3, back_off=(0.3,)).run())
    endpoint.came.clear()
    endpoint.status = 200
    yield connection
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await connection.close()


def subscription(endpoint: Hook, criteria: str = "Observation?code=8867-4", **more: Any) -> dict[str, Any]:
    channel = {"type": "rest-hook", "endpoint": endpoint.url, "header": ["Authorization: Bearer of-the-program"]}
    body = {"resourceType": "Subscription", "status": "requested", "reason": "heart rates", "criteria": criteria, "channel": channel}
    return body | more


def pulse(patient: str, code: dict[str, Any] = CODE) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "status": "final", "code": code, "subject": {"reference": f"Patient/{patient}"},
        "valueQuantity": {"value": 71, "unit": "/min"},
    }  # fmt: skip


async def until(what: Callable[[], Awaitable[bool] | bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = what()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.03)


async def active(session: Session, body: dict[str, Any]) -> str:
    stored = (await session.records.create(body)).stored
    assert (stored.resource or {})["status"] == "requested"

    async def is_active() -> bool:
        return ((await session.records.read("Subscription", stored.id)).resource or {})["status"] == "active"

    await until(is_active)
    return stored.id


async def status_of(session: Session, id: str) -> dict[str, Any]:
    return (await session.records.read("Subscription", id)).resource or {}


async def test_what_matches_is_told_once_and_nothing_else(program: Session, adele: Session, endpoint: Hook, outbound: Any) -> None:
    """Adèle, a nurse of the ward, writes; her session finds that the laboratory has asked for it."""
    about = (await program.records.create(patient("Morin"), zone=CARDIOLOGY)).stored.id
    id = await active(program, subscription(endpoint))
    await adele.records.create(pulse(about, {"text": "something else"}))
    await adele.records.create(pulse(about))
    await until(lambda: len(endpoint.came) == 1)
    path, headers, body = endpoint.came[0]
    assert (path, body) == ("/hook", b"")
    assert headers["authorization"] == "Bearer of-the-program"
    assert headers["cloister-subscription"] == f"Subscription/{id}"
    assert (headers["cloister-events"], headers["cloister-attempt"]) == ("1-1", "1")
    assert "Morin" not in str(headers)
    assert about not in str(headers)
    await asyncio.sleep(0.3)
    assert len(endpoint.came) == 1
    await program.records.delete("Subscription", id)
    await program.records.subscriptions.look()
    await adele.records.create(pulse(about))
    await adele.records.subscriptions.look()
    assert len(endpoint.came) == 1


async def test_its_header_is_sealed_for_the_delivery_alone(program: Session, vasseur: Session, endpoint: Hook, outbound: Any) -> None:
    id = await active(program, subscription(endpoint))
    seen = await status_of(vasseur, id)
    assert "of-the-program" not in str(seen)
    assert seen["channel"]["header"][0].startswith("Authorization: sealed:")
    seen["criteria"] = "Observation?code=8310-5"  # read, changed and written back: the sealed header still opens
    await program.records.update(seen)
    await until(lambda: _is(program, id, "active"))
    about = (await program.records.create(patient("Sealed"))).stored.id
    await program.records.create(pulse(about, {"coding": [{"code": "8310-5"}]}))
    await until(lambda: len(endpoint.came) == 1)
    assert endpoint.came[0][1]["authorization"] == "Bearer of-the-program"
    moved = await status_of(program, id)
    moved["channel"]["endpoint"] = endpoint.url.replace("/hook", "/elsewhere")
    await program.records.update(moved)
    await program.records.create(pulse(about, {"coding": [{"code": "8310-5"}]}))
    await until(lambda: _is(program, id, "error"))
    assert "do not open" in (await status_of(program, id))["error"]
    assert len(endpoint.came) == 1
    await program.records.delete("Subscription", id)


async def _is(session: Session, id: str, status: str) -> bool:
    return (await status_of(session, id))["status"] == status


async def test_a_program_is_not_told_of_what_it_cannot_open(
    program: Session, tilleuls: Session, delorme: Session, endpoint: Hook, outbound: Any
) -> None:
    """The psychiatric program asks too; each hears of its own hospital only, whoever writes, with the same criteria."""
    here = await active(program, subscription(endpoint))
    there = await active(tilleuls, subscription(endpoint))
    about = (await delorme.records.create(patient("Closed"))).stored.id
    await delorme.records.create(pulse(about))
    await until(lambda: len(endpoint.came) == 1)
    await program.records.subscriptions.look()
    await asyncio.sleep(0.2)
    assert [headers["cloister-subscription"] for _, headers, _ in endpoint.came] == [f"Subscription/{there}"]
    assert await outbound.fetchval("select count(*) from care.notice where subscription = $1", here) > 0  # for nobody to look at
    for session, id in ((program, here), (tilleuls, there)):
        await session.records.delete("Subscription", id)
        await session.records.subscriptions.look()
    assert await outbound.fetchval("select count(*) from care.notice") == 0


async def test_a_program_whose_grant_has_ended_is_told_nothing(program: Session, vasseur: Session, endpoint: Hook, outbound: Any) -> None:
    id = await active(program, subscription(endpoint))
    about = (await vasseur.records.create(patient("Ended"))).stored.id
    end = 'update trust."grant" set revoked = now() where person = $1 and revoked is null returning hash'
    ended = [row[0] for row in await outbound.fetch(end, program.actor.person)]
    try:
        await vasseur.records.create(pulse(about))
        await vasseur.records.subscriptions.look()
        assert await outbound.fetchval("select events from outbound.channel where id = $1", id) == 0
    finally:
        await outbound.execute('update trust."grant" set revoked = null where hash = any ($1)', ended)
    await asyncio.sleep(2.1)  # what the gate remembers of zones
    await program.records.delete("Subscription", id)


async def test_an_endpoint_that_is_down_is_tried_again_and_the_resource_says_so(program: Session, endpoint: Hook, outbound: Any) -> None:
    id = await active(program, subscription(endpoint))
    about = (await program.records.create(patient("Down"))).stored.id
    endpoint.status = 500
    await program.records.create(pulse(about))
    await until(lambda: _is(program, id, "error"))
    assert "answered 500" in (await status_of(program, id))["error"]
    await program.records.create(pulse(about))
    endpoint.status = 200
    await until(lambda: _is(program, id, "active"))
    events = [(headers["cloister-events"], headers["cloister-attempt"]) for _, headers, _ in endpoint.came]
    assert events[:2] == [("1-1", "1"), ("1-1", "2")]  # the same event, marked as tried before
    await until(lambda: endpoint.came[-1][1]["cloister-events"] == "2-2")
    keys = [headers["idempotency-key"] for _, headers, _ in endpoint.came]
    assert keys[0] == keys[1] != keys[-1]
    await program.records.delete("Subscription", id)


async def test_a_redirect_is_not_followed_and_what_is_given_up_turns_it_off(program: Session, endpoint: Hook, outbound: Any) -> None:
    id = await active(program, subscription(endpoint))
    about = (await program.records.create(patient("Redirected"))).stored.id
    endpoint.status, endpoint.location = 302, "https://localhost:1/else"
    await program.records.create(pulse(about))
    await until(lambda: _is(program, id, "off"))
    endpoint.location = ""
    assert "redirect" in (await status_of(program, id))["error"]
    assert await outbound.fetchval("select state from outbound.channel where id = $1", id) == "dead"
    assert {path for path, _, _ in endpoint.came} == {"/hook"}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"channel": {"type": "websocket"}}, "channel.type"),
        ({"channel": {"type": "rest-hook", "endpoint": "http://localhost/hook"}}, "channel.endpoint"),
        ({"channel": {"type": "rest-hook", "endpoint": "https://127.0.0.1:5432/"}}, "channel.endpoint"),
        ({"channel": {"type": "rest-hook", "endpoint": "https://a@localhost/"}}, "channel.endpoint"),
        ({"channel": {"type": "rest-hook", "endpoint": "{url}", "payload": "application/fhir+json"}}, "channel.payload"),
        ({"channel": {"type": "rest-hook", "endpoint": "{url}", "header": ["Host: elsewhere"]}}, "channel.header[0]"),
        ({"channel": {"type": "rest-hook", "endpoint": "{url}", "header": ["X: a\r\nY: b"]}}, "channel.header[0]"),
        ({"criteria": "Observation?patient.name=lopez"}, "criteria"),
        ({"criteria": "Observation?nonsense=1"}, "criteria"),
        ({"criteria": "Patient?_has:Observation:patient:code=1"}, "criteria"),
        ({"end": "2020-01-01T00:00:00Z"}, "end"),
    ],
)
async def test_what_is_not_offered_is_refused_where_it_stands(
    program: Session, endpoint: Hook, outbound: Any, change: dict[str, Any], place: str
) -> None:
    if change.get("channel", {}).get("endpoint") == "{url}":
        change["channel"]["endpoint"] = endpoint.url
    async with client_of(program) as client:
        answer = await client.post("/Subscription", json=subscription(endpoint) | change)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["issue"][0]["expression"] == [f"Subscription.{place}"]


async def test_only_a_program_subscribes(vasseur: Session, endpoint: Hook, outbound: Any) -> None:
    async with client_of(vasseur) as client:
        answer = await client.post("/Subscription", json=subscription(endpoint))
    assert answer.status_code == 403


async def test_an_owner_that_the_database_makes_up_is_told_nothing(
    program: Session, tilleuls: Session, endpoint: Hook, outbound: Any
) -> None:
    """The sealed resource says whose it is; a row that says otherwise leads to nobody."""
    id = await active(program, subscription(endpoint))
    about = (await program.records.create(patient("Made up"))).stored.id
    await outbound.execute("update care.subscription set owner = $2 where id = $1", id, tilleuls.actor.person)
    await program.records.create(pulse(about))
    await program.records.subscriptions.look()
    assert await outbound.fetchval("select events from outbound.channel where id = $1", id) == 0
    await outbound.execute("update care.subscription set owner = $2 where id = $1", id, program.actor.person)
    await program.records.delete("Subscription", id)


# --- where a name may lead ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "fe80::1%eth0", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0",
     "224.0.0.1", "2002:7f00:1::", "fd00::1", "100.64.0.1"],
)  # fmt: skip
def test_a_name_that_leads_into_the_house_is_refused(address: str) -> None:
    assert not permitted(address, ())
    with pytest.raises(Refused):
        chosen([address], Host(host="hooks.example", port=443, networks=(), authority=""))


def test_the_operators_networks_are_the_only_exception() -> None:
    networks = (ipaddress.ip_network("10.20.0.0/16"),)
    assert permitted("10.20.3.4", networks)
    assert not permitted("10.21.3.4", networks)
    assert not permitted("8.8.8.8", networks)
    assert permitted("8.8.8.8", ())


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    with hook(tmp_path, names=("elsewhere.example",)) as wrong:
        host = Host(
            host="localhost", port=wrong.port, networks=(ipaddress.ip_network("127.0.0.1/32"),), authority=wrong.authority.read_text()
        )
        with pytest.raises(Refused, match="certificate"):
            await post(wrong.url, host, [])
        with pytest.raises(Refused, match="certificate"):
            await post(wrong.url, Host(host="localhost", port=wrong.port, networks=host.networks, authority=""), [])
    assert wrong.came == []
    with contextlib.suppress(ssl.SSLError), pytest.raises(Refused, match="no connection"):
        await post(wrong.url, host, [])
