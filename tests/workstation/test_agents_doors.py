"""Who may speak to the card agent: the trust's pages, and the same person's programs. Nobody else learns more than no."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from card_rig import SOFTHSM, AgentRefused, CardDrawer, RunningAgent, UnixConnection
from running_trust import free_port

TRUST = "https://record.example"
STRANGER = "https://evil.example"


@pytest.fixture
def agent(drawer: CardDrawer) -> Iterator[RunningAgent]:
    drawer.card("Claire Vasseur")
    with drawer.agent(TRUST, port=free_port()) as running:
        yield running


def ask(
    agent: RunningAgent, method: str, path: str, *, origin: str | None = TRUST, host: str = "", body: object = None, **more: str
) -> tuple[int, dict[str, str], dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=30)
    headers = {"Host": host or f"127.0.0.1:{agent.port}", **({"Origin": origin} if origin else {})}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    connection.request(method, f"/card/v1{path}", None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(raw) if raw else {}


def test_a_page_of_the_trust_sees_which_card_is_there(agent: RunningAgent) -> None:
    status, headers, body = ask(agent, "GET", "/state")
    assert (status, body["cards"], len(body["keys"])) == (200, 1, 1)  # type: ignore[arg-type]
    assert headers["access-control-allow-origin"] == TRUST


@pytest.mark.parametrize(
    "origin", [STRANGER, "http://record.example", "https://record.example:444", "https://record.example.evil.example", "null", None]
)
def test_a_page_from_elsewhere_hears_that_it_may_not_and_nothing_more(agent: RunningAgent, origin: str | None) -> None:
    for method, path, body in (("GET", "/state", None), ("POST", "/unlock", {}), ("POST", "/enrol", {}), ("GET", "/stays?key=x", None)):
        status, _, said = ask(agent, method, path, origin=origin, body=body)
        assert (status, said["error"]) == (403, "origin")
        assert set(said) == {"error", "text"}
    assert agent.questions() == ""


@pytest.mark.parametrize("host", ["evil.example", "evil.example:27443", "127.0.0.1", "localhost:1"])
def test_a_name_of_another_site_that_leads_here_is_refused(agent: RunningAgent, host: str) -> None:
    assert ask(agent, "GET", "/state", host=host)[0] == 403


def test_the_browser_is_told_that_a_public_page_may_ask_this_computer(agent: RunningAgent) -> None:
    """CORS preflight with Private Network Access."""
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Private_Network": "true"}
    status, headers, _ = ask(agent, "OPTIONS", "/unlock", **asked)
    assert status == 204
    assert headers["access-control-allow-private-network"] == "true"
    assert headers["access-control-allow-headers"] == "content-type"
    status, headers, _ = ask(agent, "OPTIONS", "/unlock", origin=STRANGER, **asked)
    assert status == 403
    assert "access-control-allow-private-network" not in headers


def test_a_form_of_another_site_is_not_json(agent: RunningAgent) -> None:
    assert ask(agent, "POST", "/enrol", body={}, Content_Type="text/plain")[2]["error"] == "request"


@pytest.mark.parametrize("body", [[], 1, "x", {"trust": 1}, {"trust": "t", "person": "p", "unlocker": "u"}, {"trust": "t" * 300}])
def test_nonsense_is_refused_and_the_agent_goes_on(agent: RunningAgent, body: object) -> None:
    assert ask(agent, "POST", "/unlock", body=body)[2]["error"] == "request"
    assert ask(agent, "GET", "/state")[0] == 200


def test_a_body_without_end_is_not_read(agent: RunningAgent) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10)
    headers = {"Host": f"127.0.0.1:{agent.port}", "Origin": TRUST, "Content-Type": "application/json", "Content-Length": "999999999"}
    connection.request("POST", "/card/v1/enrol", None, headers)
    assert connection.getresponse().status == 400


def test_a_browser_page_cannot_come_in_by_the_programs_door(agent: RunningAgent) -> None:
    """A page that reaches a UNIX socket through some proxy still sends its origin."""
    connection = UnixConnection(agent.path)
    connection.request("GET", "/card/v1/state", None, {"Origin": TRUST})
    assert connection.getresponse().status == 403


def test_the_socket_is_its_owners_alone(agent: RunningAgent) -> None:
    assert agent.path.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_of_the_same_computer_is_refused(agent: RunningAgent) -> None:
    script = (
        "import http.client,sys; c=http.client.HTTPConnection('127.0.0.1',int(sys.argv[1]),timeout=10);"
        "c.request('GET','/card/v1/state',None,{'Origin':sys.argv[2]}); print(c.getresponse().read().decode())"
    )
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", script, str(agent.port), TRUST],
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["error"] == "other-user", done.stderr


def test_two_questions_at_once_are_one_too_many(agent: RunningAgent, drawer: CardDrawer) -> None:
    go = drawer.folder / "go"
    (drawer.folder / "pin-program").write_text(
        f"#!/bin/sh\ntouch {drawer.folder}/shown\nwhile [ ! -e {go} ]; do sleep 0.02; done\ncat {agent.typed}\n"
    )
    first = threading.Thread(target=agent.enrol, args=("trust-1", "p-claire", "u-card"))
    first.start()
    while not (drawer.folder / "shown").exists():
        time.sleep(0.02)
    with pytest.raises(AgentRefused) as refused:
        agent.enrol("trust-1", "p-claire", "u-other")
    go.touch()
    first.join()
    assert refused.value.reason == "busy"


def test_an_agent_that_knows_no_trust_does_not_start(drawer: CardDrawer) -> None:
    for origin in ([], ["--origin=record.example"], ["--origin=https://record.example/path"], ["--origin=http://record.example"]):
        done = subprocess.run(
            [sys.executable, "-m", "cloister.workstation", "--module", SOFTHSM, *origin],
            env={**drawer.environment, "HOME": str(drawer.folder)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert "hint:" in done.stderr


def test_a_machine_without_a_module_is_told_which_to_name(drawer: CardDrawer) -> None:
    command = [sys.executable, "-m", "cloister.workstation", "list", "--module", "/nonexistent.so"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, "--module" in done.stderr) == (1, True)


def test_the_cards_in_the_readers_are_listed(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur")
    command = [sys.executable, "-m", "cloister.workstation", "list", "--module", SOFTHSM]
    done = subprocess.run(command, env=drawer.environment, capture_output=True, text=True)
    assert "Claire Vasseur" in done.stdout
    assert "P-256" in done.stdout
