"""The three parties of a recovery, each in a browser of its own: a drill from the first click to the canary's words."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from browser_rig import QUIET, Desk, chromium, engine, pin_of
from playwright.sync_api import Page, expect, sync_playwright
from running_trust import RunningTrust

HOME = "/offices/recovery"


@pytest.fixture
def desks(trust: RunningTrust) -> Iterator[dict[str, Desk]]:
    if chromium() is None:
        pytest.skip("No Chromium on this machine; set CLOISTER_CHROMIUM to one.")
    with sync_playwright() as playwright:
        arguments = [*QUIET, f"--ignore-certificate-errors-spki-list={pin_of(trust)}"]
        browser = playwright.chromium.launch(executable_path=engine(), args=arguments)
        opened = {}
        for role in ("access-officer", "certificate-officer", "management"):
            context = browser.new_context(locale="en-GB")
            desk = opened[role] = Desk(trust, context, context.new_page())
            desk.page.on("pageerror", lambda error, desk=desk: desk.faults.append(str(error)))
            desk.sign_in(trust.person(role=role))
        yield opened
        browser.close()
        assert [fault for desk in opened.values() for fault in desk.faults] == []


def submit(page: Page, step: str) -> None:
    page.locator(f"form[data-step={step}] button").click()


def test_a_drill_in_three_browsers_opens_the_canary(trust: RunningTrust, desks: dict[str, Desk]) -> None:
    papers = json.loads((trust.state / "demo" / "recovery.json").read_text())
    management = desks["management"].go(HOME)
    management.fill("#reason", "yearly drill in the browser")
    submit(management, "open")
    management.wait_for_url("**/offices/recovery/*-*")
    path = management.url.removeprefix(trust.base)

    medical = desks["access-officer"].go(path)
    submit(medical, "join")
    expect(medical.locator("#ceremony")).to_have_attribute("data-state", "seated")

    it = desks["certificate-officer"].go(path)
    it.fill("#passphrase", "not-the-passphrase-of-it")
    submit(it, "escrow")
    expect(it.locator("#ceremony-alert")).to_contain_text("not the passphrase of the recovery data")
    it.fill("#passphrase", papers["passphrase"])
    submit(it, "escrow")
    expect(it.locator("#ceremony")).to_have_attribute("data-state", "escrow-given", timeout=20_000)

    management.goto(trust.base + path)
    management.set_input_files("#card", papers["cards"]["A"])
    submit(management, "card")
    expect(management.locator("#ceremony")).to_have_attribute("data-state", "ready", timeout=20_000)

    medical.goto(trust.base + path)
    medical.fill("#pin", "00000-00000-00000-00000")
    submit(medical, "finish")
    expect(medical.locator("#ceremony-alert")).to_contain_text("PIN does not open the card", timeout=20_000)
    medical.fill("#pin", papers["pins"]["A"])
    submit(medical, "finish")
    expect(medical.locator("#ceremony-result")).to_have_text("This canary was opened by three parties together.", timeout=20_000)
    expect(medical.locator("#ceremony")).to_have_attribute("data-state", "done")
    expect(desks["management"].go(HOME).get_by_role("link", name="Yearly drill, recovery-canary").first).to_be_visible()
