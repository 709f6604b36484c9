"""A whole trust, started as people start it, and how people and programs sign in to it from a test."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from cloister.cli.key_bound import KeyBound
from cloister.zones import algorithms, unlockers

START_SECONDS_MAX: Final = 240
STOP_SECONDS_MAX: Final = 40
IMPORT_SECONDS_MAX: Final = 300


def bound_to(client: httpx.Client, flow: str) -> None:
    """The client's next proof is for this sign-in."""
    assert isinstance(client.auth, KeyBound)
    client.auth.nonce = flow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class SignedIn:
    """A person or program with an open session; `client` carries the ticket."""

    client: httpx.Client
    session: str
    ticket: str


@dataclass
class RunningTrust:
    """One `cloister up`."""

    state: Path
    runtime: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def sign_ins(self) -> dict[str, Any]:
        return dict(json.loads((self.state / "demo" / "sign-ins.json").read_text()))

    @property
    def base(self) -> str:
        return f"https://localhost:{self.environment['CLOISTER_PORT']}"

    @property
    def ca(self) -> Path:
        return self.state / "public" / "ca.pem"

    def person(self, *, role: str | None = None, sign_in: str | None = None, ward: str | None = None) -> dict[str, Any]:
        """The first person of the demo that fits."""
        for one in self.sign_ins["people"]:
            if role in (None, one["role"]) and sign_in in (None, one["sign_in"]) and (ward is None or ward in one["wards"]):
                return dict(one)
        raise LookupError((role, sign_in, ward))

    def client(self, **options: Any) -> httpx.Client:
        """Nobody yet; each client has a key of its own, as a browser has, and proves its requests with it."""
        tls = ssl.create_default_context(cafile=str(self.ca))
        return httpx.Client(**{"base_url": self.base, "verify": tls, "timeout": 60, "auth": KeyBound(), **options})

    def prove(self, client: httpx.Client, sign_in: str, passphrase: str) -> tuple[httpx.Response, bytes]:
        """The door's answer to a name and a passphrase, and the key that would unlock; as the browser does it."""
        started = client.post("/login/start", json={"sign_in": sign_in})
        started.raise_for_status()
        flow = started.json()
        kek, verifier = unlockers.passphrase_secrets(passphrase, flow["passphrase"])
        bound_to(client, flow["flow"])
        answer = client.post("/login/passphrase", json={"flow": flow["flow"], "verifier": base64.b64encode(verifier).decode()})
        return answer, kek.reveal()

    def sign_in(self, person: Mapping[str, Any]) -> SignedIn:
        """Signed in and unlocked: the next request is a page."""
        client = self.client()
        answer, kek = self.prove(client, person["sign_in"], person["passphrase"])
        answer.raise_for_status()
        place = answer.json()
        ticket = answer.headers["set-cookie"].split(";")[0].split("=", 1)[1]
        client.headers["cookie"] = f"__Host-ticket={ticket}"
        sealed = algorithms.kem_seal(base64.b64decode(place["public_key"]), kek, unlockers.session_unlock_info(place["session"]))
        body = {"unlocker": place["unlocker"]["id"], "sealed": base64.b64encode(sealed).decode()}
        client.post("/session/unlock", json=body).raise_for_status()
        return SignedIn(client, place["session"], ticket)

    def program(self, number: int = 0, *, label: str = "") -> httpx.Client:
        """A program of the demo with a token, at the FHIR endpoint."""
        one = self.sign_ins["programs"][number]
        client = self.client()
        form = {"grant_type": "client_credentials", **({"session_label": label} if label else {})}
        deadline = time.monotonic() + 30
        while (answer := client.post("/oauth2/token", data=form, auth=(one["client_id"], one["client_secret"]))).status_code == 429:
            assert time.monotonic() < deadline, answer.text
            time.sleep(1)  # a crowded machine starts so many sessions at once and no more; programs ask again
        answer.raise_for_status()
        client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
        client.base_url = httpx.URL(f"{self.base}/fhir/R4/")
        return client

    def end_session_of(self, sign_in: str) -> None:
        """Whoever signs in then begins where their role begins, not where an earlier test left them."""
        command = [sys.executable, "-m", "cloister.cli", "session", "end", "--person", sign_in]
        subprocess.run(command, capture_output=True, env=self.environment, check=True)

    def pid_of(self, part: str) -> int:
        """The process of a part: the supervisor's child that was started for it."""
        marks = {"postgres": b"bin/postgres\0-D", "envoy": b"envoy\0-c"}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line, command = (entry / "stat").read_bytes(), (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                parent = int(line[line.rindex(b")") + 2 :].split()[1])
                if parent == self.process.pid and marks.get(part, f"cloister.assemble\0{part}\0".encode()) in command:
                    return int(entry.name)
        raise LookupError(part)

    def shown(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = START_SECONDS_MAX, *, after: int = 0) -> None:
        """Until `up` has shown this (after its first `after` characters)."""
        deadline = time.monotonic() + seconds
        while text not in self.shown()[after:]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"'{text}' was not shown:\n{self.shown()}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Ctrl-C."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS_MAX)


