"""A real Active Directory domain controller (Debian's Samba) for tests: one for all of them, on the loopback, in its own process group.

Provisioned into a folder of its own; answers LDAPS on a free port with the certificate of its own authority.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.zones import certificates

REALM: Final = "HOSPITAL.TEST"
PASSWORD: Final = "Reader-of-the-directory-1"
READY_SECONDS_MAX: Final = 90.0


def missing() -> str:
    """Why it cannot run here; empty where it can."""
    if os.geteuid() != 0:
        return "a domain controller needs root"
    needed = ("/usr/sbin/samba", "/usr/bin/samba-tool", "/usr/share/samba/setup/provision.ldif")
    absent = [path for path in needed if not Path(path).exists()]
    return f"not installed: {', '.join(absent)} (scripts/test-packages)" if absent else ""


@dataclass(frozen=True)
class Controller:
    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    host: str

    @property
    def url(self) -> str:
        return f"ldaps://{self.host}:{self.port}"

    @property
    def ca(self) -> str:
        return (self.folder / "own-ca.pem").read_text()

    @property
    def base(self) -> str:
        return "DC=hospital,DC=test"

    def tool(self, *arguments: str) -> None:
        """samba-tool, on the controller's own database."""
        command = ["samba-tool", *arguments, "-H", str(self.folder / "private" / "sam.ldb"), "-s", str(self.folder / "etc" / "smb.conf")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-500:]

    def add(self, name: str, password: str, display: str) -> None:
        given, _, family = display.partition(" ")
        self.tool("user", "create", name, password, f"--given-name={given}", f"--surname={family}", f"--mail-address={name}@hospital.test")

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(15)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def domain_controller() -> Iterator[Controller]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-samba-", dir="/tmp"))
    folder.chmod(0o755)
    host = "localhost"
    try:
        provision = [
            "samba-tool", "domain", "provision", "--server-role=dc", "--use-rfc2307", "--dns-backend=NONE", f"--realm={REALM}",
            "--domain=HOSPITAL", f"--adminpass={PASSWORD}", f"--targetdir={folder}", "--host-name=dc", "--host-ip=127.0.0.1",
            "--option=interfaces=lo", "--option=bind interfaces only=yes", "--option=server services=ldap",
        ]  # fmt: skip
        authority_key, authority = certificates.new_tls_ca("A hospital's authority")
        key, chain = certificates.tls_certificate(authority_key, authority, ["localhost", "127.0.0.1"], 30)
        for name, content in (("own-ca.pem", authority), ("own-key.pem", key), ("own-cert.pem", chain)):
            path = folder / name
            path.write_bytes(content)
            path.chmod(0o600)
        provision += [f"--option=tls {name}file={folder}/own-{file}.pem" for name, file in (("ca", "ca"), ("key", "key"), ("cert", "cert"))]
        done = subprocess.run(provision, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-800:]
        process = subprocess.Popen(
            ["samba", "-i", "-M", "single", "-s", str(folder / "etc" / "smb.conf")],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("wb"),
            start_new_session=True,
        )
        controller = Controller(folder, 636, process, host)
        try:
            _wait(controller)
            yield controller
        finally:
            controller.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(controller: Controller) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        assert controller.process.poll() is None, (controller.folder / "log").read_text()[-800:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", controller.port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("The domain controller did not answer.")
