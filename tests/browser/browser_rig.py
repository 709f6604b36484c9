"""Chromium as a person uses it: an own profile, the trust's certificate known, and everything that went wrong kept."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import BrowserContext, CDPSession, Error, Page, expect, sync_playwright
from running_trust import RunningTrust

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


def pin_of(trust: RunningTrust) -> str:
    """The digest of the server's public key. WebAuthn refuses a page whose certificate was merely ignored."""
    port = int(trust.base.rsplit(":", 1)[1])
    leaf = x509.load_pem_x509_certificate(ssl.get_server_certificate(("localhost", port)).encode())
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
        page = self.go("/login")
        expect(page.locator("#name")).to_be_focused()
        page.keyboard.type(person["sign_in"])
        page.keyboard.press("Tab")
        page.keyboard.type(person["passphrase"])
        page.keyboard.press("Enter")
        expect(page.locator("#alert")).to_be_hidden()
        page.wait_for_url(lambda url: "/login" not in url, timeout=20_000)
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


@contextmanager
def browser_at(trust: RunningTrust, profile: Path, *, language: str = "en-GB", more: Sequence[str] = ()) -> Iterator[Desk]:
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=chromium(),
            args=[*QUIET, *more, f"--ignore-certificate-errors-spki-list={pin_of(trust)}"],
            locale=language,
            viewport={"width": 1440, "height": 900},
        )
        desk = Desk(trust, context, context.pages[0])
        desk.page.on("pageerror", lambda error: desk.faults.append(str(error)))
        desk.page.on("console", lambda message: desk.faults.append(message.text) if "Content Security Policy" in message.text else None)
        try:
            yield desk
        finally:
            context.close()
