"""A colleague's request reaches a doctor at her desk by itself; her own pages say what she opened in need."""

from __future__ import annotations

import os
import re

from browser_rig import Desk
from playwright.sync_api import Page, expect
from running_trust import RunningTrust

REASON = "Chest pain, no history known here"
# The next request that the page makes by itself gets no answer, as on a bad line: it is made again before its next turn.
LOSE = """() => {
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function () {
    XMLHttpRequest.prototype.send = send;
    setTimeout(() => this.onerror());
  };
}"""


def shot(page: Page, name: str) -> None:
    if folder := os.environ.get("CLOISTER_TEST_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


def test_a_request_reaches_a_colleague_by_itself_and_a_red_line_says_what_is_open(trust: RunningTrust, desk: Desk) -> None:
    marc = trust.sign_in(trust.person(sign_in="marc.delorme")).client
    desk.sign_in(trust.person(sign_in="claire.vasseur"))
    page = desk.go("/patients")  # who comes back lands where they were, which may be a page without badges
    expect(page.locator("a.badge[href='/need']")).to_have_count(0)
    page.evaluate(LOSE)
    asked = marc.post("/need", data={"zone": "saint-roch-cardiology", "code": "transfer", "reason": REASON})
    assert asked.status_code == 303, asked.text
    expect(page.locator("a.badge[href='/need']")).to_be_visible(timeout=25_000)  # nobody loaded the page again
    page.locator("a.badge[href='/need']").click()
    expect(page.get_by_text(REASON)).to_be_visible()
    shot(page, "need-agree")
    page.locator("form[action$='/approve'] button").first.click()
    expect(page.get_by_text("You have answered.")).to_be_visible()
    assert re.search(r"/need/[^/]+/open", marc.get("/need/lists").text)
    page.locator("#zone").select_option("saint-roch-emergency")
    page.locator("#reason").fill(REASON)
    page.locator("button:has-text('Ask')").last.click()
    expect(page.locator(".need-banner")).to_be_visible()
    page.goto(f"{trust.base}/patients")
    expect(page.locator(".need-banner")).to_contain_text("Urgences")
    shot(page, "need-open")
    page.goto(f"{trust.base}/need")
    page.locator("form[action$='/end'] button").first.click()
    expect(page.locator(".need-banner")).to_have_count(0)
    marc.post("/session/end")
