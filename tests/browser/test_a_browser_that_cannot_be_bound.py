"""A browser without a place to keep a key is told so before anything is typed, with what to do. One without service workers works on."""

from __future__ import annotations

from browser_rig import Desk
from playwright.sync_api import expect

NO_PLACE_FOR_KEYS = "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError') }"
NO_WORKERS = "delete Navigator.prototype.serviceWorker"


def test_a_browser_that_cannot_be_bound_is_told_what_to_do(desk: Desk) -> None:
    desk.context.add_init_script(NO_PLACE_FOR_KEYS)
    page = desk.go("/login")
    expect(page.locator("#unbound")).to_be_visible(timeout=15_000)
    assert "private" in page.locator("#unbound").inner_text()
    page.locator("#name").fill("claire.vasseur")
    page.locator("#passphrase").fill("something")
    page.locator("button[type=submit]").click()
    expect(page.locator("#alert")).to_have_attribute("data-reason", "no-binding", timeout=15_000)
    page.goto(desk.trust.base + "/login?lang=fr")
    expect(page.locator("#unbound")).to_contain_text("navigation privée", timeout=15_000)


def test_a_browser_without_service_workers_signs_in_and_goes_on(desk: Desk) -> None:
    desk.context.add_init_script(NO_WORKERS)
    claire = desk.trust.person(sign_in="claire.vasseur")
    page = desk.sign_in(claire)
    expect(page.locator(".who strong")).to_have_text(claire["name"])
    page.locator("a.who").click()
    page.wait_for_url("**/account")
    desk.sign_out()


def test_a_browser_that_can_is_told_nothing(desk: Desk) -> None:
    page = desk.go("/login")
    page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    expect(page.locator("#unbound")).to_be_hidden()
