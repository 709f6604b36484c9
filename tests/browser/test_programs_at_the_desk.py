"""A doctor starts a published program in the browser, types in it, and what it saves lies sealed in her ward's encrypted folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from browser_rig import Desk, chromium, two_terminals
from playwright.sync_api import Page, expect
from rdp_rig import PASSWORD, Far, free_port
from running_trust import RunningTrust

SECONDS_MAX: Final = 90
OWNER: Final = 64_000  # of the storage: an account of no person
WORDS: Final = "written on the screen"
NEEDED: Final = ("Xvnc", "openbox", "xterm", "setxkbmap")


def why_not() -> str:
    """What this machine lacks to publish programs, or nothing."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "publishing programs needs root and /dev/fuse"
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")


def cloister(trust: RunningTrust, *words: str, **environment: str) -> str:
    command = [sys.executable, "-m", "cloister.cli", *words]
    done = subprocess.run(command, env={**trust.environment, **environment}, capture_output=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def claire(trust: RunningTrust, tmp_path: Path) -> dict[str, Any]:
    person = trust.person(role="doctor")
    (tmp_path / "passphrase").write_text(person["passphrase"])
    return person


@pytest.fixture
def storage(trust: RunningTrust, claire: dict[str, Any]) -> Iterator[Path]:
    """An encrypted folder of her ward with one letter, on a storage of its own, where nobody's home is above."""
    folder = Path(f"/srv/cloister-apps-{os.getpid()}")
    ward = folder / "ward"
    shutil.rmtree(folder, ignore_errors=True)
    ward.mkdir(parents=True)
    (ward / "letter.txt").write_text("Dear Mrs Lopez\n")
    zone(trust, claire, "encrypt", str(ward), "--zone", claire["wards"][0])
    for path in (ward, *ward.rglob("*")):
        os.lchown(path, OWNER, OWNER)
    yield folder
    shutil.rmtree(folder)


def zone(trust: RunningTrust, person: dict[str, Any], *words: str) -> str:
    known = {"CLOISTER_SIGN_IN": person["sign_in"], "XDG_STATE_HOME": str(trust.state)}
    with tempfile.NamedTemporaryFile("w") as secret:  # gone afterwards: other tests look for passphrases in all files of the trust
        secret.write(person["passphrase"])
        secret.flush()
        return cloister(trust, "zone", words[0], "--passphrase-file", secret.name, *words[1:], **known)


def opened(desk: Desk, name: str) -> Page:
    """The program's page, started from the start page in a tab of its own."""
    desk.go("/")
    link = desk.page.get_by_role("link", name=name)
    expect(link).to_be_visible()
    with desk.context.expect_page() as tab:
        link.click()
    page = tab.value
    page.on("pageerror", lambda error: desk.faults.append(str(error)))
    page.on("console", lambda message: desk.faults.append(message.text) if "Content Security Policy" in message.text else None)
    return page


def processes_of_programs() -> set[tuple[str, str]]:
    """(number, name) of processes under the accounts of programs and their screens, of whatever trust on this machine."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if 310_000 <= entry.stat().st_uid < 500_000:
                    found.add((entry.name, (entry / "comm").read_text().strip()))
            except OSError:
                continue
    return found


def test_what_is_typed_in_a_program_lies_sealed_in_the_wards_folder(
    desk: Desk, trust: RunningTrust, claire: dict[str, Any], storage: Path, tmp_path: Path
) -> None:
    ways = ("--storage", str(storage), "--clipboard", "in", "--files", "in", "--files", "out")
    cloister(
        trust, "application", "add", "terminal", "--name", "Terminal of the ward", "--role", "doctor", *ways, "--", "xterm", "-fa", "Mono"
    )
    before = processes_of_programs()
    desk.sign_in(claire)
    page = opened(desk, "Terminal of the ward")
    expect(page.locator("body")).to_have_attribute("data-state", "running", timeout=30_000)
    expect(page.locator("#screen canvas")).to_be_visible()
    page.locator("#screen canvas").click()
    page.keyboard.type(f'cd zones/* && cat letter.txt > ~/Exchange/copy.txt; echo "{WORDS}" > note.txt; id -u >> ~/Exchange/copy.txt\n')

    copy = taken(page, "copy.txt", "Dear Mrs Lopez")
    assert copy.splitlines()[0] == "Dear Mrs Lopez"  # the ward's files, in the clear, inside
    assert int(copy.split()[-1]) >= 310_000  # and the program is nobody who could reach its session
    stored = b"".join(path.read_bytes() for path in storage.rglob("*") if path.is_file())
    assert WORDS.encode() not in stored  # sealed on the storage
    assert "note" not in " ".join(path.name for path in storage.rglob("*"))
    assert {path.stat().st_uid for path in storage.rglob("*")} == {OWNER}

    page.locator("#end").click()
    expect(page.locator("#over-heading")).to_have_text("You have ended the program.")
    deadline = time.monotonic() + 10
    while processes_of_programs() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of_programs() - before == set()
    assert WORDS in zone(trust, claire, "mount", str(storage / "ward"), str(tmp_path), "--", "cat", "note.txt")


def taken(page: Page, name: str, holding: str) -> str:
    """A file of the program's Exchange folder, as soon as it is whole; by the page's own address, with the person's ticket."""
    asks = f"async () => {{ const got = await fetch(`${{location.pathname}}/file?name={name}`); return got.ok ? await got.text() : ''; }}"
    deadline = time.monotonic() + 20
    text = ""
    while time.monotonic() < deadline:
        text = str(page.evaluate(asks))
        if holding in text and text.count("\n") > 1:
            return text
        time.sleep(0.1)
    raise AssertionError(f"{name} did not come: {text[:200]}")


def test_what_a_person_may_not_start_is_not_shown_and_a_missing_program_is_named(
    desk: Desk, trust: RunningTrust, claire: dict[str, Any]
) -> None:
    cloister(trust, "application", "add", "viewer", "--name", "Viewer", "--role", "doctor", "--", "/usr/bin/no-such-viewer")
    cloister(trust, "application", "add", "ledger", "--name", "Ledger", "--role", "management", "--", "xterm")
    desk.sign_in(claire)
    page = opened(desk, "Viewer")
    expect(page.locator("#over-heading")).to_have_text("The program 'no-such-viewer' is not installed on this server.", timeout=20_000)
    expect(page.locator("#over-hint")).to_contain_text("Tell your IT")
    desk.go("/")
    expect(desk.page.get_by_role("link", name="Viewer")).to_be_visible()
    expect(desk.page.get_by_role("link", name="Ledger")).to_have_count(0)
    refused = desk.page.evaluate(
        """async () => { const headers = { accept: "application/json", "content-type": "application/json" };
        const body = JSON.stringify({ width: 800, height: 600, layout: "us" });
        const got = await fetch("/programs/ledger/start", { method: "POST", headers, body });
        return [got.status, (await got.json()).error]; }"""
    )
    assert refused == [403, "program-role"]


def test_a_program_goes_along_to_another_terminal_as_it_was_and_the_old_screen_shows_nothing_of_it(
    trust: RunningTrust, claire: dict[str, Any], tmp_path: Path
) -> None:
    if chromium() is None:
        pytest.skip("No Chromium on this machine; set CLOISTER_CHROMIUM to one.")
    cloister(trust, "application", "add", "day", "--name", "The day", "--role", "doctor", "--files", "out", "--", "xterm", "-fa", "Mono")
    with two_terminals(trust, tmp_path) as (here, there):
        here.sign_in(claire)
        page = opened(here, "The day")
        typed(page, "x=begun; echo $x here > ~/Exchange/day.txt; echo >> ~/Exchange/day.txt\n")
        taken(page, "day.txt", "begun here")
        shell = processes_of_programs()

        other = there.sign_in(claire)
        assert "/programs/day" in other.url, "where she was"
        expect(page.locator("#cover")).to_contain_text("It went on at", timeout=15_000)
        expect(page.locator("#screen, canvas")).to_have_count(0)  # removed, not hidden
        typed(other, "echo $x there >> ~/Exchange/day.txt\n")
        taken(other, "day.txt", "begun there")
        assert processes_of_programs() >= shell, "the same processes"
        old = page.evaluate("fetch('/programs/day/file?name=day.txt', {headers: {accept: 'application/json'}}).then((got) => got.status)")
        assert old in (401, 421), "and it is gone for the old terminal, not only out of sight"
        other.locator("#end").click()
        expect(other.locator("#over-heading")).to_be_visible()
        assert [desk.faults for desk in (here, there)] == [[], []]


def typed(page: Page, text: str) -> None:
    expect(page.locator("body")).to_have_attribute("data-state", "running", timeout=30_000)
    page.locator("#screen canvas").click()
    page.keyboard.type(text)


# --- a program of a remote server -------------------------------------------------------------------------------------

# A French keyboard's keys (by their places on an American one), for what Playwright would put in without any key.
FRENCH: Final = {"é": "Digit2", "à": "Digit0", "ç": "Digit9", "ù": "Quote"}
SENTENCE: Final = "été à Nice, ça va (où)"


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    lacking = [name for name in ("xrdp", "xfreerdp") if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    machine = Far(tmp_path, 2140 + free_port() % 1000)
    yield machine
    machine.close()


def test_what_is_typed_on_a_french_keyboard_arrives_at_a_remote_server_as_it_was_typed(
    desk: Desk, trust: RunningTrust, claire: dict[str, Any], far: Far
) -> None:
    where = ("--server", f"127.0.0.1:{far.port}", "--certificate", far.fingerprint, "--reach", f"127.0.0.1:{far.port}")
    cloister(trust, "application", "add", "far", "--name", "Far away", "--kind", "windows", "--role", "doctor", *where)
    desk.sign_in(claire)
    page = opened(desk, "Far away")
    page.locator("#layout").select_option("fr")
    page.locator("[name=user]").fill("claire")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("#again").click()
    expect(page.locator("body")).to_have_attribute("data-state", "running", timeout=30_000)
    deadline = time.monotonic() + 30
    while SENTENCE not in far.typed() and time.monotonic() < deadline:
        page.locator("#screen canvas").click(position={"x": 400, "y": 300})  # where its terminal is, however large the screen
        pressed(page, SENTENCE)
        page.wait_for_timeout(500)
    assert SENTENCE in far.typed()
    page.locator("#end").click()
    expect(page.locator("#over-heading")).to_be_visible()


def pressed(page: Page, line: str) -> None:
    """As from a keyboard: a key goes down and up, and says which character it is."""
    devtools = page.context.new_cdp_session(page)
    for one in line:
        if one in FRENCH:
            for kind in ("rawKeyDown", "keyUp"):
                devtools.send("Input.dispatchKeyEvent", {"type": kind, "key": one, "code": FRENCH[one]})
        else:
            page.keyboard.type(one)
    page.keyboard.press("Enter")
    devtools.detach()
