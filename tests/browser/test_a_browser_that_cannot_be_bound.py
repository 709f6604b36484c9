"""A browser without service workers, or without a place to keep a key, is told so before anything is typed, with what to do."""

from __future__ import annotations

import pytest
from browser_rig import Desk
from playwright.sync_api import expect

WITHOUT = {
    "service workers": "delete Navigator.prototype.serviceWorker",
    "a place for keys": "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError') }",
}


@pytest.mark.parametrize("missing", WITHOUT)
def test_a_browser_that_cannot_be_bound_is_told_what_to_do(desk: Desk, missing: str) -> None:
    desk.context.add_init_script(WITHOUT[missing])
    page = desk.go("/login")
    expect(page.locator("#unbound")).to_be_visible(timeout=15_000)
    assert "private" in page.locator("#unbound").inner_text()
    page.locator("#name").fill("claire.vasseur")
    page.locator("#passphrase").fill("something")
    page.locator("button[type=submit]").click()
    expect(page.locator("#alert")).to_have_attribute("data-reason", "no-binding", timeout=15_000)
    page.goto(desk.trust.base + "/login?lang=fr")
    expect(page.locator("#unbound")).to_contain_text("navigation privée", timeout=15_000)


def test_a_browser_that_can_is_told_nothing(desk: Desk) -> None:
    page = desk.go("/login")
    page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    expect(page.locator("#unbound")).to_be_hidden()
