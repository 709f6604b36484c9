"""People of the demo trust at their desks, in a real browser: what they see, and what they do not."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Final

import pytest
from browser_rig import Desk, write_note
from playwright.sync_api import Page, expect
from running_trust import RunningTrust

PATIENT: Final = re.compile(r"/patients/[0-9a-f-]{36}$")
CARDIOLOGY: Final = "saint-roch-cardiology"
LIME_TREES: Final = "sainte-anne-tilleuls"


def names(page: Page) -> set[str]:
    """The names on a list of patients."""
    return {text.strip() for text in page.locator("a.row-link").all_inner_texts()}


def page_of(trust: RunningTrust, person: dict[str, Any]) -> str:
    """The work list of somebody else, with all their wards."""
    return str(trust.sign_in(person).client.get("/?ward=all", headers={"accept": "text/html"}).text)


def open_first(page: Page) -> str:
    """With the keyboard: the first row, opened; the patient's name."""
    page.keyboard.press("j")
    name = page.evaluate("document.activeElement.textContent").strip()
    page.keyboard.press("Enter")
    page.wait_for_url(PATIENT)
    return str(name)


def test_a_ward_doctor_signs_in_opens_a_chart_writes_a_note_and_signs_out(trust: RunningTrust, desk: Desk) -> None:
    claire = trust.person(role="doctor", ward=CARDIOLOGY)
    page = desk.sign_in(claire)
    expect(page.locator(".who strong")).to_have_text(claire["name"])
    assert page.locator(".banner").count() == 0, "a banner stands for one patient, never on a list"
    name = open_first(page)
    expect(page.locator(".banner-name")).to_have_text(re.compile(re.escape(name)))
    expect(page.locator("svg.trend").first).to_be_visible()
    words = f"Dyspnée en régression, <b>sans</b> œdème. Essai {time.time_ns()}"
    write_note(page, words)
    expect(page.get_by_role("status")).to_contain_text("The note was saved.")
    page.locator("ul.notes a.entry").first.click()
    expect(page.locator(".note-text")).to_have_text(words)
    expect(page.locator(".note-text b")).to_have_count(0)
    desk.sign_out()
    page.go_back()
    page.wait_for_url(re.compile("/login"))


