"""An operator's days at the console, in a real browser: the whole farm in one picture, people's sessions, messages and ends; draining,
power, delivery groups and curves. By mouse and keyboard, in English and French."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from browser_rig import Desk, chromium, two_terminals
from playwright.sync_api import Page, expect
from running_trust import RunningTrust, SignedIn

SERVERS: Final = 1400
CARDIOLOGY: Final = "saint-roch-cardiology"
# As many servers as a large trust has, not heard of for an hour, so that nobody is placed there; the one that runs this test comes on top.
ESTATE: Final = f"""
import asyncio
from cloister.base.settings import read_settings
from cloister.cli.database import owner

async def fill():
    async with owner(read_settings(), writing=True) as connection:
        await connection.execute('''
            insert into estate.application (id, name, kind) values ('letters', 'Letters', 'window') on conflict do nothing;
            insert into estate.licence_pool (application, seats) values ('letters', 40) on conflict do nothing;
            insert into estate.licence_usage (application, at, seats, used)
            select 'letters', at, 40, 20 + n % 17 from generate_series(0, 500) n, lateral (select now() - n * interval '1 hour' as at) x
            on conflict do nothing;
            insert into estate.server (id, slots, state, free, load, seen)
            values ('spare', 20, 'off', 20, 0, now() - interval '1 hour') on conflict do nothing;
            insert into estate.server (id, slots, state, free, load, groups, why, seen)
            select 'srv-' || lpad(n::text, 4, '0'), 20, case n % 20 when 3 then 'off' when 7 then 'draining' else 'ready' end, 20 - n % 21,
                   n % 3, '{{default}}', '', now() - interval '1 hour' from generate_series(1, {SERVERS}) n on conflict do nothing''')

asyncio.run(fill())
"""
CLEAR: Final = """
import asyncio
from cloister.base.settings import read_settings
from cloister.cli.database import owner

async def clear():
    async with owner(read_settings(), writing=True) as connection:
        await connection.execute('''
            delete from estate.server where id like 'srv-%' or id = 'spare'; delete from estate.delivery_group where id = 'icu';
            delete from estate.licence_usage where application = 'letters'; delete from estate.licence_pool where application = 'letters';
            delete from estate.application where id = 'letters';
            delete from estate.power_machine where server = 'spare' ''')

