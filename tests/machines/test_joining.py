"""Joining by a one-time token, renewal and revocation, against a real PostgreSQL; and lines between two ends, over real TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from postgres import Cluster, cluster

from cloister.base.clock import iso, system_clock
from cloister.base.errors import CloisterError, Conflict, Corrupt, Denied, Invalid, Unavailable
from cloister.base.migrations import migrate
from cloister.base.secret import Secret
from cloister.farm import enrolment, machine_store, machines, migrations
from cloister.farm.machines import Kept, Kind
from cloister.machines import Credentials, Link, between, certificates

NOW = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
KEY, CA = certificates.new_authority("Test estate")


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest_asyncio.fixture
async def store(database: Cluster) -> AsyncIterator[machine_store.MachineStore]:
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute("drop schema if exists estate cascade; drop table if exists public.migration")
    await migrate(connection, migrations())
    pool = await asyncpg.create_pool(min_size=4, max_size=4, **database.arguments())
    yield machine_store.MachineStore(pool)
    await pool.close()
    await connection.close()


def enrolling(store: machine_store.MachineStore) -> enrolment.Enrolment:
    authority = enrolment.Authority(key=Secret(KEY), certificate=CA)
    return enrolment.Enrolment(store, authority, clock=system_clock, told=lambda kind: {"for": str(kind)})


async def token_of(store: machine_store.MachineStore, kind: Kind = Kind.SERVER) -> machines.JoinToken:
    made = machines.new_token(CA)
    await store.add_token(made.id, made.hash, kind, system_clock() + timedelta(minutes=15))
    return made


def said(token: machines.JoinToken, name: str, key: bytes, **more: Any) -> dict[str, Any]:
    request = certificates.request(key).decode()
    words = {"token": token.id, "hash": token.hash.hex(), "name": name, "address": "10.0.0.2", "port": 8444, "request": request}
    return {**words, "now": iso(system_clock()), **more}


def test_a_token_carries_whom_to_believe_and_shows_its_secret_to_nobody() -> None:
    made = machines.new_token(CA)
    again = machines.read_token(f" {made.text()}\n")
    assert (again.id, again.hash, again.authority) == (made.id, made.hash, certificates.fingerprint(CA))
    assert again.password("cloister_gate") == made.password("cloister_gate") != made.password("cloister_estate")
    assert made.text().split(".")[2] not in repr(made)
    for broken in ("", "join1.x", made.text()[:-1], made.text().replace("join1", "join2"), made.text().upper()):
        with pytest.raises(Invalid):
            machines.read_token(broken)


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        (None, "join-token"),
        ({"hash": bytes(32)}, "join-token"),
        ({"expires": NOW}, "join-token-expired"),
        ({"used": NOW, "used_by": "s9", "used_key": b"other"}, "join-token-used"),
    ],
)
def test_a_token_that_is_not_good_is_refused_by_name_with_the_next_step(kept: dict[str, Any] | None, reason: str) -> None:
    good = Kept(hash=b"h" * 32, kind=Kind.SERVER, expires=NOW + timedelta(minutes=1), used=None, used_by="", used_key=b"")
    assert machines.judged(good, b"h" * 32, b"key", now=NOW) is good
    with pytest.raises(Denied) as refused:
        machines.judged(replace(good, **kept) if kept is not None else None, b"h" * 32, b"key", now=NOW)
    assert refused.value.reason == reason
    assert "cloister server token" in (refused.value.hint or "")


@pytest.mark.parametrize(("off", "word"), [(timedelta(minutes=-9), "9 min behind"), (timedelta(hours=3), "3 h ahead of")])
def test_a_clock_that_is_wrong_is_told_how_far_and_in_which_direction(off: timedelta, word: str) -> None:
    with pytest.raises(Invalid) as refused:
        machines.check_clock(NOW + off, now=NOW)
    assert word in refused.value.text
    assert "timedatectl" in (refused.value.hint or "")


async def test_two_machines_with_one_token_only_one_joins(store: machine_store.MachineStore) -> None:
    estate, token = enrolling(store), await token_of(store)
    answers = await asyncio.gather(*(estate.join(said(token, f"s{n}", certificates.new_key())) for n in range(4)), return_exceptions=True)
    joined = [one for one in answers if isinstance(one, dict)]
    assert len(joined) == 1
    assert joined[0]["for"] == "server"
    assert all(isinstance(one, Denied | Conflict) for one in answers if not isinstance(one, dict))


async def test_the_same_machine_may_ask_again_when_the_answer_was_lost(store: machine_store.MachineStore) -> None:
    estate, token, key = enrolling(store), await token_of(store), certificates.new_key()
    first = certificates.facts((await estate.join(said(token, "s2", key)))["chain"])
    second = certificates.facts((await estate.join(said(token, "s2", key)))["chain"])
    assert first.serial != second.serial
    assert await store.revoked() == [first.serial]


async def test_a_name_that_a_machine_has_is_not_given_to_another(store: machine_store.MachineStore) -> None:
    estate = enrolling(store)
    await estate.join(said(await token_of(store), "s2", certificates.new_key()))
    with pytest.raises(Conflict) as taken:
        await estate.join(said(await token_of(store), "s2", certificates.new_key()))
    assert taken.value.reason == "machine-name"
    assert await store.remove("s2") is not None
    await estate.join(said(await token_of(store), "s2", certificates.new_key()))


async def test_after_a_renewal_two_certificates_stand_and_older_ones_are_refused(store: machine_store.MachineStore) -> None:
    estate, key = enrolling(store), certificates.new_key()
    chains = [(await estate.join(said(await token_of(store), "s2", key)))["chain"]]
    for _ in range(2):
        chains.append((await estate.renew(machines.shown(der(chains[-1])), {"request": certificates.request(key).decode()}))["chain"])
    with pytest.raises(Denied) as refused:
        await estate.stands(machines.shown(der(chains[0])))
    assert refused.value.reason == "certificate-revoked"
    await estate.stands(machines.shown(der(chains[1])))
    await estate.stands(machines.shown(der(chains[2])))
    with pytest.raises(Denied) as stranger:
        await estate.renew(machines.shown(der(chains[2])), {"request": certificates.request(certificates.new_key()).decode()})
    assert stranger.value.reason == "machine-key"


async def test_a_removed_machine_stands_no_longer_and_its_certificates_are_in_the_list(store: machine_store.MachineStore) -> None:
    estate = enrolling(store)
    chain = (await estate.join(said(await token_of(store), "s2", certificates.new_key())))["chain"]
    await store.remove("s2")
    with pytest.raises(Denied) as refused:
        await estate.stands(machines.shown(der(chain)))
    assert refused.value.reason == "machine-removed"
    assert certificates.facts(chain).serial in await store.revoked()
    assert b"X509 CRL" in await estate.revocations()


def der(chain: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(chain.decode().split("-----END", 1)[0] + "-----END CERTIFICATE-----\n")


# --- lines --------------------------------------------------------------------------------------------------


def machine(folder: Path, name: str, kind: Kind = Kind.SERVER, *, ca: tuple[bytes, bytes] = (KEY, CA), **when: Any) -> Credentials:
    key = certificates.new_key()
    life = when.get("life", timedelta(hours=1))
    names = machines.names_of(name, kind)
    chain = certificates.signed(*ca, certificates.request(key), names, now=when.get("now", system_clock()), life=life)
    (folder / f"{name}.pem").write_bytes(chain)
    return Credentials(key=Secret(key), authority=ca[1], chain=folder / f"{name}.pem")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_each_end_knows_the_other_by_its_certificate_and_both_may_call(tmp_path: Path) -> None:
    port, seen = free_port(), asyncio.Queue[Link]()

    async def controller(link: Link, method: str, arguments: dict[str, Any]) -> Any:
        seen.put_nowait(link)
        return {"you": machines.shown(link.certificate).machine}

    async def server(link: Link, method: str, arguments: dict[str, Any]) -> Any:
        raise NotImplementedError  # a fault of ours: its text stays there

    listening = machine(tmp_path, "c1", Kind.CONTROLLER).listening(strangers=True)
    serving = await between.listen("127.0.0.1", port, listening, controller, part="server")
    link = await between.dial("127.0.0.1", port, machine(tmp_path, "s2").dialling(), part="controller", answer=server)
    assert await link.call("hello") == {"you": "s2"}
    assert machines.shown(link.certificate).kind is Kind.CONTROLLER
    with pytest.raises(Corrupt):
        await (await seen.get()).call("spawn")
    link.close()
    serving.close()


async def test_an_expired_certificate_and_one_of_another_authority_are_refused(tmp_path: Path) -> None:
    port = free_port()

    async def nothing(link: Link, method: str, arguments: dict[str, Any]) -> Any:
        return {}

    listening = machine(tmp_path, "c1", Kind.CONTROLLER).listening(strangers=True)
    serving = await between.listen("127.0.0.1", port, listening, nothing, part="server")
    past = {"now": system_clock() - timedelta(days=9), "life": timedelta(days=3)}
    other = certificates.new_authority("Somebody else")
    for one in (machine(tmp_path, "old", **past), machine(tmp_path, "foreign", ca=other)):
        tls = between.context(listening=False, authority=CA, key=one.key.reveal(), chain=one.chain.read_bytes())
        with pytest.raises((OSError, Unavailable)):
            await dialled_and_asked(port, tls)
    with pytest.raises(ssl.SSLError):  # and the other way round: a controller of another estate
        await between.dial("127.0.0.1", port, machine(tmp_path, "foreign", ca=other).dialling(), part="controller")
    serving.close()


async def dialled_and_asked(port: int, tls: ssl.SSLContext) -> None:
    link = await between.dial("127.0.0.1", port, tls, part="controller")
    await link.call("hello", timeout_seconds=3)


async def test_who_shows_no_certificate_may_ask_only_whose_estate_this_is(tmp_path: Path, store: machine_store.MachineStore) -> None:
    from cloister.farm.lines import Lines

    async def reported(server: str, method: str, arguments: dict[str, Any]) -> Any:
        raise AssertionError

    async def reachable(address: str, port: int) -> bool:
        return False

    lines = Lines(
        "c1", enrolment=enrolling(store), store=store, reported=reported, reachable=reachable, clock=system_clock, keeper=True,
        placed=lambda places: None,
    )  # fmt: skip
    port = free_port()
    listening = machine(tmp_path, "c1", Kind.CONTROLLER).listening(strangers=True)
    serving = await between.listen("127.0.0.1", port, listening, lines.answer, part="server", lost=lines.broken)
    link = await between.dial("127.0.0.1", port, between.stranger_context(), part="controller")
    assert bytes((await link.call("authority"))["authority"]) == CA
    for method in ("hello", "renew", "estate", "heartbeat", "session_state"):
        with pytest.raises(CloisterError) as refused:
            await link.call(method)
        assert refused.value.reason == "no-certificate"
    link.close()
    serving.close()


async def test_a_machine_that_falls_silent_is_taken_for_lost(tmp_path: Path) -> None:
    """As when its power fails: no farewell comes."""
    port, gone = free_port(), asyncio.Event()

    async def nothing(link: Link, method: str, arguments: dict[str, Any]) -> Any:
        return {}

    listening = machine(tmp_path, "c1", Kind.CONTROLLER).listening()
    serving = await between.listen("127.0.0.1", port, listening, nothing, part="server", lost=lambda link: gone.set())
    link = await between.dial("127.0.0.1", port, machine(tmp_path, "s2").dialling(), part="controller")
    await link.call("hello")
    link._watch = lambda: None  # type: ignore[method-assign]  # it knocks no more, and its socket stays open
    assert link._timer is not None
    link._timer.cancel()
    began = asyncio.get_running_loop().time()
    await asyncio.wait_for(gone.wait(), 10)
    assert asyncio.get_running_loop().time() - began < between.SILENCE_SECONDS_MAX + 3
    serving.close()


async def test_a_stranger_cannot_make_a_controller_hold_much(tmp_path: Path) -> None:
    port, gone = free_port(), asyncio.Event()

    async def nothing(link: Link, method: str, arguments: dict[str, Any]) -> Any:
        return {}

    listening = machine(tmp_path, "c1", Kind.CONTROLLER).listening(strangers=True)
    serving = await between.listen("127.0.0.1", port, listening, nothing, part="server", lost=lambda link: gone.set())
    link = await between.dial("127.0.0.1", port, between.stranger_context(), part="controller")
    link.transport.write((1_000_000).to_bytes(4, "big") + bytes(100_000))
    await asyncio.wait_for(gone.wait(), 5)
    serving.close()
