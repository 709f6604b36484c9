"""A trust on three machines: a controller with the database (c1), a server (s2), a second controller (c2). What dies is named, and
its people are back in under three seconds; what was written stays; nobody has two sessions for longer than it takes to notice.

Certificates of these machines live two minutes, so that they are renewed all the time while this runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import namespaces
import pytest
from card_authority import Authority, pem
from card_client import NAME as CARDS
from card_client import at_the_cards
from crowd import crowded
from journeys_cast import observation, patient
from machines_rig import PORT, Estate, Member, estate
from running_trust import RunningTrust, SignedIn, bound_to

from cloister.cli.key_bound import KeyBound
from cloister.farm import machines
from cloister.machines import certificates

WITHOUT = namespaces.why_not()
pytestmark = [pytest.mark.alone, pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT or "-"), pytest.mark.timeout(900)]

BACK_SECONDS_MAX: Final = 3.0


@pytest.fixture(scope="module")
def farm() -> Iterator[Estate]:
    with estate("mach", CLOISTER_MACHINE_CERTIFICATE_MINUTES="2", CLOISTER_CARD_HOST=CARDS) as running:
        running.members_join(s2="server", c2="controller")
        yield running


def up_again(farm: Estate, name: str) -> Member:
    """The machine with a line to each controller that runs, started again if a test has killed it."""
    member = farm.members[name]
    if member.process is None:
        before = len(member.shown())
        member.start()
        member.wait_for("ready: ", after=before)
    until(lambda: farm.lines(name) == farm.controllers, 30)
    return member


@pytest.fixture
def s2(farm: Estate) -> Member:
    return up_again(farm, "s2")


@pytest.fixture
def c2(farm: Estate) -> Member:
    return up_again(farm, "c2")


def where_is(farm: Estate, sign_in: str) -> str:
    return next((server for _, who, server, _, _ in farm.sessions() if who == sign_in), "")


def somebody(farm: Estate) -> dict[str, Any]:
    """A clinician without a session."""
    taken = {who for _, who, _, _, _ in farm.sessions()}
    return next(dict(one) for one in farm.trust.sign_ins["people"] if one["role"] in ("doctor", "nurse") and one["sign_in"] not in taken)


_guests: dict[str, tuple[dict[str, Any], SignedIn]] = {}


def on(farm: Estate, server: str) -> tuple[dict[str, Any], SignedIn]:
    """Somebody whose session is on this server, and answers: from an earlier test, or signed in now."""
    if server in _guests:
        person, signed = _guests[server]
        if any(one[0] == signed.session and one[2] == server for one in farm.sessions()) and opens(signed):
            return person, signed
    _guests[server] = new_on(farm, server)
    return _guests[server]


def new_on(farm: Estate, server: str, through: RunningTrust | None = None) -> tuple[dict[str, Any], SignedIn]:
    """Somebody who has just signed in."""
    person = somebody(farm)

    def start() -> SignedIn:
        signed = (through or farm.trust).sign_in(person)
        if where_is(farm, person["sign_in"]) != server:  # a broker looks twice a second
            signed.client.post("/session/end")
            raise httpx.ConnectError("elsewhere")
        return signed

    return person, steered(farm, server, start)


def steered(farm: Estate, server: str, start: Callable[[], Any]) -> Any:
    """Something started on this server, as soon as it can start sessions: after a kill its zygote warms up for some seconds."""
    deadline = time.monotonic() + 40 * crowded()
    farm.only(server)
    try:
        while True:
            try:
                return start()
            except httpx.HTTPError:
                assert time.monotonic() < deadline, f"nothing starts on {server}"
                time.sleep(0.2)
                farm.only(server)  # an agent that is new says that it is ready
    finally:
        farm.only("")


def back(trust: RunningTrust, person: Mapping[str, Any]) -> tuple[SignedIn, float]:
    """Signed in again, as somebody does who tries until it works; and how long that took."""
    began = time.monotonic()
    while True:
        try:
            signed = trust.sign_in(person)
            signed.client.get("/").raise_for_status()
            return signed, time.monotonic() - began
        except httpx.HTTPError:
            if time.monotonic() - began > 30:
                raise
            time.sleep(0.1)


def until(what: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds * crowded()
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def opens(signed: SignedIn) -> bool:
    return signed.client.get("/").status_code == 200


@dataclass
class Reader:
    """Somebody on c1, which no test harms, who reads the whole time over one connection; `refused` is what was not answered well."""

    signed: SignedIn
    stop: threading.Event = field(default_factory=threading.Event)
    refused: list[str] = field(default_factory=list)
    pages: int = 0

    def run(self) -> None:
        while not self.stop.wait(0.4):
            try:
                answer = self.signed.client.get("/session/state")
                if answer.status_code != 200:
                    self.refused.append(str(answer.status_code))
            except httpx.HTTPError as lost:
                self.refused.append(type(lost).__name__)
            self.pages += 1


@pytest.fixture(scope="module", autouse=True)
def reader(farm: Estate) -> Iterator[Reader]:
    found = Reader(new_on(farm, "c1")[1])
    thread = threading.Thread(target=found.run)
    thread.start()
    yield found
    found.stop.set()
    thread.join(20)


# --- joining ------------------------------------------------------------------------------------------------


def test_a_card_is_shown_at_any_gateway_and_leads_to_a_session_on_another_machine(
    farm: Estate, s2: Member, c2: Member, tmp_path: Path
) -> None:
    """Which card it was is the gateway's word: to whichever door answers, and to the session on its server at each request."""
    health, person = Authority("Health cards", now=datetime.now(UTC)), somebody(farm)
    card = health.files(health.card(person["name"]), tmp_path)
    other = health.files(health.card("Somebody else"), tmp_path)
    (tmp_path / "health.pem").write_text(pem(health.certificate))
    (tmp_path / "health.crl").write_text(health.list())
    farm.cli("certificate", "authority", "health", "--chain", str(tmp_path / "health.pem"), "--crl", str(tmp_path / "health.crl"))
    farm.cli("certificate", "register", person["sign_in"], str(card[0]))

    def start() -> str:
        asked = browser.get("/login/certificate")
        assert asked.status_code == 303, asked.text
        word = asked.headers["location"].partition("=")[2]
        bound_to(browser, word)
        place = browser.post("/login/continued", json={"proved": word}).raise_for_status()
        browser.headers["cookie"] = place.headers["set-cookie"].split(";")[0]
        return str(place.json()["session"])

    claims = {"x-forwarded-client-cert": f'Hash={"a" * 64};Cert="{quote(card[0].read_text())}"', "x-cloister-card": "a" * 64}
    for gateway in (farm.trust_address, c2.machine.address):
        with at_the_cards(farm.trust, card, address=gateway, port=PORT) as browser:
            session = steered(farm, "s2", start)
            assert where_is(farm, person["sign_in"]) == "s2"
            state = browser.get("/session/state").json()
            assert (state["session"], state["state"]) == (session, "locked")
            assert isinstance(browser.auth, KeyBound)
            cookie = {"cookie": browser.headers["cookie"]}
            with at_the_cards(farm.trust, other, key=browser.auth, address=gateway, port=PORT) as thief:
                assert thief.get("/session/state", headers=cookie).json()["reason"] == "card-binding"
                assert thief.get("/login/certificate", headers=claims).status_code == 403
            with at_the_cards(farm.trust, None, address=gateway, port=PORT) as nobody:
                assert nobody.get("/login/certificate").status_code == 403
            browser.post("/session/end")
            until(lambda: not where_is(farm, person["sign_in"]), 30)


