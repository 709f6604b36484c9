"""Nobody sits at the desk any more: the page warns, the session locks, and the screen shows the sign-in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from browser_rig import Desk, browser_at, chromium
from playwright.sync_api import expect
from running_trust import RunningTrust, running_trust

IDLE_SECONDS: Final = 24  # long enough for a sign-in beside other tests, which are many

# The page asks by itself and goes away by itself: only where it ends up is certain, not how many navigations it takes.
LOCKED: Final = re.compile(r"/login\?locked=1")


@pytest.fixture(scope="module")
def hasty() -> Iterator[RunningTrust]:
    if chromium() is None:
        pytest.skip("No Chromium on this machine; set CLOISTER_CHROMIUM to one.")
    with running_trust(CLOISTER_DEMO_PATIENTS="0", CLOISTER_IDLE_LOCK_SECONDS=str(IDLE_SECONDS)) as running:
        yield running


def test_an_idle_screen_warns_and_then_locks(hasty: RunningTrust, tmp_path: Path) -> None:
    with browser_at(hasty, tmp_path / "profile") as desk:
        page = desk.sign_in(hasty.person(sign_in="claire.vasseur"))
        expect(page.locator("#idle")).to_be_visible(timeout=IDLE_SECONDS * 1_000)
        page.keyboard.press("Enter")  # still here
        expect(page.locator("#idle")).to_be_hidden()
        expect(page.locator("#idle")).to_be_visible(timeout=IDLE_SECONDS * 1_000)
        expect(page).to_have_url(LOCKED, timeout=(IDLE_SECONDS + 10) * 1_000)
        expect(page.locator("#locked")).to_be_visible()


def test_somebody_who_types_is_not_locked_out(hasty: RunningTrust, tmp_path: Path) -> None:
    with browser_at(hasty, tmp_path / "profile") as desk:
        page = desk.sign_in(hasty.person(sign_in="adele.morel"))
        page.goto(f"{hasty.base}/patients")
        for _ in range(IDLE_SECONDS + 6):
            page.locator("#q").press("Shift")
            page.wait_for_timeout(1_000)
        assert page.url.endswith("/patients")
        still(desk)


def still(desk: Desk) -> None:
    desk.page.reload()
    assert "/login" not in desk.page.url


def test_a_page_that_fetches_its_lists_by_itself_keeps_nobody_signed_in(hasty: RunningTrust, tmp_path: Path) -> None:
    with browser_at(hasty, tmp_path / "profile") as desk:
        page = desk.sign_in(hasty.person(sign_in="antoine.leclerc"))
        page.goto(f"{hasty.base}/need")  # asks every four seconds, which is nothing that its person did
        # That the page leaves is what counts. Chromium's renderer sometimes dies on the way, with requests of this page under way.
        page.wait_for_event(
            "request",
            lambda request: request.is_navigation_request() and bool(LOCKED.search(request.url)),
            timeout=(IDLE_SECONDS + 15) * 1_000,
        )
