"""The VPN with real programs: ocserv behind Envoy's one port, openconnect from another machine (a network namespace)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from namespaces import Machine, Network, network
from vpn_rig import SCRIPT, lacking, reaches, until, wired

from cloister.assemble import vpn as part
from cloister.assemble.edge import envoy_program
from cloister.base.clock import system_clock
from cloister.base.errors import Denied, Invalid
from cloister.base.secret import Secret
from cloister.cli.vpn import client_command, write_profile
from cloister.gateway import Plan, bootstrap, vpn
from cloister.gateway.vpn.profile import profile_of
from cloister.machines import web_keys
from cloister.zones import certificates

HOST: Final = "vpn.trust.example"
PROFILE: Final = profile_of({
    "network": "192.168.77.0/24",
    "groups": {"radiologist": {"routes": ["10.50.0.0/24"]}, "nurse": {"routes": [], "requires": {"disk_encrypted": True}}},
})  # fmt: skip
pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


@dataclass
class Rig:
    """A client, a gateway with Envoy and ocserv, and two servers behind it."""

    folder: Path
    gateway: Machine
    client: Machine
    people: set[str]
    authorities: dict[str, tuple[bytes, bytes]]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    @property
    def control(self) -> Path:
        return self.folder / "vpn" / "occtl.sock"

    def issuer(self, authority: str = "people") -> vpn.Issuer:
        async def audit(entries: Any) -> None:
            self.notes += entries

        key, public = self.authorities[authority]
        return vpn.Issuer(
            authority_key=Secret(key), authority=public.decode(), profile=PROFILE, server=f"{HOST}:443",
            server_authority=self.authorities["server"][1].decode(), audit=audit, clock=system_clock,
        )  # fmt: skip

    def ask(self, person: str, role: str = "radiologist", *, authority: str = "people", posture: Any = None, kind: str = "person") -> Path:
        """As `cloister vpn certificate` does, without the session between."""
        key, request = web_keys.new_tls_request()
        words = {"request": base64.b64encode(request).decode(), "posture": posture}
        given = asyncio.run(self.issuer(authority).answer(person, role, kind, "s1", words))
        folder = self.folder / f"{person}-{authority}"
        write_profile(folder, key, given)
        return folder

    def connect(self, profile: Path) -> subprocess.Popen[bytes]:
        command = client_command(profile, {"server": f"{HOST}:443"})
        more = [f"--script={self.folder / 'script.sh'}", f"--resolve={HOST}:{self.gateway.address}"]
        process = self.client.popen(command[0], *more, *command[1:], stdout=subprocess.DEVNULL, stderr=(profile / "log").open("wb"))
        self.processes.append(process)
        return process

    def tunnels(self) -> list[vpn.Tunnel]:
        return asyncio.run(vpn.shown(self.control))

    def disconnect(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                process.wait(10)
        self.processes.clear()
        until(lambda: not self.tunnels())


async def _watch(rig: Rig) -> None:
    async def people() -> frozenset[str]:
        return frozenset(rig.people)

    await vpn.Watch(rig.control, rig.folder / "vpn" / "live", people).keep()


@contextmanager
def _served(rig: Rig, net: Network) -> Iterator[None]:
    place = vpn.Place(folder=rig.folder / "vpn", port=4443, hook=rig.folder / "vpn" / "hook.sh")
    part.prepare(PROFILE, place, host=HOST, tls=rig.authorities["server"], people=rig.authorities["people"][1])
    key, chain = certificates.tls_certificate(*rig.authorities["server"], ["trust.example"], 2)
    (rig.folder / "key.pem").write_bytes(key)
    (rig.folder / "chain.pem").write_bytes(chain)
    plan = Plan(
        address="0.0.0.0", port=443, slots_folder=rig.folder / "slots", slots=1, door_socket=rig.folder / "door.sock",
        admin_socket=rig.folder / "admin.sock", certificate_chain=rig.folder / "chain.pem", private_key=rig.folder / "key.pem",
        strict_transport=True, vpn=vpn.Front(name=HOST, address="127.0.0.1", port=4443),
    )  # fmt: skip
    (rig.folder / "envoy.json").write_text(json.dumps(bootstrap(plan)))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": (rig.folder / "log").open("ab")}
    envoy = [str(envoy_program()), "-c", str(rig.folder / "envoy.json"), "--disable-hot-restart", "--concurrency", "1"]
    served = [
        rig.gateway.popen("ocserv", "-f", "-c", str(rig.folder / "vpn" / "ocserv.conf"), **quiet),
        rig.gateway.popen(*envoy, **quiet),
        net.machines["in"].popen(sys.executable, "-m", "http.server", "8000", cwd=rig.folder / "slots", **quiet),
    ]
    loop = asyncio.new_event_loop()
    watching = loop.create_task(_watch(rig))
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([watching])), daemon=True)
    try:
        until(lambda: rig.control.exists() and (rig.folder / "admin.sock").exists())
        thread.start()
        yield
    finally:
        loop.call_soon_threadsafe(watching.cancel)
        thread.join(5)
        for process in served:
            process.terminate()
        for process in served:
            process.wait(10)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-vpn-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "slots").mkdir()
    (folder / "script.sh").write_text(SCRIPT)
    (folder / "script.sh").chmod(0o755)
    authorities = {name: certificates.new_tls_ca(name) for name in ("server", "people", "other")}
    try:
        with network("edgev") as net:
            client, gateway = wired(net)
            made = Rig(folder, gateway, client, {"radia"}, authorities)
            with _served(made, net):
                yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def nobody_left(rig: Rig) -> Iterator[None]:
    rig.people.clear()
    rig.people.add("radia")
    yield
    rig.disconnect()


def signed_in(rig: Rig, person: str) -> None:
    rig.people.add(person)
    until(lambda: (rig.folder / "vpn" / "live" / person).exists())


def test_radia_reaches_radiology_over_the_webs_port_and_nothing_else(rig: Rig) -> None:
    signed_in(rig, "radia")
    assert not reaches(rig.client, "radiology")
    rig.connect(rig.ask("radia"))
    until(lambda: rig.tunnels() and reaches(rig.client, "radiology"))
    (tunnel,) = rig.tunnels()
    assert (tunnel.person, tunnel.group, tunnel.origin) == ("radia", "radiologist", rig.client.address)
    assert not reaches(rig.client, "administration"), "a route that the client made itself leads nowhere"
    web = rig.client.command(
        "curl", "-sk", "--resolve", f"trust.example:443:{rig.gateway.address}", "-o", "/dev/null", "-w", "%{http_code}"
    )
    shown = subprocess.run([*web, "https://trust.example/patients"], capture_output=True, check=False).stdout
    assert shown == b"401", "the web is on the same port"
    assert "certificate " in rig.notes[-1]["reason"]


def test_the_tunnel_ends_within_a_second_of_the_last_session(rig: Rig) -> None:
    signed_in(rig, "radia")
    client = rig.connect(rig.ask("radia"))
    until(lambda: rig.tunnels() and reaches(rig.client, "radiology"))
    rig.people.discard("radia")
    took = until(lambda: not rig.tunnels(), 5)
    assert took < 1.0 + 0.5 * (os.getloadavg()[0] > 2), took
    assert not reaches(rig.client, "radiology")
    until(lambda: client.poll() is not None)


def test_who_is_not_signed_in_or_shows_no_certificate_of_ours_has_no_tunnel(rig: Rig) -> None:
    strangers = [rig.connect(rig.ask("ghost")), rig.connect(rig.ask("radia", authority="other"))]
    for process in strangers:
        until(lambda one=process: one.poll() is not None, 20)  # type: ignore[misc]
    assert not rig.tunnels()


def test_a_workstation_that_is_not_as_the_group_asks_gets_no_certificate(rig: Rig) -> None:
    for posture in (None, {}, {"disk_encrypted": False}, {"disk_encrypted": "true"}, "x"):
        with pytest.raises(Denied, match="disk_encrypted"):
            rig.ask("nora", "nurse", posture=posture)
    assert rig.notes[-1]["outcome"] == "denied"
    rig.ask("nora", "nurse", posture={"disk_encrypted": True, "system": "Debian", "other": "x" * 9999})
    assert "other" not in rig.notes[-1]["reason"]
    with pytest.raises(Denied):
        rig.ask("paul", "porter")
    with pytest.raises(Denied):
        rig.ask("robot", kind="program")


def test_the_authority_signs_for_hours_and_p256_only(rig: Rig) -> None:
    key, public = rig.authorities["people"]
    until_then = datetime.now(UTC) + timedelta(hours=1)
    for wrong in (b"", b"x" * 91, bytes(91)):
        with pytest.raises(Invalid):
            web_keys.person_certificate(key, public.decode(), wrong, person="p", group="g", until=until_then)


@pytest.mark.parametrize(
    "said",
    [
        [], {"x": 1}, {"groups": []}, {"network": "10.0.0.1/8"}, {"groups": {"A b": {}}},
        {"groups": {"a": {"routes": ["x\nroute = 0.0.0.0/0"]}}}, {"groups": {"a": {"requires": {"moon": 1}}}},
    ],
)  # fmt: skip
def test_a_profile_that_says_something_else_is_refused(said: Any) -> None:
    with pytest.raises(Invalid):
        profile_of(said)