def test_sessions_are_placed_on_every_machine_and_pages_come_from_each(farm: Estate, s2: Member, c2: Member) -> None:
    for server in ("s2", "c2"):
        _, signed = on(farm, server)
        assert opens(signed), server
    listed = farm.cli("server", "machines").stdout
    assert listed.count("2 lines") == 3, listed


def test_who_may_not_join_is_told_why(farm: Estate) -> None:
    """A token that was used, an estate that is another's, and an address where nobody is."""
    asker = farm.prepared("s4")
    forged = machines.new_token(certificates.new_authority("Somebody else")[1]).text()
    asked = [(farm.trust_address, farm.tokens["s2"]), (farm.trust_address, forged), (farm.network.own, forged)]

    def join(one: tuple[str, str]) -> str:
        refused = farm.cli("server", "join", one[0], "--token", one[1], member=asker, check=False)
        assert refused.returncode != 0
        return refused.stderr

    with ThreadPoolExecutor() as side_by_side:
        used, other, nobody = side_by_side.map(join, asked)
    assert "used by 's2' already" in used
    assert "cloister server token" in used
    assert "is not of the estate that made this token" in other
    assert "No controller answers" in nobody
    assert not (asker.state / "machine" / "about.json").exists()


def test_a_server_holds_no_secret_of_the_estate(farm: Estate) -> None:
    has = {name: {path.name for path in (farm.members[name].state / "secrets").iterdir()} for name in ("s2", "c2")}
    assert has["s2"] == {"agent.token", "controller.token", "database-cloister_gate"}
    assert {"ticket.key", "door.key", "estate-ca.key"} <= has["c2"]
    assert not {"audit.key", "audit-ml-dsa.key", "database-cloister_owner"} & has["c2"]


