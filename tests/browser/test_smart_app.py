"""A third party's SMART app in the browser: fhirclient (npm) in a page of another site, let in by a doctor, confined to one patient."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from browser_rig import Desk
from playwright.sync_api import Page, expect
from running_trust import RunningTrust

LIBRARY: Final = Path(__file__).parents[2] / "node_modules" / "fhirclient" / "build" / "fhir-client.js"
FOLDER: Final = Path(__file__).parent / "app"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...

    def log_error(self, format: str, *args: Any) -> None: ...

    def translate_path(self, path: str) -> str:
        return str(LIBRARY) if path.split("?")[0].endswith("/fhir-client.js") else super().translate_path(path)


@pytest.fixture(scope="module")
def site(trust: RunningTrust) -> Iterator[str]:
    """The app's own web site, registered with the trust."""
    if not LIBRARY.exists():
        pytest.skip("fhirclient is not in node_modules: run `npm ci`.")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(FOLDER)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    register = ["register", "pulse", "--name", "Pulse", "--redirect", address, "--scopes", "patient/*.rs", "--launch", address]
    subprocess.run([sys.executable, "-m", "cloister.cli", "app", *register], env=trust.environment, check=True, capture_output=True)
    yield address
    server.shutdown()


@pytest.fixture(scope="module")
def patients(trust: RunningTrust) -> list[dict[str, str]]:
    """Two patients whom the doctor can open, with a pulse each."""
    found = []
    lab = trust.program(0, label="smart")
    for family, value in (("Zyverin", 71), ("Ostrekova", 93)):
        person = {"resourceType": "Patient", "name": [{"family": family}], "birthDate": "1961-03-02"}
        who = lab.post("Patient", json=person).json()["id"]
        code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
        pulse = {"resourceType": "Observation", "status": "final", "code": code, "valueQuantity": {"value": value}}
        assert lab.post("Observation", json=pulse | {"subject": {"reference": f"Patient/{who}"}}).status_code == 201
        found.append({"id": who, "family": family, "value": str(value)})
    lab.post(f"{trust.base}/session/end")
    lab.close()
    return found


def shown(page: Page) -> None:
    expect(page.locator("#beyond")).to_contain_text("patients", timeout=30_000)
    assert page.locator("#fault").text_content() == ""


def asked_of(page: Page, path: str, token: str = "") -> dict[str, Any]:
    """What the app's page is answered when it asks the FHIR address itself."""
    script = """async ([path, token]) => {
        const headers = { authorization: `Bearer ${token || client.state.tokenResponse.access_token}` }
        try {
            const answer = await fetch(client.state.serverUrl + path, { headers })
            return { status: answer.status, text: await answer.text() }
        } catch (fault) { return { status: 0, text: String(fault) } }
    }"""
    return dict(page.evaluate(script, [path, token]))


def test_an_app_is_let_in_by_a_doctor_for_one_patient_and_leaves_with_the_session(
    desk: Desk, trust: RunningTrust, site: str, patients: list[dict[str, str]]
) -> None:
    doctor, (zyverin, ostrekova) = trust.person(sign_in="claire.vasseur"), patients
    page = desk.page
    page.goto(f"{site}?iss={quote(trust.base + '/fhir/R4', safe='')}")
    page.wait_for_url(lambda url: "/login" in url, timeout=30_000)  # nobody is signed in yet: first that, then the app's question
    page.locator("#name").fill(doctor["sign_in"])
    page.locator("#passphrase").fill(doctor["passphrase"])
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/smart/consent" in url.partition("?")[0], timeout=30_000)  # the sign-in names it, too
    expect(page.locator("h1")).to_contain_text("Pulse")
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.locator("[role=alert]")).to_be_visible()  # a patient first
    page.locator("#query").fill(zyverin["family"])
    page.locator("button[value=find]").click()
    expect(page.get_by_text(zyverin["family"].upper())).to_be_visible()
    page.get_by_role("button", name="Allow", exact=True).click()
    page.wait_for_url(lambda url: url.startswith(site), timeout=30_000)
    shown(page)
    assert str(page.locator("#who").text_content()).startswith(f"{zyverin['family']} Practitioner/")
    assert page.locator("#pulses li").all_text_contents() == [zyverin["value"]]
    assert page.locator("#beyond").text_content() == "1 patients, create: 403"
    assert asked_of(page, f"/Patient/{ostrekova['id']}")["status"] == 404
    assert asked_of(page, f"/Observation?patient={ostrekova['id']}")["text"].find('"total":0') > 0
    assert asked_of(page, "/Condition")["status"] == 403
    refreshed = page.evaluate("async () => { await client.refresh(); return client.state.tokenResponse.access_token }")
    assert asked_of(page, f"/Patient/{zyverin['id']}", refreshed)["status"] == 200
    desk.go("/smart/apps")
    expect(page.get_by_text("Pulse")).to_be_visible()
    page.get_by_role("button", name="End").click()
    expect(page.get_by_text("No app is in this session.")).to_be_visible()
    with trust.client(headers={"authorization": f"Bearer {refreshed}"}) as app:
        assert app.get(f"/fhir/R4/Patient/{zyverin['id']}").status_code == 401
        assert app.get("/account").status_code in (401, 403)


def test_an_app_that_is_started_from_a_chart_has_that_patient(
    desk: Desk, trust: RunningTrust, site: str, patients: list[dict[str, str]]
) -> None:
    who = patients[1]
    page = desk.sign_in(trust.person(sign_in="claire.vasseur"))
    desk.go(f"/patients/{who['id']}")
    page.get_by_role("link", name="Apps").click()
    page.get_by_role("button", name="Pulse").click()
    page.wait_for_url(lambda url: "/smart/consent" in url.partition("?")[0], timeout=30_000)  # the sign-in names it, too
    expect(page.get_by_text(who["family"].upper())).to_be_visible()
    page.get_by_role("button", name="Allow", exact=True).click()
    page.wait_for_url(lambda url: url.startswith(site), timeout=30_000)
    shown(page)
    assert page.locator("#pulses li").all_text_contents() == [who["value"]]
    token = json.loads(page.evaluate("JSON.stringify(client.state.tokenResponse)"))
    assert token["patient"] == who["id"]
    with trust.client(headers={"authorization": f"Bearer {token['access_token']}"}) as app:
        assert app.get(f"/fhir/R4/Patient/{who['id']}").status_code == 200
        desk.go("/")
        page.locator("form[action='/session/end'] button").click()
        page.wait_for_url(lambda url: "/login" in url, timeout=20_000)
        for _ in range(50):  # the session is on its way out
            if app.get(f"/fhir/R4/Patient/{who['id']}").status_code == 401:
                break
            page.wait_for_timeout(200)
        assert app.get(f"/fhir/R4/Patient/{who['id']}").status_code == 401
        form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"], "client_id": "pulse"}
        assert app.post("/oauth2/token", data=form).json()["error"] == "invalid_grant"


def test_a_person_may_say_no(desk: Desk, trust: RunningTrust, site: str, patients: list[dict[str, str]]) -> None:
    page = desk.sign_in(trust.person(sign_in="claire.vasseur"))
    page.goto(f"{site}?iss={quote(trust.base + '/fhir/R4', safe='')}")
    page.wait_for_url(lambda url: "/smart/consent" in url.partition("?")[0], timeout=30_000)  # the sign-in names it, too
    page.get_by_role("button", name="Do not allow").click()
    page.wait_for_url(lambda url: url.startswith(site) and "error=access_denied" in url, timeout=30_000)
