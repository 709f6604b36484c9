"""The gateway's certificate from a real ACME authority (Caddy's), and its renewal while the trust runs."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from running_trust import RunningTrust, folders, free_port, running_trust

from cloister.assemble import acme
from cloister.base.errors import Invalid
from cloister.base.settings import read_settings

CADDY: Final = Path(sys.executable).with_name("caddy")
START_SECONDS_MAX: Final = 20
CONFIGURATION: Final = """
{
    admin off
    auto_https disable_redirects
    skip_install_trust
    storage file_system %(folder)s
    https_port %(port)d
    http_port %(plain)d
}
https://localhost:%(port)d {
    tls internal
    acme_server {
        challenges http-01
        allow {
            domains localhost
        }
    }
}
"""


@dataclass(frozen=True)
class Authority:
    directory: str
    ca: Path


def _port_80_is_ours() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", 80))
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    if not CADDY.exists() or not _port_80_is_ours():
        pytest.skip("caddy is not installed, or port 80, at which an authority asks, is not free for this account")
    folder, port = tmp_path_factory.mktemp("caddy"), free_port()
    (folder / "Caddyfile").write_text(CONFIGURATION % {"folder": folder, "port": port, "plain": free_port()})
    ca = folder / "pki" / "authorities" / "local" / "root.crt"
    with (folder / "log").open("wb") as log:
        caddy = subprocess.Popen([CADDY, "run", "--config", folder / "Caddyfile"], stdout=log, stderr=log, env={"HOME": str(folder)})
        try:
            deadline = time.monotonic() + START_SECONDS_MAX
            while b"certificate obtained successfully" not in (folder / "log").read_bytes():
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.1)
            yield Authority(f"https://localhost:{port}/acme/local/directory", ca)
        finally:
            caddy.terminate()
            caddy.wait(10)


@pytest.fixture(scope="module")
def own(authority: Authority) -> Iterator[RunningTrust]:
    known = {"CLOISTER_ACME_DIRECTORY": authority.directory, "CLOISTER_ACME_CA": str(authority.ca), "CLOISTER_HOST": "localhost"}
    with running_trust(CLOISTER_SLOTS="16", **known) as running:
        yield running


def shown_certificate(trust: RunningTrust, ca: Path) -> dict[str, Any]:
    """Verified by this authority alone; raises ssl.SSLError otherwise."""
    tls = ssl.create_default_context(cafile=str(ca))
    address = ("localhost", int(trust.environment["CLOISTER_PORT"]))
    with socket.create_connection(address, 10) as plain, tls.wrap_socket(plain, server_hostname="localhost") as safe:
        return dict(safe.getpeercert() or {})


def until_another(trust: RunningTrust, ca: Path, than: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        try:
            found = shown_certificate(trust, ca)
            if found["serialNumber"] != than:
                return found
        except ssl.SSLError:
            pass
        assert time.monotonic() < deadline, trust.shown()[-2000:]
        time.sleep(0.3)


def test_a_gateway_gets_its_certificate_and_renews_it_by_itself(own: RunningTrust, authority: Authority) -> None:
    own.wait_for("the gateway has a new certificate", 60)
    first = until_another(own, authority.ca, "")
    assert first["subjectAltName"] == (("DNS", "localhost"),)
    key, _, about = acme.paths(read_settings(own.environment))
    assert key.stat().st_mode & 0o777 == 0o600
    said = json.loads(about.read_text())
    about.write_text(json.dumps({**said, "ends": (datetime.now(UTC) + timedelta(seconds=60)).isoformat()}))  # nearly over, it believes
    second = until_another(own, authority.ca, first["serialNumber"])
    assert second["serialNumber"] != first["serialNumber"]
    assert b"PRIVATE KEY" not in (own.state / "logs" / "acme.log").read_bytes()


def test_an_authority_that_is_away_is_named_and_nothing_is_kept() -> None:
    if not _port_80_is_ours():
        pytest.skip("port 80, at which an authority asks, is not free for this account")
    directory = f"https://localhost:{free_port()}/directory"
    with folders() as (state, runtime):
        (state / "secrets").mkdir(parents=True)
        (runtime / "edge").mkdir(parents=True)
        environment = {**os.environ, "CLOISTER_STATE": str(state), "CLOISTER_RUNTIME": str(runtime), "CLOISTER_ACME_DIRECTORY": directory}
        ordered = subprocess.run([sys.executable, "-m", "cloister.assemble", "acme"], env=environment, capture_output=True, text=True)
        assert ordered.returncode != 0
        assert "ConnectionError" in ordered.stdout + ordered.stderr
        assert acme.kept(read_settings(environment)) is None


def test_what_is_no_address_of_an_authority_is_refused() -> None:
    for bad in (
        {"CLOISTER_ACME_DIRECTORY": "http://ca.example"},
        {"CLOISTER_ACME_DIRECTORY": "https://a", "CLOISTER_TLS_CERTIFICATE": "x"},
    ):
        with pytest.raises(Invalid):
            read_settings(bad)
