"""A program of a remote-desktop server, as a Windows program is shown: here xrdp in front of an X screen that asks for a password."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from programs_rig import program, why_not
from rdp_rig import PASSWORD, TYPED_INTO, Far, free_port

LACKING = why_not("xrdp", "xfreerdp")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING or "-")


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    machine = Far(tmp_path, 140 + free_port() % 1000)
    yield machine
    machine.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(("layout", "words"), [("us", "hello from the ward"), ("fr", "été à quinze m², ça va ; 14h30 (oui)")])
async def test_a_remote_desktop_is_reached_with_a_password_that_stands_on_no_command_line(
    far: Far, tmp_path: Path, layout: str, words: str
) -> None:
    remote = {"host": "127.0.0.1", "port": str(far.port), "certificate": far.fingerprint}
    given = {"user": "claire", "domain": "", "password": PASSWORD}
    room = tmp_path / "room"
    room.mkdir()
    async with program(room, kind="windows", remote=remote, reaches=(f"127.0.0.1:{far.port}",), credentials=given, layout=layout) as one:
        screen = await one.look()
        deadline = time.monotonic() + 25
        while words not in far.typed() and time.monotonic() < deadline:
            screen.type(f"{words}\n")
            await asyncio.sleep(0.5)
        assert words in far.typed()
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        assert any(b"xfreerdp" in line for line in lines)
        assert not any(PASSWORD.encode() in line for line in lines)


@pytest.mark.skipif(bool(why_not("freerdp-shadow-cli", "winpr-hash")), reason=why_not("freerdp-shadow-cli", "winpr-hash") or "-")
@pytest.mark.asyncio
async def test_network_level_authentication_lets_in_who_knows_the_password_and_each_refusal_is_named(tmp_path: Path) -> None:
    """FreeRDP's own server, with NLA alone, against a SAM file. At a wrong password it breaks off without a reason."""
    server = Guarded(tmp_path, 1140 + free_port() % 1000)
    try:
        for password, of, why in (
            ("wrong", {"security": "nla"}, "rdp-broken-off"), (PASSWORD, {"security": "tls"}, "rdp-security"),
            (PASSWORD, {"port": str(free_port())}, "rdp-unreachable"), (PASSWORD, {"security": "nla"}, ""),
        ):  # fmt: skip
            remote = {"host": "127.0.0.1", "port": str(server.port), "certificate": server.fingerprint, **of}
            given = {"user": "claire", "domain": "", "password": password}
            room = tmp_path / f"room-{why}"
            room.mkdir()
            async with program(room, kind="windows", remote=remote, reaches=(f"127.0.0.1:{remote['port']}",), credentials=given) as one:
                if why:
                    assert (await one.over()).why == why
                    continue
                screen = await one.look()
                words = "once by nla"  # FreeRDP's own server takes a letter that comes twice at once for one
                deadline = time.monotonic() + 25
                while words not in server.typed() and time.monotonic() < deadline:
                    screen.type(f"{words}\n")
                    await asyncio.sleep(0.5)
                assert words in server.typed()
    finally:
        server.close()


class Guarded(Far):
    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.port, display = folder, free_port(), f":{number}"
        self.started = [self._start("Xvnc", display, "-SecurityTypes", "None", "-rfbport", "-1", "-nolisten", "tcp", "-noreset")]
        (folder / "sam").write_bytes(
            subprocess.run(["winpr-hash", "-u", "claire", "-p", PASSWORD, "-f", "sam"], capture_output=True).stdout
        )
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DISPLAY": display}
        at_socket = Path(f"/tmp/.X11-unix/X{number}")
        deadline = time.monotonic() + 20
        while not at_socket.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.started.append(self._start(*TYPED_INTO, "-display", display, "-e", f"cat > {folder}/typed"))
        words = ("freerdp-shadow-cli", f"/port:{self.port}", "/bind-address:127.0.0.1", f"/sam-file:{folder}/sam", "+auth", "/sec:nla")
        quiet = subprocess.DEVNULL
        self.started.append(subprocess.Popen(words, env=environment, stdin=quiet, stdout=quiet, stderr=quiet))
        self._until(self.port)
        shown = x509.load_pem_x509_certificate((folder / ".config/freerdp/shadow/shadow.crt").read_bytes())
        self.fingerprint = ":".join(f"{byte:02x}" for byte in shown.fingerprint(hashes.SHA256()))


@pytest.mark.asyncio
async def test_another_certificate_than_the_one_that_was_written_down_ends_it(far: Far, tmp_path: Path) -> None:
    remote = {"host": "127.0.0.1", "port": str(far.port), "certificate": ":".join(["00"] * 32)}
    given = {"user": "claire", "domain": "", "password": PASSWORD}
    room = tmp_path / "room"
    room.mkdir()
    async with program(room, kind="windows", remote=remote, reaches=(f"127.0.0.1:{far.port}",), credentials=given) as one:
        ended = await one.over()
        assert (ended.why, ended.status != 0) == ("rdp-certificate", True)
        assert "certificate" in ended.said.lower()
    assert far.typed() == ""
