"""Second factors as a person meets them: a telephone by its picture, codes on paper, signing in with a code; what is refused without
them has a number, and an access officer finds out by it why."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pyotp
from browser_rig import Desk
from playwright.sync_api import Page, expect
from running_trust import RunningTrust

NUMBER = re.compile(r"\d{5}-\d{5}")


def enrolled(desk: Desk) -> list[str]:
    """A telephone and ten codes on paper, by the page alone; the codes that have not been used."""
    page = desk.go("/account/second")
    page.locator("form[action='/account/second/totp'] button").click()
    expect(page.locator("section img[src^='data:image/svg+xml']")).to_be_visible()
    page.fill("#first-code", "000000")
    page.locator("form[action$='/confirm'] button").click()
    expect(page.locator(".error-page")).to_be_visible()
    page = desk.go("/account/second")
    page.locator("form[action='/account/second/totp'] button").click()
    phone = pyotp.TOTP(page.locator("section code").first.inner_text())
    page.fill("#first-code", phone.now())
    page.locator("form[action$='/confirm'] button").click()
    expect(page.get_by_role("status")).to_be_visible()
    page.locator("form[action$='/paper'] button").click()
    codes = page.locator("ol li code")
    expect(codes).to_have_count(10)
    return codes.all_inner_texts()


def asked_for_the_network(page: Page) -> dict[str, Any]:
    """As the page of network access does: the rule wants two factors, whatever this trust's VPN is."""
    ask = """async () => {
      const headers = { "content-type": "application/json", accept: "application/json" };
      const answer = await fetch("/network/certificate", { method: "POST", headers, body: JSON.stringify({ request: "AA==" }) });
      return answer.json();
    }"""
    return dict(page.evaluate(ask))


def with_code(desk: Desk, person: dict[str, Any], code: str) -> None:
    page = desk.page
    page.fill("#name", person["sign_in"])
    page.fill("#passphrase", person["passphrase"])
    if page.locator("#code-row").is_hidden():
        page.locator("#use-code").click()
    page.fill("#code", code)
    page.keyboard.press("Enter")


def test_a_second_factor_is_set_up_and_lifts_what_was_refused_and_an_officer_reads_why(trust: RunningTrust, desk: Desk) -> None:
    marc = trust.person(sign_in="marc.delorme")
    page = desk.sign_in(marc)
    refused = asked_for_the_network(page)
    assert (refused["error"], refused["remedy"]) == ("network-two-factors", "second-factor")
    number = NUMBER.search(refused["hint"])[0]  # type: ignore[index]
    codes = enrolled(desk)
    desk.sign_out()
    with_code(desk, marc, "AAAA-AAAA-AAAA")
    expect(page.locator("#alert")).to_be_visible(timeout=20_000)
    with_code(desk, marc, codes[0])
    page.wait_for_url(lambda url: "/login" not in url, timeout=20_000)
    assert asked_for_the_network(page)["error"] in ("vpn-none", "vpn-group", "field"), "the rule no longer stands in the way"
    desk.go("/refusals")
    expect(page.locator(".error-reason")).to_contain_text("other-office")
    expect(page.locator(".error-page")).to_contain_text(NUMBER)
    desk.sign_out()
    desk.sign_in_here(trust.person(role="access-officer"))
    desk.context.add_cookies([{"name": "language", "value": "en", "url": trust.base}])
    desk.go(f"/refusals?q={number}")
    card = page.locator(f"[data-number='{number}']")
    expect(card).to_contain_text("marc.delorme")
    expect(card).to_contain_text("two factors are needed")
    expect(card).to_contain_text("A second factor would lift it.")
    expect(page.locator("[data-number]")).to_have_count(1)
    desk.go("/refusals?q=marc.delorme")
    expect(page.locator("[data-number]").nth(1)).to_be_visible()  # and whatever else he was refused in this trust
    why = subprocess.run(
        [sys.executable, "-m", "cloister.cli", "policy", "why", number], env=trust.environment, capture_output=True, text=True
    )
    assert "network-two-factors" in why.stdout, why.stderr
    assert "a second factor" in why.stdout