def test_nothing_answers_between_machines_without_a_certificate(farm: Estate, s2: Member) -> None:
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    for machine, name in ((s2.machine, "s2.server.cloister.internal"), (farm.network.machines["c1"], "database.cloister.internal")):
        with pytest.raises((httpx.HTTPError, OSError)):
            with httpx.Client(verify=nobody, timeout=5) as client:
                client.get(f"https://{machine.address}:8444/", extensions={"sni_hostname": name}).raise_for_status()


def test_a_servers_certificate_opens_no_door(farm: Estate, s2: Member) -> None:
    """It fetches the keys that verify tickets; it cannot sign somebody in, from an address that it makes up."""
    tls = ssl.create_default_context(cafile=str(s2.state / "machine" / "authority.pem"))
    tls.load_cert_chain(s2.state / "machine" / "chain.pem", s2.state / "machine" / "key.pem")
    door = {"extensions": {"sni_hostname": "c1.controller.cloister.internal"}, "headers": {"x-cloister-address": "10.0.0.1"}}
    with httpx.Client(verify=tls, timeout=20, base_url=f"https://{farm.trust_address}:8444") as client:
        assert client.get("/login/keys", **door).status_code == 200
        assert client.get("/login", **door).status_code == 403
        assert client.post("/login/start", json={"sign_in": "claire.vasseur"}, **door).status_code == 403


def test_a_header_leads_to_no_server(farm: Estate, s2: Member) -> None:
    _, signed = on(farm, "s2")
    place = f"{s2.machine.address}:8444"
    headers = {"x-cloister-sid": signed.session, "x-cloister-host": place, "x-envoy-original-dst-host": place}
    with farm.trust.client() as client:
        assert client.get("/", headers=headers).status_code in (401, 421, 404)


# --- what dies ----------------------------------------------------------------------------------------------


def test_a_session_that_is_killed_is_named_and_its_person_back(farm: Estate, s2: Member) -> None:
    person, signed = on(farm, "s2")
    slot = next(slot for _, who, _, slot, _ in farm.sessions() if who == person["sign_in"])
    pid = next(pid for pid in s2.processes() if command_name(pid) == f"session-{slot}")
    os.kill(pid, signal.SIGKILL)
    again, seconds = back(farm.trust, person)
    assert seconds < BACK_SECONDS_MAX * crowded()
    assert again.session != signed.session
    assert farm.sql("select state, why from estate.session where id = $1", signed.session)[0]["why"] == "died"


