"""One of three servers killed while all of them write: how long until every session is back, and whether a committed write is lost.

Three machines as network namespaces (tests/machines_rig.py): the controller with the database, and two servers that joined. Programs
write real resources, each a moment after the last was answered, and keep a ledger of what was acknowledged; people read pages. Then every
process of one server gets kill -9. Whoever is refused signs in again. At the end every line of the ledger is read back.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.measure import Result, at_most, missing, percentile, told

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from machines_rig import Estate, estate  # noqa: E402
from namespaces import why_not  # noqa: E402

SERVERS: Final = 3
PEOPLE: Final = 9
LABELS: Final = 4  # sessions of each of the demo's programs
LOAD_SECONDS: Final = 8.0  # before and after the kill
BACK_SECONDS_GOAL: Final = 10.0
GIVEN_UP_SECONDS: Final = 60.0
WRITE_PAUSE_SECONDS: Final = 0.05  # between two writes of one session: load, and not a queue
CALL_SECONDS_MAX: Final = 10.0  # a client that hears nothing for so long asks again
PATIENT: Final = {"resourceType": "Patient", "name": [{"family": "Ledger"}], "birthDate": "1971-03-14", "gender": "female"}
HEART_RATE: Final = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}], "text": "Heart rate"}


@dataclass
class Client:
    """One signed-in person or program, and what became of them."""

    name: str
    start: Callable[[], httpx.Client]
    act: Callable[[httpx.Client, Client], httpx.Response]
    about: str = ""
    done: int = 0
    ledger: dict[str, float] = field(default_factory=dict)
    away: float = 0.0  # since when it is refused; 0 when it works
    longest: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)  # since the kill, by what was said

    def run(self, stop: threading.Event) -> None:
        client: httpx.Client | None = None
        while not stop.is_set():
            try:
                if client is None:
                    client = self.start()
                    client.timeout = httpx.Timeout(CALL_SECONDS_MAX)
                self.act(client, self).raise_for_status()
            except httpx.HTTPError as wrong:
                said = wrong.response if isinstance(wrong, httpx.HTTPStatusError) else None
                self.refused[_why(said) if said is not None else type(wrong).__name__] += 1
                client, self.away = None, self.away or time.monotonic()
                time.sleep(0.1)
                continue
            self.done += 1
            if self.away:
                self.longest, self.away = max(self.longest, time.monotonic() - self.away), 0.0


def _why(said: httpx.Response) -> str:
    """The status, the part of the address, and the reason as the answer gives it, without what it is about."""
    text = said.text[:200].replace("\n", " ") if said.is_closed or said.is_stream_consumed else ""
    return f"{said.status_code} {said.request.url.path.split('/')[1]} {text}"


def writes(client: httpx.Client, mine: Client) -> httpx.Response:
    if not mine.about:
        made = client.post("Patient", json=PATIENT)
        made.raise_for_status()
        mine.about = f"Patient/{made.json()['id']}"
    time.sleep(WRITE_PAUSE_SECONDS)
    value = float(mine.done)
    body = {
        "resourceType": "Observation", "status": "final", "code": HEART_RATE, "subject": {"reference": mine.about},
        "effectiveDateTime": "2026-11-29T08:00:00Z", "valueQuantity": {"value": value, "unit": "/min"},
        "identifier": [{"system": "urn:ledger", "value": str(uuid.uuid4())}],
    }  # fmt: skip
    answer = client.post("Observation", json=body)
    if answer.status_code == httpx.codes.CREATED:
        mine.ledger[answer.json()["id"]] = value
    return answer


def reads(client: httpx.Client, mine: Client) -> httpx.Response:
    time.sleep(0.25)
    return client.get("/")


async def run(only: list[str]) -> list[Result]:
    return await asyncio.to_thread(_measured)


def _measured() -> list[Result]:
    if why_not():
        return [missing("one of three servers killed under load", "s", why_not())]
    with estate("bnch", CLOISTER_SLOTS="64") as farm:
        farm.members_join(s2="server", s3="server")
        _wait(lambda: _free(farm) == SERVERS)
        clients = _clients(farm)
        stop = threading.Event()
        threads = [threading.Thread(target=one.run, args=(stop,), daemon=True) for one in clients]
        for thread in threads:
            thread.start()
        _wait(lambda: all(one.done for one in clients))
        if idle := [one.name for one in clients if not one.done]:
            return [missing("one of three servers killed under load", "s", f"never served: {', '.join(idle)}")]
        time.sleep(LOAD_SECONDS)
        before, acknowledged = [one for one in farm.sessions() if one[2] == "s3"], _acknowledged(clients)
        for one in clients:
            one.longest = 0.0
            one.refused.clear()
        farm.members["s3"].kill()
        killed = time.monotonic()
        _wait(lambda: _named(farm, before) == len(before))
        told_after = time.monotonic() - killed
        time.sleep(LOAD_SECONDS)
        _wait(lambda: all(not one.away for one in clients))
        settled = time.monotonic() - killed
        stop.set()
        for thread in threads:
            thread.join(30)
        named = _named(farm, before)
        lost, total = _lost(farm, clients)
    away = [one.longest for one in clients if one.longest]
    print(f"refused after the kill: {dict(sum((one.refused for one in clients), Counter()))}", file=sys.stderr)
    back = max(away, default=0.0) if all(not one.away for one in clients) else settled
    return [
        told("sessions on the killed server", len(before), "sessions"),
        at_most("until every session was back, the slowest", back, "s", BACK_SECONDS_GOAL),
        told("  people and programs who had to come back", len(away), "clients"),
        told("  median", percentile(away, 50) if away else 0.0, "s"),
        at_most("until all of the killed server's sessions were named as lost", told_after, "s", BACK_SECONDS_GOAL),
        at_most("sessions of the killed server that are not named as lost", len(before) - named, "sessions", 0),
        at_most("committed writes lost (of the client's ledger)", lost, "writes", 0),
        told("  acknowledged before the kill", acknowledged, "writes"),
        told("  acknowledged in all", total, "writes"),
    ]


def _clients(farm: Estate) -> list[Client]:
    trust, found = farm.trust, list[Client]()

    def person(one: dict[str, Any]) -> Callable[[], httpx.Client]:
        return lambda: trust.sign_in(one).client

    def program(number: int, label: str) -> Callable[[], httpx.Client]:
        return lambda: trust.program(number, label=label)

    holding = [number for number, one in enumerate(trust.sign_ins["programs"]) if one["zones"]]  # the others may not write a record
    for number in holding:
        found += [Client(f"program {number}/{label}", program(number, f"w{label}"), writes) for label in range(LABELS)]
    clinicians = [one for one in trust.sign_ins["people"] if one["role"] in ("doctor", "nurse")]
    return found + [Client(one["sign_in"], person(one), reads) for one in clinicians[:PEOPLE]]


def _free(farm: Estate) -> int:
    """Servers that can start a session now: a zygote warms up for some seconds."""
    return int(farm.sql("select count(*) from estate.server where state = 'ready' and free > 0")[0][0])


def _named(farm: Estate, before: list[tuple[str, str, str, int, str]]) -> int:
    named = "select count(*) from estate.session where id = any ($1) and state = 'ended' and why = 'server-lost'"
    return int(farm.sql(named, [one[0] for one in before])[0][0])


def _acknowledged(clients: list[Client]) -> int:
    return sum(len(one.ledger) for one in clients)


def _lost(farm: Estate, clients: list[Client]) -> tuple[int, int]:
    """Each line of each ledger, read back by its own program."""
    lost = 0
    for one in clients:
        if not one.ledger:
            continue
        client = one.start()
        for id, value in one.ledger.items():
            answer = client.get(f"Observation/{id}")
            lost += answer.status_code != httpx.codes.OK or answer.json()["valueQuantity"]["value"] != value
    return lost, _acknowledged(clients)


def _wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GIVEN_UP_SECONDS
    while not what() and time.monotonic() < deadline:
        time.sleep(0.05)