asyncio.run(clear())
"""


@pytest.fixture(scope="module")
def large(trust: RunningTrust) -> Iterator[RunningTrust]:
    subprocess.run([sys.executable, "-c", ESTATE], env=trust.environment, check=True)
    yield trust
    subprocess.run([sys.executable, "-c", CLEAR], env=trust.environment, check=True)


@pytest.fixture
def terminals(large: RunningTrust, tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    if chromium() is None:
        pytest.skip("No Chromium on this machine; set CLOISTER_CHROMIUM to one.")
    with two_terminals(large, tmp_path) as both:
        yield both
        assert [desk.faults for desk in both] == [[], []]


def test_damien_sees_1400_servers_finds_claire_tells_her_something_and_ends_her_session(
    large: RunningTrust, terminals: tuple[Desk, Desk]
) -> None:
    console, ward = terminals
    claire = large.person(role="doctor", ward=CARDIOLOGY)
    her = ward.sign_in(claire)
    console.sign_in(large.person(role="it-operator"))
    page = console.go("/console")  # where signing in leads if nothing is open yet; the same operator may have left another page open
    expect(page.locator("#farm .tile")).to_have_count(SERVERS + 2, timeout=30_000)
    page.locator("#farm .tile").first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#server h2")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    expect(page.locator("#farm-sums dt")).to_have_text(["servers", "ready", "off", "silent", "sessions", "active", "free places"])

    page.goto(f"{large.base}/console/sessions")
    page.locator("#q").evaluate("field => field.blur()")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type(claire["sign_in"])
    expect(page.locator("#q")).to_have_value(claire["sign_in"])  # the key that led here is no letter of the name
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/sessions?q=*")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody a").first.click()
    expect(page.locator("h1")).to_have_text(claire["name"])
    expect(page.locator(".why-lines")).to_contain_text("chosen by")
    page.get_by_label("Text", exact=False).first.fill("The lift is out of order.")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_contain_text("Told 1 of 1")
    expect(her.locator("#notices")).to_contain_text("The lift is out of order.")
    with her.expect_response("**/seen"):
        her.locator("#notices button").click()
    page.reload()
    expect(page.locator("tbody tr").first).to_contain_text("1 / 1")
    expect(page.locator("tbody tr td").nth(5)).to_have_text("1")

    page.goto(f"{large.base}/console/sessions?q={claire['sign_in']}")
    page.get_by_role("button", name="End").click()
    expect(page.get_by_role("status")).to_contain_text("Ended 1 of 1")
    expect(her.locator("#cover")).to_contain_text("has ended")

    page.locator('form[action^="/language/fr"] button').click()
    page.goto(f"{large.base}/console")
    expect(page.locator("#farm-sums")).to_contain_text("serveurs")
    page.goto(f"{large.base}/console/curves")
    expect(page.locator("h1")).to_have_text("Licences et énergie")


# --- acts, with one browser; who is acted upon comes without one ------------------------------------------------


@pytest.fixture
def switchable(large: RunningTrust, tmp_path: Path) -> Iterator[Path]:
    """A machine named 'spare' that the controller may switch (driver `local`); the folder in which it keeps what runs."""
    machines, folder = large.state / "secrets" / "machines.json", Path("/tmp") / f"spare-{os.getpid()}"
    told = {"folder": str(folder), "command": [sys.executable, "-c", "import time; time.sleep(600)"]}
    machines.write_text(json.dumps([{"server": "spare", "group": "default", "driver": "local", "settings": told}]))
    machines.chmod(0o600)
    again(large)
    yield folder
    subprocess.run(
        [sys.executable, "-m", "cloister.cli", "server", "undrain", socket.gethostname()[:63]], env=large.environment, check=False
    )
    machines.unlink()
    again(large)
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def again(trust: RunningTrust) -> None:
    """The controller reads how machines are switched when it starts; its supervisor starts it at once."""
    before = trust.pid_of("controller")
    os.kill(before, signal.SIGTERM)
    answers(trust, lambda: trust.pid_of("controller") != before and command(trust, "server", "list"))


def answers(trust: RunningTrust, ask: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ask():
                return
        except (LookupError, subprocess.CalledProcessError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def command(trust: RunningTrust, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "cloister.cli", *words], env=trust.environment, check=True, capture_output=True, text=True)
    return done.stdout


def act_on(page: Page, whose: str, value: str = "", *, word: str = "END") -> None:
    """The form below the map: end whose sessions."""
    page.locator("#whose-end").select_option(whose)
    page.locator("#value-end").fill(value)
    page.locator("#why-end").fill("drill")
    page.locator("#sure").fill(word)
    page.locator("#sure").press("Enter")


def over(one: SignedIn) -> bool:
    return one.client.get("/", headers={"accept": "text/html"}, follow_redirects=False).status_code != 200


def test_damien_ends_by_person_and_ward_drains_switches_groups_and_sees_curves(large: RunningTrust, switchable: Path, desk: Desk) -> None:
    trust = large
    page = desk.sign_in(trust.person(role="it-operator"))
    page.goto(f"{trust.base}/console")
    own = socket.gethostname()[:63]
    alone = trust.person(role="nurse", ward="saint-roch-emergency")
    people = [trust.sign_in(trust.person(role="doctor", ward=CARDIOLOGY)), trust.sign_in(trust.person(role="nurse", ward=CARDIOLOGY))]
    people.append(trust.sign_in(alone))

    # Without the word nothing ends; by person, by ward.
    act_on(page, "person", alone["sign_in"], word="end")
    expect(page.get_by_role("status")).to_contain_text("Nothing was ended")
    act_on(page, "person", alone["sign_in"])
    expect(page.get_by_role("status")).to_contain_text("Ended 1 of 1")
    assert [over(one) for one in people] == [False, False, True]
    act_on(page, "ward", CARDIOLOGY)
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"Ended (\d+) of \1 "))  # others of this ward among them
    assert all(over(one) for one in people)

    # Drained with a deadline and given back, by keyboard.
    tile = page.locator(f'.tile[data-server="{own}"]')
    expect(tile).to_be_visible()
    tile.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#server h2")).to_have_text(own)
    page.locator("#server summary", has_text="Drain").press("Enter")
    page.locator("#minutes").fill("30")
    page.locator("#minutes").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("takes nobody new")
    assert "draining" in command(trust, "server", "list", "--state", "draining")
    expect(page.locator(f'.tile[data-server="{own}"]')).to_have_attribute("data-state", "draining", timeout=10_000)
    page.locator(f'.tile[data-server="{own}"]').click()
    page.get_by_role("button", name="Take back into service").click()
    expect(page.get_by_role("status")).to_contain_text("back in service")

    # Power of a machine that can be switched, and of one that cannot.
    page.goto(f"{trust.base}/console")
    page.locator('.tile[data-server="srv-0001"]').click()
    expect(page.locator("#server h2")).to_have_text("srv-0001")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("status")).to_contain_text("cannot be switched from here")
    page.locator('.tile[data-server="spare"]').click()
    expect(page.locator("#server h2")).to_have_text("spare")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("status")).to_contain_text("wish is noted")
    answers(trust, lambda: switchable.exists())
    page.locator('.tile[data-server="spare"]').click()
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_role("status")).to_contain_text("wish is noted")

    # A group: refused with what was typed, then made, in French; a label; the audit log says who.
    page.locator('form[action^="/language/fr"] button').click()
    page.goto(f"{trust.base}/console/groups")
    page.locator("#g-id").fill("icu")
    page.locator("#g-servers").fill("srv-9999")
    page.locator('input[name="roles"][value="doctor"]').check()
    page.locator("#g-id").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Aucun serveur de ce nom")
    expect(page.locator("#g-id")).to_have_value("icu")
    page.locator("#g-servers").fill("srv-0001 srv-0002")
    page.locator("#g-servers").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Le groupe est créé")
    row = page.locator("tbody tr", has_text="icu")
    expect(row.locator("td").nth(1)).to_have_text("2")
    row.locator("a").click()
    page.locator("#sure").fill("icu")
    page.locator("#sure").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("supprimé")

    page.goto(f"{trust.base}/console/curves?hours=168")
    expect(page.locator("figure", has_text="letters").locator("polyline").nth(1)).to_be_attached()

    # All sessions of a server, from its own part of the map; then all there are. The operator's own stays, to see what came of it.
    page.locator('form[action^="/language/en"] button').click()
    for whose in ("server", "all"):
        one = trust.sign_in(alone)
        page.goto(f"{trust.base}/console")
        if whose == "server":
            page.locator(f'.tile[data-server="{own}"]').click()
            page.locator("#server summary", has_text="End all sessions").press("Enter")
            page.locator("#sure-server").fill("END")
            page.locator("#sure-server").press("Enter")
        else:
            act_on(page, "all")
        expect(page.get_by_role("status")).to_contain_text(re.compile(r"Ended (\d+) of \1 "))
        assert over(one)
    act_on(page, "person", trust.person(role="it-operator")["sign_in"])
    expect(page.get_by_role("status")).to_contain_text("sign out instead")
