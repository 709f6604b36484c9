"""Signing in with other people's programs: by the hospital's directory and a code, by a provider elsewhere, into an application of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyotp
import pytest
import slapd_rig
from browser_rig import Desk, browser_at, chromium, pin_of_port
from openid_rig import Provider, application_of_the_hospital, command, provider_known_as
from playwright.sync_api import Page, expect
from running_trust import RunningTrust

from cloister.base.secret import Secret
from cloister.base.settings import read_settings
from cloister.cli.database import owner
from cloister.gateway import sign_ins

DOCTOR: Final = "mathieu.roussel"
PASSWORD: Final = "The-hospitals-own-password-1"
ELSEWHERE: Final = "mathieu-of-the-region"
LINK: Final = """
    insert into estate.directory_account (directory, id, account, dn, name, mail, person)
    select $1, $2, $3, $4, $5, '', id from trust.person where sign_in = $3
    on conflict (directory, id) do update set person = excluded.person"""


@pytest.fixture
def directory(trust: RunningTrust, tmp_path: Path) -> Iterator[slapd_rig.Slapd]:
    """The hospital's directory, in which the doctor's account is linked, as an officer's word on a proposal links it."""
    if slapd_rig.missing():
        pytest.skip(slapd_rig.missing())
    with slapd_rig.open_ldap() as running:
        running.change(slapd_rig.person(DOCTOR, "Mathieu Roussel", PASSWORD))
        (tmp_path / "password").write_text(slapd_rig.PASSWORD)
        (tmp_path / "ca.pem").write_text(running.ca)
        options = ["--kind", "medical", "--schema", "rfc2307", "--url", running.url, "--base", slapd_rig.BASE, "--bind", slapd_rig.READER]
        files = ["--password-file", str(tmp_path / "password"), "--ca", str(tmp_path / "ca.pem")]
        assert "people are there" in command(trust, "directory", "add", "school", *options, *files)
        known = sign_ins.Directory(
            id="school", kind="medical", priority=1, urls=(running.url,), base=slapd_rig.BASE, bind=slapd_rig.READER,
            password=Secret(slapd_rig.PASSWORD.encode()), ca=running.ca, schema="rfc2307",
        )  # fmt: skip
        (account,) = sign_ins.Ldap(known).people()
        asyncio.run(_link(trust, account.id, account.dn, account.name))
        yield running
        command(trust, "directory", "remove", "school")


async def _link(trust: RunningTrust, id: str, dn: str, name: str) -> None:
    async with owner(read_settings(trust.environment), writing=True) as connection:
        await connection.execute(LINK, "school", id, DOCTOR, dn, name)


def signed_in(page: Page, name: str) -> None:
    page.wait_for_url(lambda url: "/login" not in url, timeout=30_000)
    page.wait_for_load_state()
    expect(page.locator(".who strong")).to_have_text(name, timeout=30_000)


def test_a_directorys_password_and_a_code_prove_and_the_passphrase_opens(
    directory: slapd_rig.Slapd, trust: RunningTrust, desk: Desk
) -> None:
    doctor: dict[str, Any] = trust.person(sign_in=DOCTOR)
    page = desk.sign_in(doctor)
    page.goto(f"{trust.base}/account/second")
    page.locator("form[action='/account/second/totp'] button").click()
    phone = pyotp.TOTP(str(page.locator("code").first.text_content()))
    page.locator("#first-code").fill(phone.now())
    page.locator("form[action$='/confirm'] button").click()
    page.wait_for_url("**/account/second?done=totp")
    desk.sign_out()
    page.goto(f"{trust.base}/login")
    page.locator("#name").fill(DOCTOR)
    page.locator("#passphrase").fill(doctor["passphrase"])
    page.locator("#use-directory").click()
    expect(page.locator("#alert")).to_have_attribute("data-reason", "directory-missing")
    page.locator("#use-code").click()
    page.locator("#code").fill(phone.at(time.time() + 30))  # the code of the next half minute, which a clock may show already
    page.locator("#password").fill("another")
    page.locator("#use-directory").click()
    expect(page.locator("#alert")).to_have_attribute("data-reason", "wrong", timeout=20_000)
    page.locator("#password").fill(PASSWORD)
    page.locator("#use-directory").click()
    signed_in(page, doctor["name"])
    page.goto(f"{trust.base}/account/second")
    page.locator("form[action$='/remove'] button").click()
    desk.sign_out()


@pytest.fixture
def provider(trust: RunningTrust, tmp_path: Path) -> Iterator[Provider]:
    with provider_known_as(trust, tmp_path, "region", "Region", [(ELSEWHERE, DOCTOR)]) as running:
        yield running


def test_somebody_comes_from_another_provider_and_opens_their_keys_here(provider: Provider, trust: RunningTrust, tmp_path: Path) -> None:
    if chromium() is None:
        pytest.skip("No Chromium on this machine; set CLOISTER_CHROMIUM to one.")
    doctor = trust.person(sign_in=DOCTOR)
    with browser_at(trust, tmp_path / "profile", pins=[pin_of_port(int(provider.issuer.rpartition(":")[2]))]) as desk:
        page = desk.page
        page.context.add_cookies([{"name": "account", "value": "a-stranger", "url": provider.issuer}])
        page.goto(f"{trust.base}/login")
        page.get_by_role("link", name="Region").click()
        expect(page.locator("#alert")).to_have_attribute("data-reason", "provider-unlinked", timeout=20_000)
        page.context.clear_cookies()
        page.context.add_cookies([{"name": "account", "value": ELSEWHERE, "url": provider.issuer}])
        page.goto(f"{trust.base}/login")
        page.get_by_role("link", name="Region").click()
        expect(page.locator("#proved")).to_be_visible(timeout=20_000)
        expect(page.locator("#name")).to_be_hidden()
        assert "proved" not in page.url  # the word is in no history
        page.locator("#passphrase").fill(doctor["passphrase"])
        page.keyboard.press("Enter")
        signed_in(page, doctor["name"])
        desk.sign_out()
        assert desk.faults == []


def test_an_application_of_the_hospital_knows_whom_the_trust_lets_in(trust: RunningTrust, desk: Desk) -> None:
    doctor = trust.person(sign_in=DOCTOR)
    with application_of_the_hospital(trust, "canteen", "Canteen") as address:
        page = desk.page
        page.goto(address)
        page.wait_for_url(lambda url: "/login" in url, timeout=30_000)
        page.locator("#name").fill(doctor["sign_in"])
        page.locator("#passphrase").fill(doctor["passphrase"])
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/smart/consent" in url.partition("?")[0], timeout=30_000)  # the sign-in names it, too
        expect(page.locator("h1")).to_contain_text("Canteen", timeout=30_000)
        page.locator("button[value=allow]").click()
        page.wait_for_url(lambda url: url.startswith(address), timeout=30_000)
        expect(page.locator("body")).to_have_text(f"Good morning, {doctor['name']} ({DOCTOR})", timeout=30_000)
        page.goto(address)  # a person who is signed in, and says no
        page.wait_for_url(lambda url: "/smart/consent" in url.partition("?")[0], timeout=30_000)  # the sign-in names it, too
        page.locator("button[value=refuse]").click()
        page.wait_for_url(lambda url: url.startswith(address), timeout=30_000)
        expect(page.locator("body")).to_have_text("access_denied", timeout=30_000)
        desk.go("/")
        desk.sign_out()
