"""Who accepts the browser's warning, as the README says, has no service worker: browsers refuse one then. The pages prove by themselves."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from browser_rig import _TYPED, QUIET, Desk, chromium, write_note
from playwright.sync_api import Error, Page, expect, sync_playwright
from running_trust import RunningTrust

CARDIOLOGY = "saint-roch-cardiology"
PAGE = {"accept": "text/html"}


@pytest.fixture
def accepted(trust: RunningTrust) -> Iterator[Desk]:
    """A browser that knows nothing of the trust's authority, after a person went past its warning."""
    program = chromium()
    if program is None:
        pytest.skip("No Chromium on this machine; set CLOISTER_CHROMIUM to one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            page.goto(trust.base + "/login")
        page.wait_for_function("document.title === 'Privacy error'")
        page.keyboard.type("thisisunsafe")  # Chromium's word for the button "Proceed"
        page.wait_for_url("**/login")
        desk = Desk(trust, page.context, page)
        page.on("pageerror", lambda error: desk.faults.append(str(error)))
        yield desk
        assert desk.faults == []
        browser.close()


def typed(page: Page, address: str) -> None:
    with suppress(Error):  # "interrupted by another navigation": the detour's own
        _TYPED(page, address)
    page.wait_for_url(address)


def test_a_doctor_works_a_whole_day_without_a_service_worker(trust: RunningTrust, accepted: Desk) -> None:
    page = accepted.sign_in_here(trust.person(role="doctor", ward=CARDIOLOGY))
    assert page.evaluate("navigator.serviceWorker.controller") is None
    typed(page, f"{trust.base}/")
    family = page.locator("a.row-link").first.inner_text().split(",")[0]
    page.locator("a.row-link").first.click()
    page.wait_for_url(re.compile("/patients/[0-9a-f-]{36}"))
    chart = page.url
    words = f"Sans aide du navigateur. Essai {time.time_ns()}"
    write_note(page, words)
    page.locator("ul.notes a.entry").first.click()
    expect(page.locator(".note-text")).to_have_text(words)
    for _ in range(2):
        with suppress(Error):
            page.reload()
    expect(page.locator(".note-text")).to_have_text(words)

    typed(page, f"{trust.base}/patients")  # htmx asks while somebody types
    with page.expect_response(lambda answer: answer.status == 200 and "hx-request" in answer.request.headers):
        page.locator("#q").press_sequentially(family)
    expect(page.locator("a.row-link").first).to_contain_text(family)
    page.go_back()

    other = accepted.context.new_page()
    typed(other, chart)
    other.locator('form[action="/session/end"] button').click()
    other.wait_for_url("**/login")
    page.wait_for_url("**/login*")  # the session's stream has told this page


def test_why_there_is_no_passkey_is_said_by_name(trust: RunningTrust, accepted: Desk) -> None:
    """What Chromium says then, without the dialog that it shows now and then instead."""
    words = "WebAuthn is not supported on sites with TLS certificate errors."
    refuses = f"CredentialsContainer.prototype.create = async () => {{ throw new DOMException('{words}', 'NotAllowedError') }}"
    accepted.context.add_init_script(refuses)
    claire = trust.person(role="doctor", ward=CARDIOLOGY)
    page = accepted.sign_in_here(claire)
    page.locator("a.who").click()
    page.wait_for_url("**/account")
    page.fill("#passphrase", claire["passphrase"])
    page.keyboard.press("Enter")
    expect(page.locator("#passkey-alert")).to_have_attribute("data-reason", "passkey-certificate")
    expect(page.locator("#passkey-alert")).to_contain_text("Import the authority")
    accepted.sign_out()


def test_neither_the_cookies_nor_a_pass_of_another_step_open_anything(trust: RunningTrust, accepted: Desk) -> None:
    page = accepted.sign_in_here(trust.person(role="doctor", ward=CARDIOLOGY))
    typed(page, f"{trust.base}/account")

    def cookies_with_a_pass() -> dict[str, str]:
        body = "JSON.stringify({method: 'GET', path: '/patients'})"
        page.evaluate(f"fetch('/session/pass', {{method: 'POST', headers: {{'content-type': 'application/json'}}, body: {body}}})")
        return {one["name"]: one["value"] for one in accepted.context.cookies() if one["name"].startswith("__Host-")}

    stolen = cookies_with_a_pass()
    assert set(stolen) == {"__Host-ticket", "__Host-pass"}
    with trust.client(cookies=stolen, auth=None) as thief:
        assert_refused(thief.get("/fhir/R4/Patient"))
        assert_refused(thief.post("/session/pass", json={"method": "GET", "path": "/"}))  # a pass gets no pass
        assert_refused(thief.post("/patients", headers=PAGE))  # it is for another method; shown in the wrong place it is spent
        assert_refused(thief.get("/patients", headers=PAGE))
    with trust.client(cookies=cookies_with_a_pass(), auth=None) as thief:
        assert thief.get("/patients", headers=PAGE).status_code == 200  # what it is for, once
        assert_refused(thief.get("/patients", headers=PAGE))
    page.locator('form[action="/session/end"] button').click()


def assert_refused(answer: httpx.Response) -> None:
    assert answer.status_code in (303, 401)
    if answer.status_code == 303:
        assert answer.headers["location"].startswith("/login/prove#")
