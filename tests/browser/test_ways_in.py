"""One's own ways in, in a real browser: a new passphrase, proved by the old one or by a passkey; what may go and what stays."""

from __future__ import annotations

from typing import Any

from browser_rig import Desk
from playwright.sync_api import Page, expect
from running_trust import RunningTrust

FIRST = "tilleul-horloge-sable-canal"
SECOND = "ardoise-fougere-lampe-brise"


def change(page: Page, trust: RunningTrust, old: str, new: str) -> None:
    page.goto(f"{trust.base}/account")
    page.fill("#old-passphrase", old)
    page.fill("#new-passphrase", new)
    page.fill("#again-passphrase", new)
    page.locator("#change-button").click()


def add_passkey(page: Page, trust: RunningTrust, passphrase: str) -> None:
    page.goto(f"{trust.base}/account")
    page.fill("#passphrase", passphrase)
    page.locator("#passkey-button").click()
    page.wait_for_url("**/account?added=1", timeout=20_000)


def test_a_passphrase_is_changed_with_the_old_one_and_then_with_a_passkey(trust: RunningTrust, desk: Desk) -> None:
    olivier: dict[str, Any] = trust.person(sign_in="olivier.picard")
    page = desk.sign_in(olivier)
    change(page, trust, "not the old one at all", FIRST)
    expect(page.locator("#change-alert")).to_have_attribute("data-reason", "wrong", timeout=20_000)
    change(page, trust, olivier["passphrase"], FIRST)
    page.wait_for_url("**/account?added=passphrase", timeout=20_000)
    desk.sign_out()
    page.fill("#name", olivier["sign_in"])
    page.fill("#passphrase", olivier["passphrase"])
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_be_visible(timeout=20_000)
    page = desk.sign_in({**olivier, "passphrase": FIRST})
    desk.add_authenticator()
    add_passkey(page, trust, FIRST)
    change(page, trust, "", SECOND)
    page.wait_for_url("**/account?added=passphrase", timeout=20_000)
    desk.sign_out()
    page = desk.sign_in({**olivier, "passphrase": SECOND})
    expect(page.locator(".who strong")).to_have_text(olivier["name"])


def test_a_lost_passkey_is_removed_while_two_ways_stay(trust: RunningTrust, desk: Desk) -> None:
    bruno = trust.person(sign_in="bruno.tessier")
    page = desk.sign_in(bruno)
    for _ in range(2):
        devtools, number = desk.add_authenticator()
        add_passkey(page, trust, bruno["passphrase"])
        devtools.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": number})
    remove = page.locator("form[action$='/remove'] button")
    expect(remove).to_have_count(2)
    remove.first.click()
    page.wait_for_url("**/account?added=removed")
    expect(page.locator("form[action$='/remove'] button")).to_have_count(0)
    expect(page.locator("main table tbody tr")).to_have_count(2)
