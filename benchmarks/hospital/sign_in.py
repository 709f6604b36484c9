"""From pressing the button to the first page of the work list, in Chromium, by passphrase and by passkey."""

from __future__ import annotations

import shutil
import time
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from benchmarks.hospital.bench import Bench
from benchmarks.measure import Result, at_most, missing, percentile

TIMES = 5
PASSPHRASE_GOAL, PASSKEY_GOAL = 1.5, 1.0
FIRST_PAGE = "main#main.page"
ARGUMENTS = ["--no-sandbox", "--ignore-certificate-errors"]  # as where the authority is known: with its service worker
ADDED = "**/account?*"
AUTHENTICATOR = {
    "protocol": "ctap2",
    "ctap2Version": "ctap2_1",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "hasPrf": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


async def run(bench: Bench) -> list[Result]:
    people = [person for person in bench.trust.sign_ins()["people"] if person["role"] == "nurse"]
    async with async_playwright() as playwright:
        try:
            browser = await _chromium(playwright)
        except Exception as absent:  # the edge of what this machine offers
            return [missing("sign-in to the first page", "s", f"no Chromium: {type(absent).__name__}")]
        try:
            passphrase = await _by_passphrase(bench, browser, people[0])
            passkey = await _by_passkey(bench, browser, people[1])
        finally:
            await browser.close()
    return [
        at_most("sign-in by passphrase to the work list, median", percentile(passphrase, 50), "s", PASSPHRASE_GOAL),
        at_most("sign-in by passkey to the work list, median", percentile(passkey, 50), "s", PASSKEY_GOAL),
    ]


async def _chromium(playwright: Any) -> Browser:
    try:
        browser: Browser = await playwright.chromium.launch(args=ARGUMENTS)
    except Exception:  # the edge: Playwright's own browser is not installed, the system's may be
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
    return browser


async def _page(bench: Bench, browser: Browser) -> Page:
    context = await browser.new_context(ignore_https_errors=True, base_url=bench.trust.base)
    return await context.new_page()


async def _sign_in(page: Page, person: dict[str, Any]) -> float:
    """Seconds from pressing the button."""
    await page.goto("/login")
    await page.fill("#name", person["sign_in"])
    await page.fill("#passphrase", person["passphrase"])
    began = time.perf_counter()
    await page.press("#passphrase", "Enter")
    await page.wait_for_selector(FIRST_PAGE)
    return time.perf_counter() - began


async def _end(page: Page) -> None:
    await page.evaluate("void fetch('/session/end', {method: 'POST'})")
    await page.wait_for_url("**/login*")  # the session's stream tells the page, which leaves


async def _by_passphrase(bench: Bench, browser: Browser, person: dict[str, Any]) -> list[float]:
    times = []
    for _ in range(TIMES):
        page = await _page(bench, browser)
        times.append(await _sign_in(page, person))
        await _end(page)
        await page.context.close()
    return times


async def _by_passkey(bench: Bench, browser: Browser, person: dict[str, Any]) -> list[float]:
    page = await _page(bench, browser)
    protocol = await page.context.new_cdp_session(page)
    await protocol.send("WebAuthn.enable")
    await protocol.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    await _sign_in(page, person)
    await page.goto("/account")
    await page.fill("#passphrase", person["passphrase"])
    async with page.expect_navigation(url=ADDED):
        await page.click("#passkey-button")
    times = []
    for _ in range(TIMES):
        await _end(page)
        await page.fill("#name", person["sign_in"])
        await page.wait_for_function("!document.querySelector('#use-passkey').disabled")
        began = time.perf_counter()
        await page.click("#use-passkey")
        await page.wait_for_selector(FIRST_PAGE)
        times.append(time.perf_counter() - began)
    await page.context.close()
    return times
