"""Network access as a person meets it: a real trust as `make up` runs it, its page in Chromium, and openconnect from another machine.

The trust runs in a network namespace of its own, so its packet rules and routes touch nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from browser_rig import Desk, browser_at, chromium
from namespaces import Machine, Network, network
from playwright.sync_api import Page, expect
from running_trust import RunningTrust, begin, folders, founded_once
from vpn_rig import INSIDE, SCRIPT, lacking, reaches, until, wired

DOCTOR: Final = "francois.barbier"
NETWORKS: Final = {"network": "192.168.77.0/24", "groups": {"doctor": {"routes": ["10.50.0.0/24"]}}}
PASSWORD: Final = "ardoise-sable"

pytestmark = [
    pytest.mark.timeout(300),  # a trust of its own, and a browser
    pytest.mark.skipif(bool(lacking() or not shutil.which("nsenter")), reason=lacking() or "nsenter not installed"),
    pytest.mark.skipif(chromium() is None, reason="No Chromium on this machine; set CLOISTER_CHROMIUM to one."),
]


@dataclass
class Place:
    """A trust with a VPN, a computer at home, and the hospital's servers."""

    trust: RunningTrust
    gateway: Machine
    home: Machine
    folder: Path
    clients: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def within(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{self.gateway.name}")

    def command(self, *words: str) -> str:
        command = [sys.executable, "-m", "cloister.cli", *words]
        done = subprocess.run(command, env=self.trust.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tunnels(self) -> list[dict[str, Any]]:
        return list(json.loads(self.command("vpn", "list", "--json"))["tunnels"])

    def connect(self, *identity: str) -> subprocess.Popen[bytes]:
        """openconnect at home, as the page says, with its name for the gateway's address."""
        server = f"vpn.localhost:{self.trust.environment['CLOISTER_PORT']}"
        own = [f"--cafile={self.folder / 'cloister-authority.pem'}", "--no-dtls", "--non-inter", f"--script={self.folder / 'script.sh'}"]
        words = ["openconnect", "--protocol=anyconnect", *own, f"--resolve=vpn.localhost:{self.gateway.address}", *identity]
        with (self.folder / "client.log").open("ab") as log:
            client = self.home.popen(*words, f"https://{server}/", stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.clients.append(client)
        return client


def served(net: Network, gateway: Machine, state: Path, runtime: Path) -> RunningTrust:
    if not state.exists():
        founded_once(state)
    (state / "vpn.json").write_text(json.dumps(NETWORKS))
    within = ("nsenter", f"--net=/run/netns/{gateway.name}")
    return begin(state, runtime, within=within, CLOISTER_VPN="yes", CLOISTER_ADDRESS="0.0.0.0", CLOISTER_PORT="8443", CLOISTER_SLOTS="8")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with folders() as (state, runtime), network("netac") as net:
        home, gateway = wired(net)
        trust = served(net, gateway, state, runtime)
        server = net.machines["in"].popen(
            sys.executable, "-m", "http.server", "8000", cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        found = Place(trust, gateway, home, tmp_path)
        (tmp_path / "script.sh").write_text(SCRIPT)
        (tmp_path / "script.sh").chmod(0o755)
        try:
            trust.wait_for("ready: ")
            yield found
        finally:
            for one in (*found.clients, server):
                one.terminate()
                one.wait(10)
            trust.stop()


def asked(page: Page, password: str = "") -> None:
    page.fill("#network-password", password)
    page.locator("#network-button").click()


def proved_by_passkey(desk: Desk, person: Mapping[str, Any]) -> None:
    """A first passkey, and a fresh proof by it."""
    desk.add_authenticator()
    page = desk.go("/account")
    page.fill("#passphrase", person["passphrase"])
    page.locator("#passkey-button").click()
    page.wait_for_url("**/account?added=1", timeout=30_000)
    desk.go("/account/again?back=/network")
    page.locator("#again-passkey").click()
    page.wait_for_url("**/network", timeout=30_000)


def taken(desk: Desk, folder: Path) -> None:
    """The three files, as a person takes them."""
    for link in ("network-pem", "network-p12", "network-authority"):
        with desk.page.expect_download() as download:
            desk.page.locator(f"#{link}").click()
        download.value.save_as(folder / download.value.suggested_filename)


def test_a_certificate_made_in_the_page_opens_the_network_until_its_person_is_ended(place: Place) -> None:
    person = place.trust.person(sign_in=DOCTOR)
    with browser_at(place.trust, place.folder / "profile", within=place.within) as desk:
        page = desk.sign_in(person)
        desk.go("/network")
        asked(page)
        expect(page.locator("#network-alert")).to_contain_text("network-two-factors", timeout=20_000)
        proved_by_passkey(desk, person)
        asked(page, "short")
        expect(page.locator("#network-alert")).to_have_attribute("data-reason", "file-password-short")
        asked(page, PASSWORD)
        expect(page.locator("#network-p12")).to_be_visible(timeout=30_000)
        taken(desk, place.folder)
        both = str(place.folder / "cloister-vpn.pem")
        client = place.connect("-c", both, "-k", both)
        until(lambda: reaches(place.home, "radiology"), 30)
        assert not reaches(place.home, "administration"), f"{INSIDE['administration']} is not this role's"
        assert [(one["sign_in"], one["origin"]) for one in place.tunnels()] == [(DOCTOR, place.home.address)]
        desk.go("/network")
        expect(page.locator("form[action$='/end'][action^='/network/']")).to_have_count(1)
        page.locator("form[action^='/network/'] button").click()
        page.wait_for_url("**/network?done=ending")
        until(lambda: not place.tunnels() and client.poll() is not None)
        assert desk.faults == []
    until_its_person_is_ended(place)


def until_its_person_is_ended(place: Place) -> None:
    identity = ("-c", str(place.folder / "cloister-vpn.p12"), f"--key-password={PASSWORD}")
    client = place.connect(*identity)
    until(lambda: reaches(place.home, "radiology"), 30)
    place.command("session", "end", "--person", DOCTOR)
    scaled = 1.0 + os.getloadavg()[0] / (os.cpu_count() or 1) / 2
    assert until(lambda: not reaches(place.home, "radiology"), 10) < scaled
    until(lambda: not place.tunnels() and client.poll() is not None)
    again = place.connect(*identity)
    until(lambda: again.poll() is not None, 20)
    assert not place.tunnels(), "a good certificate is nothing without a session"
