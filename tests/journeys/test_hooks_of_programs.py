"""A program subscribes, and is told over TLS by a running trust: endpoints that fail, parts that die, letters that are given up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hook_endpoint import Hook, hook
from journeys_cast import Administrator, observation, patient, word
from running_trust import RunningTrust


def cloister(trust: RunningTrust, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "cloister.cli", *arguments]
    done = subprocess.run(command, env=trust.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def endpoint(trust: RunningTrust, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hook]:
    with hook(tmp_path_factory.mktemp("hook")) as made:
        yield made


def wanted(endpoint: Hook, criteria: str) -> dict[str, Any]:
    channel = {"type": "rest-hook", "endpoint": endpoint.url, "header": ["Authorization: Bearer of-the-lab"]}
    return {"resourceType": "Subscription", "status": "requested", "reason": "results", "criteria": criteria, "channel": channel}


def test_a_program_is_told_whatever_dies_in_between(trust: RunningTrust, endpoint: Hook, administrator: Administrator) -> None:
    """One walk: refused, allowed, told, endpoint away, delivery killed, endpoint back, told again and marked, off."""
    client = trust.program(0, label="subscriber")
    about = client.post("Patient", json=patient(word())).json()["id"]
    body = wanted(endpoint, f"Observation?patient={about}")
    refused = client.post("Subscription", json=body)
    assert refused.status_code == 422
    assert f"cloister outbound allow localhost:{endpoint.port}" in refused.text

    cloister(trust, "outbound", "allow", f"localhost:{endpoint.port}", "--network", "127.0.0.1/32", "--ca", str(endpoint.authority))
    assert f"localhost:{endpoint.port}" in cloister(trust, "outbound", "hosts")
    id = client.post("Subscription", json=body).json()["id"]
    until(lambda: client.get(f"Subscription/{id}").json()["status"] == "active")

    assert client.post("Observation", json=observation(f"Patient/{about}")).status_code == 201
    endpoint.wait(1)
    assert endpoint.came[0][1]["authorization"] == "Bearer of-the-lab"
    assert endpoint.came[0][2] == b""

    endpoint.stop()
    assert client.post("Observation", json=observation(f"Patient/{about}")).status_code == 201
    until(lambda: client.get(f"Subscription/{id}").json()["status"] == "error")
    assert "no connection" in client.get(f"Subscription/{id}").json()["error"]
    os.kill(trust.pid_of("outbound"), signal.SIGKILL)
    endpoint.start()
    cloister(trust, "outbound", "again")
    came = endpoint.wait(2)
    assert came[1][1]["cloister-events"] == "2-2"
    until(lambda: client.get(f"Subscription/{id}").json()["status"] == "active")
    entry = client.get(f"Subscription/{id}/$status").json()["entry"][0]["resource"]["parameter"]
    assert {one["name"]: one.get("valueString", one.get("valueCode")) for one in entry}["events-told"] == "2"
    assert id in cloister(trust, "outbound", "list")

    cloister(trust, "outbound", "forbid", f"localhost:{endpoint.port}")
    client.post("Observation", json=observation(f"Patient/{about}"))
    until(lambda: "does not allow" in cloister(trust, "outbound", "list"))
    cloister(trust, "outbound", "drop", id)
    off = client.get(f"Subscription/{id}").json() | {"status": "off"}
    assert client.put(f"Subscription/{id}", json=off).status_code == 200
    until(lambda: administrator.one("select state from outbound.channel where id = $1::uuid", id) == "off")
    assert len(endpoint.came) == 2
    assert {entry["action"] for entry in administrator.entries()} >= {"allow-host", "forbid-host", "notify", "subscribe"}


def test_neither_the_address_nor_its_secret_lies_in_the_database(trust: RunningTrust, endpoint: Hook, administrator: Administrator) -> None:
    rows = administrator.rows("select sealed from outbound.channel")
    assert rows
    assert not any(b"of-the-lab" in row["sealed"] or b"hook" in row["sealed"] for row in rows)