def _heeds_ctrl_c() -> None:
    """Whoever runs the tests in the background has Ctrl-C ignored, and a child inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def begin(state: Path, runtime: Path, *, within: Sequence[str] = (), **settings: str) -> RunningTrust:
    """Start `cloister up` without waiting. `within`: a command in front, such as one that enters a network namespace."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOISTER_")}
    environment |= {"CLOISTER_STATE": str(state), "CLOISTER_RUNTIME": str(runtime), "CLOISTER_SLOTS": "64", "CLOISTER_DEMO_PATIENTS": "0"}
    environment |= {"CLOISTER_PORT": str(free_port()), **settings}
    output = runtime.with_name(runtime.name + ".out")
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as shown:
        process = subprocess.Popen(
            [*within, sys.executable, "-m", "cloister.cli", "up"],
            stdout=shown,
            stderr=shown,
            env=environment,
            start_new_session=True,
            preexec_fn=_heeds_ctrl_c,
        )
    return RunningTrust(state, runtime, environment, process, output)


def founded_once(state: Path) -> None:
    """The state of a founded trust without patients: all test files of one run copy the same, because a founding takes half of a start."""
    place = founded_folder()
    place.mkdir(mode=0o700, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            with folders() as (made, runtime):
                first = begin(made, runtime)
                try:
                    first.wait_for("ready: ")
                finally:
                    assert first.stop() == 0
                _copied(made, place / "trust")
                (place / "done").write_text(str(made))
    _copied(place / "trust", state)
    for told in (state / "demo").glob("*.json"):  # where the papers of its demo lie
        told.write_text(told.read_text().replace((place / "done").read_text(), str(state)))


def founded_folder() -> Path:
    """One of the whole run: its workers are children of the process that clears it away at the end (conftest.py)."""
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return Path(tempfile.gettempdir()) / f"cloister-founded-{run}"


def _copied(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)  # with their owners, which shutil leaves out


@contextmanager
def folders() -> Iterator[tuple[Path, Path]]:
    """A private state folder, as mktemp makes it, and a short runtime folder that every account can walk to."""
    state = Path(tempfile.mkdtemp(prefix="cloister-state-"))
    runtime = Path(tempfile.mkdtemp(prefix="cloister-run-", dir="/tmp"))
    runtime.chmod(0o755)
    try:
        yield state / "trust", runtime / "r"
    finally:
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(runtime, ignore_errors=True)


# What a founding does not depend on: with these alone a trust may begin as a copy of one that was founded and stopped.
LATER: Final = {
    "CLOISTER_SLOTS", "CLOISTER_DEMO_PATIENTS", "CLOISTER_IDLE_LOCK_SECONDS", "CLOISTER_CARD_HOST", "CLOISTER_ACME_DIRECTORY",
    "CLOISTER_ACME_CA", "CLOISTER_HOST",
}  # fmt: skip


@contextmanager
def running_trust(**settings: str) -> Iterator[RunningTrust]:
    """A trust of its own, ready, with its demo patients imported; stopped and removed afterwards."""
    with folders() as (state, runtime):
        if LATER.issuperset(settings):
            founded_once(state)
        trust = begin(state, runtime, **settings)
        try:
            trust.wait_for("ready: ")
            if trust.environment["CLOISTER_DEMO_PATIENTS"] != "0":
                trust.wait_for("demo patients: all imported", IMPORT_SECONDS_MAX)
            yield trust
        finally:
            trust.stop()
