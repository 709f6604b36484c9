"""The two offices in a real browser: somebody new is enrolled, compared, certified, asks for a zone, is granted it, and loses it."""

from __future__ import annotations

import re

import pytest
from browser_rig import Desk, newcomer
from playwright.sync_api import Page, expect
from running_trust import RunningTrust

PASSPHRASE = "bouleau-vitrail-compas-orage"
CARDIOLOGY = "saint-roch-cardiology"


def enrol(desk: Desk, name: str, code: str) -> str:
    """At /enrol, with a passkey; the words that the page shows."""
    page = desk.go("/enrol?lang=en")
    page.fill("#name", name)
    page.fill("#code", code)
    page.fill("#passphrase", PASSPHRASE)
    page.fill("#again", PASSPHRASE)
    page.locator("#button").click()
    expect(page.locator("#done")).to_be_visible(timeout=20_000)
    return page.locator("#fingerprint").inner_text()


def register(page: Page, trust: RunningTrust, name: str, sign_in: str) -> str:
    page.goto(f"{trust.base}/offices/applicants")
    page.fill("#new-name", name)
    page.fill("#sign_in", sign_in)
    page.select_option("#role", "nurse")
    page.select_option("#hospital", "saint-roch")
    page.locator("main form[action='/offices/applicants'] button").click()
    return page.locator("#new-code code").inner_text()


def test_somebody_new_brings_keys_is_certified_asks_and_is_granted(trust: RunningTrust, desk: Desk) -> None:
    name, sign_in = newcomer("Nina", "Roux")
    for officer in ("sebastien.lemoine", "benedicte.arnaud"):
        trust.end_session_of(officer)
    page = desk.sign_in(trust.person(sign_in="sebastien.lemoine"))
    page.wait_for_url("**/offices/people")
    code = register(page, trust, name, sign_in)
    desk.sign_out()

    desk.add_authenticator()
    page = desk.go("/enrol?lang=en")
    page.fill("#name", sign_in)
    page.fill("#code", "AAAAA-AAAAA-AAAAA-AAAAA")
    page.fill("#passphrase", PASSPHRASE)
    page.fill("#again", PASSPHRASE)
    page.locator("#button").click()
    expect(page.locator("#alert")).to_have_attribute("data-reason", "code-wrong")
    words = enrol(desk, sign_in, code)
    assert len(words.split()) == 7

    page = desk.sign_in(trust.person(sign_in="sebastien.lemoine"))
    page.goto(f"{trust.base}/offices/applicants")
    page.locator("a.row-link", has_text=name).click()
    page.fill("#words-heard", "acorn " * 7)
    page.locator("main form[action$='/certify'] button").click()
    expect(page.locator("[role=alert]")).to_contain_text("not the words of these keys")
    page.fill("#words-heard", words)
    page.locator("main form[action$='/certify'] button").click()
    page.wait_for_url("**?done=certified")
    desk.sign_out()

    nina = {"sign_in": sign_in, "passphrase": PASSPHRASE}
    page = desk.sign_in(nina)
    page.goto(f"{trust.base}/access-request")
    page.select_option("#zone", CARDIOLOGY)
    page.select_option("#right", "write")
    page.fill("#reason", "New on the ward, nights in December")
    page.locator("main form[action='/access-request'] button").click()
    page.wait_for_url("**?done=asked")
    desk.sign_out()

    page = desk.sign_in(trust.person(sign_in="benedicte.arnaud"))
    page.wait_for_url("**/offices/zones")
    expect(page.locator("a.row-link").first).to_be_visible()
    page.goto(f"{trust.base}/offices/asked")
    row = page.locator("section.card", has_text=name)
    expect(row).to_contain_text("nights in December")
    row.locator("form[action$='/grant'] button").click()
    page.wait_for_load_state()
    page.goto(f"{trust.base}/offices/zones/{CARDIOLOGY}")
    expect(page.locator("tr", has_text=name)).to_contain_text("nights in December")
    desk.sign_out()

    page = desk.sign_in(nina)
    expect(page.locator("a.row-link").first).to_be_visible()
    desk.sign_out()

    page = desk.sign_in(trust.person(sign_in="benedicte.arnaud"))
    page.goto(f"{trust.base}/offices/zones/{CARDIOLOGY}")
    row = page.locator("tr", has_text=name)
    row.locator("summary").click()
    row.locator("input[name=reason]").fill("Back to her own ward")
    row.locator("button.btn-danger").click()
    page.wait_for_url("**?done=ended", timeout=30_000)
    expect(page.locator("tr", has_text=name)).to_have_count(0)
    desk.sign_out()
    page = desk.sign_in(nina)
    assert page.locator("a.row-link").count() == 0


def test_a_passkey_without_the_secret_extension_is_said_plainly_at_enrolment(trust: RunningTrust, desk: Desk) -> None:
    name, sign_in = newcomer("Paul", "Leroy")
    page = desk.sign_in(trust.person(sign_in="laure.besson"))
    code = register(page, trust, name, sign_in)
    desk.sign_out()
    desk.add_authenticator(prf=False)
    page = desk.go("/enrol?lang=en")
    page.fill("#name", sign_in)
    page.fill("#code", code.lower())
    page.fill("#passphrase", PASSPHRASE)
    page.fill("#again", PASSPHRASE)
    page.locator("#button").click()
    expect(page.locator("#alert")).to_have_attribute("data-reason", "prf-needed", timeout=20_000)
    expect(page.locator("#alert")).to_contain_text("your code is still good")


@pytest.mark.parametrize(("sign_in", "paths"), [
    ("sebastien.lemoine", ("/offices/people", "/offices/applicants")),
    ("etienne.roche", ("/offices/zones", "/offices/zones/saint-roch", "/offices/who", "/offices/asked")),
    ("claire.vasseur", ("/access-request",)),
])  # fmt: skip
def test_each_office_s_pages_open_for_it_and_for_no_other(trust: RunningTrust, desk: Desk, sign_in: str, paths: tuple[str, ...]) -> None:
    page = desk.sign_in(trust.person(sign_in=sign_in))
    for path in paths:
        answer = page.goto(trust.base + path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("h1").count() == 1
    for path in {"/offices/people", "/offices/zones"} - set(paths):
        answer = page.goto(trust.base + path)
        assert answer is not None
        assert answer.status == 403, path


def test_an_officer_sees_what_one_person_opens_and_why(trust: RunningTrust, desk: Desk) -> None:
    page = desk.sign_in(trust.person(sign_in="etienne.roche"))
    page.goto(f"{trust.base}/offices/who?q=Vasseur")
    page.locator("a.row-link", has_text="Claire Vasseur").click()
    expect(page.locator("main table")).to_contain_text("Cardiologie")
    expect(page.locator("main table")).to_contain_text(re.compile("Arnaud|racine|root"))
