"""A listener process of its own at the shared trust, and senders on real sockets."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hl7.client import MLLPClient
from running_trust import RunningTrust, free_port

LISTEN_SECONDS_MAX = 40
ANSWER_SECONDS_MAX = 60


class Sender(MLLPClient):  # type: ignore[misc]
    """The package's client on a socket that may speak TLS, and that reads an answer to its end."""

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS_MAX)
        self.socket = tls.wrap_socket(plain, server_hostname="localhost") if tls is not None else plain
        self.encoding = "utf-8"

    def send(self, data: bytes) -> bytes:
        self.socket.sendall(data)
        return self.answer()

    def answer(self) -> bytes:
        got = b""
        while not got.endswith(b"\x1c\r"):
            piece = self.socket.recv(4096)
            if not piece:
                break
            got += piece
        return got.strip(b"\x0b\x1c\r")


@dataclass
class Listening:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    trust: RunningTrust
    environment: dict[str, str]

    def sender(self, tls: ssl.SSLContext | None) -> Sender:
        return Sender(self.port, tls)

    def shown(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def listening(trust: RunningTrust, folder: Path, **settings: str) -> Iterator[Listening]:
    port = free_port()
    environment = {**trust.environment, "CLOISTER_MLLP_PORT": str(port), **settings}
    log = folder / f"mllp-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "cloister.cli", "mllp", "listen"], stdout=out, stderr=out, env=environment)
    try:
        deadline = time.monotonic() + LISTEN_SECONDS_MAX
        while "mllp.listening" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Listening(process, port, log, trust, environment)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)


def of_trust(trust: RunningTrust) -> ssl.SSLContext:
    """A sender that believes the trust's authority."""
    return ssl.create_default_context(cafile=str(trust.ca))


def command(listening: Listening, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`cloister mllp …` with the listener's settings."""
    environment = {**os.environ, **listening.environment}
    return subprocess.run(
        [sys.executable, "-m", "cloister.cli", "mllp", *arguments], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def senders_certificate() -> tuple[bytes, bytes]:
    """(an authority of senders, one sender's key and certificate), in PEM."""
    now = datetime.now(UTC)
    top, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def certified(subject: str, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> bytes:
        builder = x509.CertificateBuilder(name("Senders"), name(subject), key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if not authority:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return builder.sign(top, hashes.SHA256()).public_bytes(Encoding.PEM)

    secret = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certified("Senders", top, authority=True), secret + certified("laboratory", own, authority=False)
