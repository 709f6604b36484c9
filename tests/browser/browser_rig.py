"""Chromium as a person uses it: an own profile, the trust's certificate known, and everything that went wrong kept."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import BrowserContext, CDPSession, Error, Page, Playwright, expect, sync_playwright
from running_trust import RunningTrust

SHELL: Final = Path("/usr/bin/chromium-headless-shell")
PLACES: Final = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# Two cores run three browsers and their trusts beside each other here; how fast a page is, the timed tests say.
expect.set_options(timeout=20_000)
_TYPED: Final = Page.goto


def _followed(self: Page, url: str, **options: Any) -> Any:
    """As when a link of ours is followed. A typed address (`referer=""`) makes a detour over /login/prove, which `_TYPED` answers with."""
    here = re.match(r"https://localhost:\d+", url)
    if here:
        options.setdefault("referer", here.group() + "/")
    return _TYPED(self, url, **options)


Page.goto = _followed  # type: ignore[method-assign]


def chromium() -> str | None:
    """Where this machine has a Chromium: CLOISTER_CHROMIUM, the usual places, or Playwright's own."""
    wanted = os.environ.get("CLOISTER_CHROMIUM")
    found = [place for place in (wanted, *PLACES, shutil.which("chromium")) if place and Path(place).exists()]
    if found:
        return found[0]
    try:
        with sync_playwright() as playwright:
            own = playwright.chromium.executable_path
    except Error:
        return None
    return own if Path(own).exists() else None


def engine() -> str | None:
    """Chromium without what is drawn around a page, of the same package: half the processor time. Who asks the browser itself for
    something, a permission for example, needs the whole one."""
    return str(SHELL) if SHELL.exists() and "CLOISTER_CHROMIUM" not in os.environ else chromium()


def pin_of(trust: RunningTrust, within: Sequence[str] = ()) -> str:
    """The digest of the server's public key. WebAuthn refuses a page whose certificate was merely ignored."""
    return pin_of_port(int(trust.base.rsplit(":", 1)[1]), within)


def pin_of_port(port: int, within: Sequence[str] = ()) -> str:
    if within:
        ask = "import ssl, sys; print(ssl.get_server_certificate(('localhost', int(sys.argv[1]))))"
        shown = subprocess.run([*within, sys.executable, "-c", ask, str(port)], capture_output=True, text=True, check=True).stdout
    else:
        shown = ssl.get_server_certificate(("localhost", port))
    leaf = x509.load_pem_x509_certificate(shown.encode())
    public = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(public).digest()).decode("ascii")


@dataclass
class Desk:
    """One person's browser at the trust."""

    trust: RunningTrust
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)  # page errors and refusals of the Content-Security-Policy

    def go(self, path: str) -> Page:
        self.page.goto(self.trust.base + path)
        return self.page

    def sign_in(self, person: Mapping[str, Any]) -> Page:
        """With the passphrase, by keyboard alone."""
        self.go("/login")
        return self.sign_in_here(person)

    def sign_in_here(self, person: Mapping[str, Any]) -> Page:
        """On the sign-in page that is open already, which knows where to go on."""
        page = self.page
        expect(page.locator("#name")).to_be_focused()
        page.keyboard.type(person["sign_in"])
        page.keyboard.press("Tab")
        page.keyboard.type(person["passphrase"])
        page.keyboard.press("Enter")
        expect(page.locator("#alert")).to_be_hidden()
        try:
            page.wait_for_url(lambda url: "/login" not in url, timeout=60_000)
        except Error as late:
            raise AssertionError(f"still at {page.url}: {page.locator('main').inner_text()}") from late
        page.wait_for_load_state()
        return page

    def sign_out(self) -> None:
        self.page.locator('form[action="/session/end"] button').click()
        self.page.wait_for_url(lambda url: "/login" in url)

    def add_authenticator(self, *, prf: bool = True) -> tuple[CDPSession, str]:
        """A virtual authenticator (WebAuthn 3, section 11) that verifies its user."""
        devtools = self.context.new_cdp_session(self.page)
        devtools.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "hasPrf": prf,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        return devtools, devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]


_newcomers: Final = itertools.count(1)


def newcomer(given: str, family: str) -> tuple[str, str]:
    """A name and a sign-in name that nobody had before, so that a test that is tried again meets nobody of its first try."""
    number = next(_newcomers)
    return f"{given} {family} {number}", f"{given}.{family}{number}".lower()


def write_note(page: Page, words: str) -> None:
    """From a patient's chart, by keyboard."""
    page.keyboard.press("n")
    page.wait_for_url("**/notes/new")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type(words)
    page.locator("button[type=submit]:has-text('Save')").click()
    page.wait_for_url("**?saved=notes")


@contextmanager
def browser_at(
    trust: RunningTrust,
    profile: Path,
    *,
    language: str = "en-GB",
    more: Sequence[str] = (),
    pins: Sequence[str] = (),
    within: Sequence[str] = (),
    whole: bool = False,
) -> Iterator[Desk]:
    """`pins`: of further servers that this browser goes to. `within`: a command in front of the browser's own, such as one that enters a
    network namespace. `whole`: with its own dialogs and permissions."""
    with sync_playwright() as playwright:
        desk = _opened(playwright, trust, profile, language, more, pins, within, whole)
        try:
            yield desk
        finally:
            desk.context.close()


@contextmanager
def two_terminals(trust: RunningTrust, folder: Path) -> Iterator[tuple[Desk, Desk]]:
    """Two browsers that share nothing, as on two desks."""
    with sync_playwright() as playwright:
        desks = tuple(_opened(playwright, trust, folder / name, "en-GB", ()) for name in ("here", "there"))
        try:
            yield desks[0], desks[1]
        finally:
            for desk in desks:
                desk.context.close()


def _opened(
    playwright: Playwright,
    trust: RunningTrust,
    profile: Path,
    language: str,
    more: Sequence[str],
    pins: Sequence[str] = (),
    within: Sequence[str] = (),
    whole: bool = False,
) -> Desk:
    program = chromium() if whole else engine()
    if within:
        entered = profile.with_name(profile.name + "-program")
        entered.write_text(f'#!/bin/sh\nexec {shlex.join([*within, str(program)])} "$@"\n')
        entered.chmod(0o755)
        program = str(entered)
    context = playwright.chromium.launch_persistent_context(
        str(profile),
        executable_path=program,
        args=[*QUIET, *more, f"--ignore-certificate-errors-spki-list={','.join([pin_of(trust, within), *pins])}"],
        locale=language,
        viewport={"width": 1440, "height": 900},
    )
    context.set_default_timeout(60_000)
    desk = Desk(trust, context, context.pages[0])
    desk.page.on("pageerror", lambda error: desk.faults.append(str(error)))
    desk.page.on("console", lambda message: desk.faults.append(message.text) if "Content Security Policy" in message.text else None)
    return desk