def command_name(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as file:
        return file.read().strip()
    return ""


def test_an_agent_that_is_killed_loses_no_session(farm: Estate, s2: Member) -> None:
    person, signed = on(farm, "s2")
    os.kill(s2.pid_of("agent"), signal.SIGKILL)
    assert opens(signed)
    again, seconds = back(farm.trust, person)
    assert seconds < BACK_SECONDS_MAX * crowded()
    assert again.session == signed.session
    _guests["s2"] = person, again


def test_while_a_zygote_is_away_people_are_placed_elsewhere(farm: Estate, s2: Member) -> None:
    person, signed = on(farm, "s2")
    signed.client.post("/session/end")
    os.kill(s2.pid_of("zygote"), signal.SIGKILL)
    _, seconds = back(farm.trust, person)
    assert seconds < BACK_SECONDS_MAX * crowded()
    until(lambda: farm.lines("s2") == farm.controllers, 30)


def test_an_ingress_that_is_killed_is_back_with_its_sessions(farm: Estate, s2: Member) -> None:
    _, signed = on(farm, "s2")
    os.kill(s2.pid_of("ingress"), signal.SIGKILL)
    began = time.monotonic()
    until(lambda: opens(signed), 10)
    assert time.monotonic() - began < BACK_SECONDS_MAX * crowded()


def test_a_controller_that_is_killed_leaves_sign_ins_to_the_other_and_sessions_untouched(farm: Estate, c2: Member) -> None:
    person, signed = on(farm, "s2")
    there = farm.at(c2.machine.address)
    before = len(c2.shown())
    os.kill(c2.pid_of("controller"), signal.SIGKILL)
    assert elsewhere(there, signed).get("/").status_code == 200  # through c2's edge, whose own door is away
    again, seconds = back(there, person)
    assert seconds < BACK_SECONDS_MAX * crowded()
    assert again.session == signed.session
    _guests["s2"] = person, again
    c2.wait_for("part 'controller' runs again", after=before)


def elsewhere(trust: RunningTrust, signed: SignedIn) -> httpx.Client:
    """The same browser at another gateway: its key and ticket are its own, and of the trust."""
    return trust.client(auth=signed.client.auth, headers={"cookie": signed.client.headers["cookie"]})


def test_a_machine_that_is_slow_is_not_lost(farm: Estate, s2: Member) -> None:
    person, signed = on(farm, "s2")
    s2.machine.slow()
    try:
        for _ in range(3):
            assert opens(signed)
        assert where_is(farm, person["sign_in"]) == "s2"
        until(lambda: farm.lines("s2") == farm.controllers, 20)
    finally:
        s2.machine.heal()


def test_a_server_that_is_cut_off_keeps_nobody_twice(farm: Estate, s2: Member) -> None:
    """And locks what it has, when it can ask nobody whether its people are elsewhere by now."""
    gone, left = new_on(farm, "s2")
    stays, stayed = on(farm, "s2")
    s2.machine.cut()
    try:
        again, seconds = back(farm.trust, gone)
        assert seconds < 2 * BACK_SECONDS_MAX * crowded()  # silence has to be noticed first
        assert where_is(farm, gone["sign_in"]) != "s2"
        until(lambda: '"agent.fenced"' in (s2.state / "logs" / "agent.log").read_text(), 30)
    finally:
        s2.machine.heal()
    # What was placed elsewhere ends on s2; who was not looked for meanwhile has the same session there, and unlocks it.
    until(lambda: left.session not in held_by(s2), 30)
    until(lambda: where_is(farm, stays["sign_in"]) == "s2", 30)
    unlocked, _ = back(farm.trust, stays)
    assert unlocked.session == stayed.session
    assert opens(again)
    live = [who for _, who, _, _, _ in farm.sessions()]
    assert live.count(gone["sign_in"]) == live.count(stays["sign_in"]) == 1


def held_by(member: Member) -> str:
    """What the agent of this machine says that it has."""
    return "\n".join(path.read_text() for path in (member.runtime / "sessions").glob("*.json"))


# --- several gateways ---------------------------------------------------------------------------------------


def test_people_go_through_either_gateway_and_one_serves_on_when_the_other_dies(farm: Estate, s2: Member, c2: Member) -> None:
    there = farm.at(c2.machine.address)
    _, came_here = on(farm, "s2")
    _, came_there = new_on(farm, "s2", there)
    assert elsewhere(there, came_here).get("/").status_code == 200
    assert elsewhere(farm.trust, came_there).get("/").status_code == 200
    before = len(c2.shown())
    os.kill(c2.pid_of("envoy"), signal.SIGKILL)
    assert opens(came_here)
    assert elsewhere(farm.trust, came_there).get("/").status_code == 200
    c2.wait_for("part 'envoy' runs again", after=before)
    until(lambda: answers(came_there), 10)


def test_a_programs_screen_of_another_server_is_reached_through_the_gateway(farm: Estate, s2: Member) -> None:
    """The WebSocket comes to the session itself, which refuses one that no page of it has asked for (RFC 6455, RFC 9449)."""
    _, signed = on(farm, "s2")
    place = farm.trust.base.removeprefix("https://")
    lines = [
        "GET /programs/none/screen HTTP/1.1", f"host: {place}", "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol: nobody", f"origin: {farm.trust.base}",
        f"cookie: {signed.client.headers['cookie']}",
    ]  # fmt: skip
    tls, before = ssl.create_default_context(cafile=str(farm.trust.ca)), asked_of_sessions(s2)
    with socket.create_connection((farm.trust_address, PORT), timeout=20) as plain:
        with tls.wrap_socket(plain, server_hostname=farm.trust_address) as asking:
            asking.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
            assert asking.recv(4096).startswith(b"HTTP/1.1 403")
    assert asked_of_sessions(s2) == before + 1


def asked_of_sessions(member: Member) -> int:
    """How many requests came to sessions of this machine, as its ingress counts."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(member.runtime / "ingress" / "admin.sock"))) as admin:
        counted = admin.get("http://admin/stats", params={"filter": "^cluster.sessions.upstream_rq_total$"}).text
    return int(counted.rpartition(":")[2] or 0)


def answers(signed: SignedIn) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return opens(signed)
    return False


def test_everybody_who_came_in_by_one_gateway_is_ended_in_a_second_with_open_streams(farm: Estate, s2: Member, c2: Member) -> None:
    _, stays = new_on(farm, "s2")
    _, leaves = new_on(farm, "s2", farm.at(c2.machine.address))
    closed: list[float] = []

    def watch() -> None:
        """An open event stream; it says at once that nothing typed is left, as a page does."""
        hand = elsewhere(farm.trust, leaves)
        with contextlib.suppress(httpx.TransportError), leaves.client.stream("GET", "/session/live") as live:
            for line in live.iter_lines():
                begun.set()
                if line == "event: save":
                    hand.post("/session/saved")
        closed.append(time.monotonic())

    begun = threading.Event()
    watching = threading.Thread(target=watch)
    watching.start()
    assert begun.wait(20)
    began = time.monotonic()
    done = farm.operate("end", gateway="c2", why="test")
    watching.join(30)
    assert done["sessions"] >= 1
    assert closed[0] - began < crowded(), closed[0] - began
    assert not answers(leaves)
    assert opens(stays)
    (shown,) = farm.operate("sessions", search=stays.session)
    assert shown["gateways"] == "c1"
    assert "of 0 sessions" in farm.cli("session", "end", "--gateway", "c9").stdout


# --- certificates -------------------------------------------------------------------------------------------


def test_certificates_are_renewed_by_themselves_while_in_use(farm: Estate, reader: Reader, s2: Member) -> None:
    """Of machines whose sessions and lines go on meanwhile; that older ones are refused: tests/machines/test_joining.py."""
    until(lambda: all(renewed(farm, name) >= 2 for name in ("c1", "s2")), 60)
    pages = reader.pages
    until(lambda: reader.pages > pages + 1, 10)
    assert not reader.refused
    _, signed = on(farm, "s2")
    assert opens(signed)
    assert farm.lines("s2") == farm.controllers


def renewed(farm: Estate, machine: str) -> int:
    return int(farm.sql("select count(*) from estate.machine_certificate where machine = $1", machine)[0][0]) - 1


# --- a whole machine dies, and one is taken out ------------------------------------------------------------------


@dataclass
class Ledger:
    """What a program was told is written: read back at the end."""

    about: str
    kept: dict[str, float] = field(default_factory=dict)

    def write(self, client: httpx.Client) -> None:
        """Until it is refused."""
        with contextlib.suppress(httpx.HTTPError):
            while True:
                value = float(len(self.kept))
                made = client.post("Observation", json=observation(self.about, value=value)).raise_for_status()
                self.kept[made.json()["id"]] = value


def test_a_server_that_is_killed_loses_no_write_and_its_people_are_elsewhere(farm: Estate, s2: Member, c2: Member) -> None:
    """A gateway, a controller and a server in one; the other gateway serves on."""
    person, signed = on(farm, "c2")
    stays, stayed = on(farm, "s2")
    program = steered(farm, "c2", lambda: placed(farm, "c2", "ledger"))
    made = program.post("Patient", json=patient()).raise_for_status()
    ledger = Ledger(f"Patient/{made.json()['id']}")
    writing = threading.Thread(target=ledger.write, args=(program,))
    writing.start()
    until(lambda: len(ledger.kept) >= 20, 30)
    c2.kill()
    again, seconds = back(farm.trust, person)
    assert seconds < BACK_SECONDS_MAX * crowded()
    assert again.session != signed.session
    assert where_is(farm, person["sign_in"]) in ("c1", "s2")
    assert opens(stayed)
    assert where_is(farm, stays["sign_in"]) == "s2"
    writing.join(60)
    assert not writing.is_alive()
    named = farm.cli("server", "lost").stdout
    assert any(signed.session in line and "server-lost" in line and "c2" in line for line in named.splitlines()), named
    program = farm.trust.program(label="ledger")
    for id, value in ledger.kept.items():
        assert program.get(f"Observation/{id}").json()["valueQuantity"]["value"] == value
    old = signed.client.get("/", headers={"accept": "text/html"})
    assert old.status_code == 303
    assert old.headers["location"].startswith("/login")


def placed(farm: Estate, server: str, label: str) -> httpx.Client:
    client = farm.trust.program(label=label)
    if not farm.sql("select from estate.session where label = $1 and server = $2 and state <> 'ended'", label, server):
        client.post(f"{farm.trust.base}/session/end")
        raise httpx.ConnectError("elsewhere")
    return client


def test_a_removed_server_is_out_within_seconds(farm: Estate, s2: Member) -> None:
    person, _ = on(farm, "s2")
    farm.cli("server", "remove", "s2")
    until(lambda: where_is(farm, person["sign_in"]) != "s2", 30)
    back(farm.trust, person)
    assert where_is(farm, person["sign_in"]) in ("c1", "c2")
    assert "removed" in next(line for line in farm.cli("server", "machines").stdout.splitlines() if line.startswith("s2 "))
    assert farm.cli("server", "renew", member=s2, check=False).returncode != 0
