"""Cards of SoftHSM2 and the agent that lends them, as a workstation has them: made, asked, pulled out of the reader."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SOFTHSM: Final = "/usr/lib/softhsm/libsofthsm2.so"
PIN: Final = "482915"
MISSING: Final = "No SoftHSM2 on this machine: apt-get install softhsm2"


def available() -> bool:
    return Path(SOFTHSM).exists() and shutil.which("softhsm2-util") is not None


def new_key(kind: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key({"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[kind])


def certificate_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, holder: str, ends: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, holder)])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), ends - timedelta(days=900), ends)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return made.add_extension(usage, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass
class Card:
    label: str
    folder: Path  # where SoftHSM2 keeps this token

    def pull(self) -> float:
        """Out of the reader; when."""
        self.folder.rename(self.folder.parent.parent / f"out-{self.label}")
        return time.monotonic()


@dataclass
class CardDrawer:
    """Cards, each in a reader of its own, and what a module must be told to see them."""

    folder: Path
    cards: list[Card] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "tokens").mkdir()
        (self.folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {self.folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout

    def card(self, holder: str, *, kind: str = "P-256", use: str = "derive", ends: datetime | None = None) -> Card:
        """One with a private key for this use only, and its certificate."""
        label = f"card-{len(self.cards)}"
        before = set((self.folder / "tokens").iterdir())
        self._run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "87654321")
        card = Card(label, (set((self.folder / "tokens").iterdir()) - before).pop())
        key, at = new_key(kind), self.folder / label
        at.with_suffix(".key").write_bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        at.with_suffix(".cer").write_bytes(certificate_of(key, holder, ends or datetime.now(UTC) + timedelta(days=300)))
        script = str(Path(__file__).with_name("card_import.py"))
        self._run(sys.executable, script, label, PIN, use, str(at.with_suffix(".key")), str(at.with_suffix(".cer")))
        self.cards.append(card)
        return card

    @contextmanager
    def agent(self, *origins: str, pin: str = PIN, port: int = 0) -> Iterator[RunningAgent]:
        """`cloister-card run`, with a program that types the PIN and keeps what it was asked."""
        typed, asked, path = self.folder / "pin", self.folder / "asked", self.folder / "cloister-card.sock"
        typed.write_text(pin)
        program = self.folder / "pin-program"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> {asked}\ncat {typed}\n')
        program.chmod(0o700)
        command = [sys.executable, "-m", "cloister.workstation", "run", "--module", SOFTHSM, "--socket", str(path)]
        command += ["--pin-program", str(program), *(f"--origin={one}" for one in origins), *([f"--port={port}"] if port else [])]
        process = subprocess.Popen(command, env={**self.environment, "HOME": str(self.folder)}, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert "ready" in process.stdout.readline()
            yield RunningAgent(process, path, typed, asked, port)
        finally:
            process.terminate()
            process.wait(10)


class AgentRefused(Exception):
    """What the agent said no with."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=40)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(40)
        self.sock.connect(str(self._path))


@dataclass
class RunningAgent:
    process: subprocess.Popen[str]
    path: Path
    typed: Path  # what will be typed as PIN
    asked: Path  # what the person was asked
    port: int

    def call(self, method: str, address: str, body: Any = None) -> dict[str, Any]:
        """Through the UNIX socket, as a program of the same person."""
        connection = UnixConnection(self.path)
        raw = None if body is None else json.dumps(body)
        connection.request(method, f"/card/v1{address}", raw, {"content-type": "application/json"} if raw else {})
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        if answer.status != 200:
            raise AgentRefused(said["error"], said["text"])
        return dict(said)

    def enrol(self, trust: str, person: str, unlocker: str) -> tuple[dict[str, Any], bytes]:
        said = self.call("POST", "/enrol", {"trust": trust, "person": person, "unlocker": unlocker})
        return said["params"], base64.b64decode(said["half"])

    def unlock(self, params: dict[str, Any], person: str, unlocker: str, *, trust: str | None = None) -> bytes:
        body = {"trust": trust or params["trust"], "person": person, "unlocker": unlocker, "params": params}
        return base64.b64decode(self.call("POST", "/unlock", body)["half"])

    def questions(self) -> str:
        return self.asked.read_text() if self.asked.exists() else ""
