"""The workstation kit: the same bytes for the same trust, checked with what every machine has, read by a real browser."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error, sync_playwright

from cloister.cli.kit import policies
from cloister.cli.kit.making import Wanted, make
from cloister.cli.kit.signing import public_pem
from cloister.zones import algorithms, certificates

KEY = algorithms.SignPrivate(bytes(range(32)))
NAMES = ("localhost", "127.0.0.1")
CHROMIUM = Path("/usr/bin/chromium")


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802 - the name that http.server asks for
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.end_headers()
        self.wfile.write(b"the trust's page")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, bytes]]:
    """(address, authority) of a page behind a certificate that no browser knows."""
    folder = tmp_path_factory.mktemp("site")
    authority_key, authority = certificates.new_tls_ca("A hospital's own")
    key, chain = certificates.tls_certificate(authority_key, authority, list(NAMES), 30)
    (folder / "key.pem").write_bytes(key)
    (folder / "chain.pem").write_bytes(chain)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_address[1]}", authority
    server.shutdown()


def made(folder: Path, site: tuple[str, bytes], *, card: bool = False) -> Path:
    make(folder, Wanted(origin=site[0], card_origin="", authority=site[1], names=NAMES, card=card), KEY)
    return folder


def installed(kit: Path, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(kit / "install.sh"), *options], env={**os.environ, "DESTDIR": str(root)}, capture_output=True, text=True
    )


def test_the_same_trust_gives_the_same_bytes(site: tuple[str, bytes], tmp_path: Path) -> None:
    card = shutil.which("dpkg-deb") is not None
    first, second = made(tmp_path / "a", site, card=card), made(tmp_path / "b", site, card=card)
    assert (first / "SHA256SUMS").read_bytes() == (second / "SHA256SUMS").read_bytes()
    assert (first / "SHA256SUMS.sig").read_bytes() == (second / "SHA256SUMS.sig").read_bytes()
    assert bool(list((first / "card").glob("cloister-card_*_all.deb"))) is card


def test_an_image_is_set_up_and_taken_back(site: tuple[str, bytes], tmp_path: Path) -> None:
    kit, root = made(tmp_path / "kit", site), tmp_path / "root"
    key = tmp_path / "key.pem"
    key.write_text(public_pem(KEY.public))
    for _ in range(2):
        done = installed(kit, root, "--kiosk", "--key", str(key))
        assert done.returncode == 0, done.stderr
    for place in ("chromium", "opt/chrome", "opt/edge"):
        read = json.loads((root / "etc" / place / "policies/managed/cloister.json").read_text())
        assert read["LocalNetworkAccessAllowedForUrls"] == [site[0]]
    assert (root / "usr/local/share/ca-certificates/cloister-trust.crt").read_bytes() == site[1]
    assert (root / "etc/cloister-card/origins").read_text() == f"{site[0]}\n"
    assert os.access(root / "usr/lib/cloister-workstation/kiosk", os.X_OK)
    if shutil.which("systemd-analyze"):
        unit = root / "etc/systemd/system/cloister-kiosk.service"
        said = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True).stderr
        assert not [line for line in said.splitlines() if unit.name in line and "not executable" not in line]
    assert installed(kit, root, "--remove").returncode == 0
    assert [str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()] == ["etc/cloister-card/origins"]


def test_a_changed_file_or_another_key_sets_nothing_up(site: tuple[str, bytes], tmp_path: Path) -> None:
    kit, root = made(tmp_path / "kit", site), tmp_path / "root"
    other = tmp_path / "other.pem"
    other.write_text(public_pem(algorithms.SignPrivate(bytes(32)).public))
    refused = installed(kit, root, "--key", str(other))
    assert refused.returncode == 1
    assert "not signed with that key" in refused.stderr
    with (kit / "chromium" / "cloister.json").open("a") as file:
        file.write(" ")
    refused = installed(kit, root)
    assert refused.returncode == 1
    assert "not as it was signed" in refused.stderr
    assert not list(root.rglob("*.json"))


def test_the_command_says_what_is_wrong(site: tuple[str, bytes], tmp_path: Path) -> None:
    state = tmp_path / "state"
    authority = tmp_path / "ca.pem"
    authority.write_bytes(site[1])

    def cloister(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CLOISTER_STATE": str(state)}
        return subprocess.run(
            [sys.executable, "-m", "cloister.cli", "workstation", *words], env=environment, capture_output=True, text=True
        )

    kit = ("kit", "--out", str(tmp_path / "kit"), "--ca", str(authority), "--without-card", "--origin", site[0])
    assert "There is no trust" in cloister(*kit).stderr
    (state / "secrets").mkdir(parents=True)
    assert "without a path" in cloister(*kit[:-1], "http://record.example/x").stderr
    assert cloister(*kit).returncode == 0
    assert "is there already" in cloister(*kit).stderr
    assert "as they were signed" in cloister("verify", str(tmp_path / "kit")).stdout
    (tmp_path / "kit" / "extra").write_text("more")
    assert "changed, added or taken away" in cloister("verify", str(tmp_path / "kit")).stderr
    assert (state / "secrets" / "workstation-kit.key").stat().st_mode & 0o077 == 0


def test_windows_reads_lists_as_numbered_values() -> None:
    text = policies.registry({"URLBlocklist": ["*"], "BrowserSignin": 0, "ManagedBookmarks": [{"name": 'a"b'}]}, "SOFTWARE\\X")
    assert '"BrowserSignin"=dword:00000000' in text
    assert '[HKEY_LOCAL_MACHINE\\SOFTWARE\\X\\URLBlocklist]\r\n"1"="*"' in text
    assert r'"ManagedBookmarks"="[{\"name\":\"a\\\"b\"}]"' in text


# --- a real browser: its policy folder is replaced in a mount namespace of its own, so that no other browser here sees it ---

READ = """() => {
  const rows = [];
  const walk = root => {
    root.querySelectorAll('.policy.row').forEach(row => rows.push((row.innerText || '').split(/\\s+/).join(' ').trim()));
    root.querySelectorAll('*').forEach(one => { if (one.shadowRoot) walk(one.shadowRoot); });
  };
  walk(document);
  return rows.filter(row => row && !row.endsWith('set.'));
}"""


def browser_under(folder: Path, *files: Path) -> Path:
    """A Chromium that finds these policies and no others."""
    managed = folder / "policies" / "managed"
    managed.mkdir(parents=True)
    for file in files:
        shutil.copy(file, managed)
    start = folder / "chromium"
    inner = f'mkdir -p /etc/chromium/policies && mount --bind {managed.parent} /etc/chromium/policies && exec {CHROMIUM} "$@"'
    start.write_text(f"#!/bin/sh\nexec unshare -m sh -c '{inner}' sh \"$@\"\n")
    start.chmod(0o755)
    return start


def answers(start: Path, folder: Path, *addresses: str) -> list[str]:
    """What became of each address: the page's text, or the browser's word for what went wrong."""
    found = []
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(folder / "profile"), executable_path=str(start), args=["--no-sandbox", "--disable-gpu"]
        )
        for address in addresses:
            page = context.new_page()
            try:
                page.goto(address)
                if address == "chrome://policy":
                    page.wait_for_timeout(1000)
                    found.append("\n".join(page.evaluate(READ)))
                else:
                    found.append(page.inner_text("body"))
            except Error as failed:
                found.append(failed.message.partition("net::")[2].partition(" ")[0])
        context.close()
    return found


@pytest.fixture(scope="module")
def may_mount() -> None:
    if not CHROMIUM.exists():
        pytest.skip("No /usr/bin/chromium on this machine.")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("Only root, in a machine with mount namespaces, can give one browser policies of its own.")


@pytest.mark.usefixtures("may_mount")
def test_a_browser_believes_the_authority_and_finds_no_fault_in_the_policies(site: tuple[str, bytes], tmp_path: Path) -> None:
    kit = made(tmp_path / "kit", site)
    bare, managed = tmp_path / "bare", tmp_path / "managed"
    assert answers(browser_under(bare), bare, site[0]) == ["ERR_CERT_AUTHORITY_INVALID"]
    page, listed = answers(browser_under(managed, kit / "chromium/cloister.json"), managed, site[0], "chrome://policy")
    assert page == "the trust's page"
    assert {line.split()[0] for line in listed.splitlines()} >= policies.workstation(site[0], "", [b""], NAMES).keys()
    assert all(" OK" in line for line in listed.splitlines()), listed


@pytest.mark.usefixtures("may_mount")
def test_a_terminal_opens_the_record_and_nothing_else(site: tuple[str, bytes], tmp_path: Path) -> None:
    kit = made(tmp_path / "kit", site)
    shut = json.loads((kit / "chromium/cloister-kiosk.json").read_text())
    assert shut.pop("DeveloperToolsAvailability") == 2  # with it no test could drive the browser
    (tmp_path / "terminal.json").write_text(json.dumps(shut))
    start = browser_under(tmp_path / "terminal", kit / "chromium/cloister.json", tmp_path / "terminal.json")
    elsewhere = site[0].replace("localhost", "127.0.0.1")
    assert answers(start, tmp_path, site[0], elsewhere) == ["the trust's page", "ERR_BLOCKED_BY_ADMINISTRATOR"]