def test_no_page_is_wider_than_its_window_in_either_language(trust: RunningTrust, desk: Desk) -> None:
    page = desk.sign_in(trust.person(role="doctor", ward=CARDIOLOGY))
    for language in ("fr", "en"):
        choice = page.locator(f'form[action^="/language/{language}"] button')
        if choice.count():
            choice.click()
        expect(page.locator("html")).to_have_attribute("lang", language)
        for width, height in ((1280, 800), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            for path in ("/", "/account"):
                page.goto(trust.base + path)
                over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert over <= 0, (language, width, path, over)


def test_a_psychiatric_nurse_sees_the_ward_s_patients_and_no_other(trust: RunningTrust, desk: Desk) -> None:
    page = desk.sign_in(trust.person(role="nurse", ward=LIME_TREES))
    page.goto(f"{trust.base}/?ward=all")
    of_the_ward = names(page)
    listed = page_of(trust, trust.person(role="doctor", ward=CARDIOLOGY))
    others = re.findall(r'href="(/patients/[0-9a-f-]{36})">([^<]+)</a>', listed)
    assert others, "the other hospital has patients of its own"
    assert of_the_ward.isdisjoint(name for _, name in others)
    family = others[0][1].split(",")[0]
    page.goto(f"{trust.base}/patients")
    page.locator("#q").fill(family)
    page.keyboard.press("Enter")
    page.wait_for_load_state("networkidle")
    assert others[0][1] not in names(page)
    answer = page.goto(trust.base + others[0][0])
    assert answer is not None
    assert answer.status == 404
    expect(page.locator(".error-page")).to_be_visible()
    assert family.upper() not in page.locator("body").inner_text().upper()


def test_an_it_operator_sees_ciphertext_and_no_patient(trust: RunningTrust, desk: Desk) -> None:
    desk.sign_in(trust.person(role="it-operator"))
    page = desk.go("/console/ciphertext")  # signing in leads to where this operator was last
    expect(page.locator("table.cipher .hex").first).to_be_visible()
    assert page.locator("form[role=search]").count() == 0
    listed = re.findall(r'class="row-link" href="[^"]+">([^<,]+),', page_of(trust, trust.person(role="doctor", ward=CARDIOLOGY)))
    shown = page.content().upper()
    assert listed
    assert [family for family in listed if family.upper() in shown] == []
    for path in ("/patients", "/patients/4711"):
        answer = page.goto(trust.base + path)
        assert answer is not None
        assert answer.status == 403


def test_a_wrong_passphrase_is_said_in_words_and_nothing_is_lost(trust: RunningTrust, desk: Desk) -> None:
    yanis = trust.person(sign_in="yanis.benali")
    page = desk.go("/login?lang=fr")
    page.fill("#name", yanis["sign_in"])
    page.fill("#passphrase", "cerise-moulin")
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_contain_text("incorrects", timeout=20_000)
    assert page.locator("#name").input_value() == yanis["sign_in"]
    page.fill("#passphrase", yanis["passphrase"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{trust.base}/", timeout=20_000)
    expect(page.locator("html")).to_have_attribute("lang", "fr")


def test_a_passkey_is_enrolled_and_opens_the_next_session_with_one_gesture(trust: RunningTrust, desk: Desk) -> None:
    sophie = trust.person(sign_in="sophie.marchal")
    page = desk.sign_in(sophie)
    desk.add_authenticator()
    page.goto(f"{trust.base}/account")
    page.fill("#passphrase", sophie["passphrase"])
    page.fill("#passkey-label", "Badge")
    page.keyboard.press("Enter")
    page.wait_for_url("**/account?added=1", timeout=20_000)
    expect(page.locator("main table tbody tr")).to_have_count(2)
    desk.sign_out()
    page.fill("#name", sophie["sign_in"])
    page.locator("#use-passkey").click()
    page.wait_for_url(f"{trust.base}/", timeout=20_000)
    expect(page.locator(".who strong")).to_have_text(sophie["name"])


def test_a_passkey_without_the_secret_extension_is_refused_in_words(trust: RunningTrust, desk: Desk) -> None:
    nadia = trust.person(sign_in="nadia.haddad")
    page = desk.sign_in(nadia)
    desk.add_authenticator(prf=False)
    page.goto(f"{trust.base}/account")
    page.fill("#passphrase", nadia["passphrase"])
    page.keyboard.press("Enter")
    expect(page.locator("#passkey-alert")).to_have_attribute("data-reason", "prf-missing", timeout=20_000)


def test_everything_is_reached_by_keyboard_and_the_keys_are_listed(trust: RunningTrust, desk: Desk) -> None:
    page = desk.sign_in(trust.person(sign_in="antoine.leclerc"))
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    listed = {text.strip() for text in page.locator("#shortcuts kbd").all_inner_texts()}
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()
    open_first(page)
    used = set(page.eval_on_selector_all("[data-key]", "all => all.map((one) => one.dataset.key)"))
    assert used <= listed, "a key that works and is not listed"
    page.keyboard.press("t")
    page.wait_for_url("**/timeline")
    page.keyboard.press("/")
    page.keyboard.type("ma")
    page.keyboard.press("Enter")
    page.wait_for_url("**/patients")
    expect(page.locator("#q")).to_have_value("ma")


def test_a_locked_screen_shows_the_sign_in_and_comes_back_to_the_page(trust: RunningTrust, desk: Desk) -> None:
    lucas = trust.person(sign_in="lucas.perrin")
    page = desk.sign_in(lucas)
    page.locator('form[action="/session/lock"] button').click()
    page.wait_for_url(re.compile(r"/login\?locked=1"))
    expect(page.locator("#locked")).to_be_visible()
    answer = page.goto(f"{trust.base}/patients")
    assert answer is not None
    assert "/login" in page.url, "a locked session shows no page"


@pytest.mark.parametrize("path", ["/", "/patients", "/account"])
def test_every_field_and_button_has_a_name(trust: RunningTrust, desk: Desk, path: str) -> None:
    page = desk.sign_in(trust.person(sign_in="helene.caron"))
    page.goto(trust.base + path)
    nameless: list[Any] = page.evaluate(
        """() => [...document.querySelectorAll('a, button, input:not([type=hidden]):not([hidden]), select, textarea')].filter((one) =>
            !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)).map((one) => one.outerHTML)"""
    )
    assert nameless == []


# Text against the nearest ground behind it, WCAG 2.2 success criterion 1.4.3: 4.5, and 3 for large text.
CONTRAST: Final = (Path(__file__).parent / "contrast.js").read_text()


def test_every_text_has_enough_contrast(trust: RunningTrust, desk: Desk) -> None:
    page = desk.go("/login")
    assert page.evaluate(CONTRAST) == []
    page = desk.sign_in(trust.person(role="doctor", ward=CARDIOLOGY))
    assert page.evaluate(CONTRAST) == []
    open_first(page)
    chart = page.url
    for path in ("", "/timeline", "/results", "/observations", "/notes/new", "/problems/new", "/access"):
        page.goto(chart + path)
        assert page.evaluate(CONTRAST) == [], path
    page.goto(f"{trust.base}/patients/unknown")
    assert page.evaluate(CONTRAST) == []
