"""Sign-in and record by the trust's own rules, through Envoy, from addresses that are inside, at home and abroad."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pyotp
import pytest
from journeys_cast import FHIR, Administrator, observation, patient, until, word
from running_trust import RunningTrust, bound_to

from cloister.zones import algorithms, unlockers

INSIDE, HOME, ABROAD = "127.0.0.1", "127.77.0.1", "127.78.0.1"
DOCTOR: Final = "francois.barbier"
PROGRAMS: Final = ("Xvnc", "openbox", "xterm", "setxkbmap")
ASYNC: Final = {"prefer": "respond-async"}
EXPORTED: Final = f"{FHIR}/$export"


def browser(trust: RunningTrust, address: str) -> httpx.Client:
    """From an address of one's own: the loopback has sixteen million."""
    tls = ssl.create_default_context(cafile=str(trust.ca))
    return trust.client(transport=httpx.HTTPTransport(verify=tls, local_address=address))


def signed_in(trust: RunningTrust, client: httpx.Client, name: str, **more: str) -> httpx.Response:
    """The door's answer; if it let us in, the session is unlocked and the client has its ticket."""
    person = trust.person(sign_in=name)
    flow = client.post("/login/start", json={"sign_in": name}).json()
    kek, verifier = unlockers.passphrase_secrets(person["passphrase"], flow["passphrase"])
    bound_to(client, flow["flow"])
    answer = client.post("/login/passphrase", json={"flow": flow["flow"], "verifier": base64.b64encode(verifier).decode(), **more})
    if answer.status_code == 200:
        place = answer.json()
        client.headers["cookie"] = answer.headers["set-cookie"].split(";")[0]
        unlock(client, place["session"], place["public_key"], place["unlocker"]["id"], kek.reveal()).raise_for_status()
    return answer


def unlock(client: httpx.Client, session: str, public: str, unlocker: str, kek: bytes) -> httpx.Response:
    sealed = algorithms.kem_seal(base64.b64decode(public), kek, unlockers.session_unlock_info(session))
    return client.post("/session/unlock", json={"unlocker": unlocker, "sealed": base64.b64encode(sealed).decode()})


def command(trust: RunningTrust, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cloister.cli", *arguments], env=trust.environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def codes(trust: RunningTrust) -> list[str]:
    """The doctor sets up a telephone and prints codes, at a workstation of the hospital."""
    with browser(trust, INSIDE) as desk:
        assert signed_in(trust, desk, DOCTOR).status_code == 200
        page = desk.post("/account/second/totp").text
        assert "data:image/svg+xml" in page
        phone = pyotp.TOTP(re.search(r"<code>([A-Z2-7]{32})</code>", page)[1])  # type: ignore[index]
        first = phone.now()
        assert desk.post("/account/second/totp/confirm", data={"code": first}).status_code == 303
        printed = re.findall(r"<li><code>([A-Z2-7-]{14})</code>", desk.post("/account/second/paper").text)
        assert len(printed) == 10
        assert "10 unused codes" in desk.get("/account/second", headers={"cookie": desk.headers["cookie"] + "; language=en"}).text
        desk.post("/session/end")
    return [first, *printed]


@pytest.fixture
def at_home(trust: RunningTrust, codes: list[str]) -> Iterator[httpx.Client]:
    with browser(trust, HOME) as client:
        assert signed_in(trust, client, DOCTOR, code=codes.pop()).status_code == 200
        yield client
        with contextlib.suppress(httpx.HTTPError):
            client.post("/session/end")


def test_at_home_a_passphrase_alone_is_refused_as_a_wrong_one_is(trust: RunningTrust, codes: list[str]) -> None:
    with browser(trust, HOME) as client:
        alone = signed_in(trust, client, DOCTOR)
        used = signed_in(trust, client, DOCTOR, code=codes[0])
        flow = client.post("/login/start", json={"sign_in": "nobody.at.all"}).json()
        assert flow["code"] == "must"
        nobody = client.post("/login/passphrase", json={"flow": flow["flow"], "verifier": base64.b64encode(bytes(32)).decode()})
        flow = client.post("/login/start", json={"sign_in": DOCTOR}).json()
        wrong = client.post("/login/passphrase", json={"flow": flow["flow"], "verifier": base64.b64encode(bytes(32)).decode()})
    answers = [alone, used, nobody, wrong]
    assert {(one.status_code, one.text) for one in answers} == {(401, alone.text)}
    assert all(one.elapsed.total_seconds() >= 0.34 for one in answers)


def test_at_home_one_views_and_writes_and_exports_nothing(trust: RunningTrust, at_home: httpx.Client, administrator: Administrator) -> None:
    before = administrator.entries()[-1]["seq"]
    made = at_home.post(f"{FHIR}/Patient", json=patient(word()))
    assert made.status_code == 201, made.text
    id = made.json()["id"]
    assert at_home.post(f"{FHIR}/Observation", json=observation(f"Patient/{id}")).status_code == 201
    assert at_home.get("/", follow_redirects=True).status_code == 200
    for path in (EXPORTED, f"{FHIR}/Patient/{id}/$everything", f"{FHIR}/Patient/{id}/$summary"):
        refused = at_home.get(path, headers=ASYNC if path == EXPORTED else {})
        assert refused.status_code == 403, path
        issue = refused.json()["issue"][0]
        assert issue["details"]["coding"][0]["code"] == "export-inside"
        assert "version" in issue["diagnostics"]
    noted = [(one["action"], one["reason"]) for one in administrator.entries(before) if one["outcome"] == "denied"]
    assert noted.count(("export", "export-inside")) == 3


@pytest.mark.skipif(os.geteuid() != 0 or any(shutil.which(name) is None for name in PROGRAMS), reason="publishes a program")
def test_at_home_a_program_is_worked_in_and_nothing_is_taken_out_of_it(
    trust: RunningTrust, at_home: httpx.Client, administrator: Administrator
) -> None:
    ways = ("--clipboard", "in", "--clipboard", "out", "--files", "in", "--files", "out", "--file-mib", "1", "--file-kind", "txt")
    assert command(trust, "application", "add", "placed", "--role", "doctor", *ways, "--", "xterm").returncode == 0
    before, page, json_ = administrator.entries()[-1]["seq"], "/programs/placed", {"accept": "application/json"}
    raw = json_ | {"content-type": "application/octet-stream"}
    started = at_home.post(f"{page}/start", json={"width": 640, "height": 480, "layout": "fr"})
    assert started.status_code == 200, started.text
    facts = started.json()
    assert [facts[way] for way in ("clipboard_in", "clipboard_out", "transfer_in", "transfer_out")] == [True, False, True, False]
    assert set(facts["withheld"]) == {"clipboard_out", "transfer_out"}
    assert at_home.post(f"{page}/files?name=letter.txt", content=b"Dear Mrs Lopez", headers=raw).status_code == 200
    for name, body, reason in (("tool.exe", b"MZ", "program-file-kind"), ("long.txt", bytes(2**20 + 1), "program-file-size")):
        assert at_home.post(f"{page}/files?name={name}", content=body, headers=raw).json()["error"] == reason
    taken = at_home.get(f"{page}/file?name=letter.txt", headers=json_)
    assert (taken.status_code, taken.json()["error"]) == (403, "carry-inside")
    assert at_home.get(f"{page}/files").json() == {"files": []}
    with browser(trust, INSIDE) as desk:
        desk.headers["cookie"], desk.auth = at_home.headers["cookie"], at_home.auth  # the same machine, carried into the hospital
        assert desk.get(f"{page}/file?name=letter.txt").content == b"Dear Mrs Lopez"
        assert desk.get(f"{page}/state").json()["clipboard_out"] is True
        assert desk.post(f"{page}/end", json={}).status_code == 200
    noted = [(one["action"], one["outcome"], one["reason"]) for one in administrator.entries(before) if one["object"] == "placed"]
    assert ("take-file", "denied", "carry-inside") in noted
    assert ("take-file", "success", "14 bytes") in noted
    assert command(trust, "application", "remove", "placed").returncode == 0


def test_the_place_is_that_of_each_request_and_no_header_changes_it(trust: RunningTrust, codes: list[str]) -> None:
    with browser(trust, INSIDE) as desk, browser(trust, HOME) as stolen, browser(trust, ABROAD) as far:
        assert signed_in(trust, desk, DOCTOR).status_code == 200
        assert desk.get(EXPORTED, headers=ASYNC).status_code == 202
        for client in (stolen, far):
            client.headers["cookie"], client.auth = desk.headers["cookie"], desk.auth  # the machine itself, carried elsewhere
            for forged in ({}, {"x-cloister-address": INSIDE}, {"x-forwarded-for": INSIDE}, {"forwarded": f"for={INSIDE}"}):
                refused = client.get(f"{FHIR}/Patient?_count=1", headers=forged)
                assert refused.status_code == 403
                assert refused.json()["issue"][0]["details"]["coding"][0]["code"] == "second-factor-away"
            page = client.get("/patients", headers={"accept": "text/html", "cookie": f"{desk.headers['cookie']}; language=fr"})
            assert page.status_code == 403
            assert "Hors de l&#39;hôpital" in page.text
        assert desk.get(f"{FHIR}/Patient?_count=1").status_code == 200
        desk.post("/session/end")


def test_abroad_one_reads(trust: RunningTrust, codes: list[str]) -> None:
    with browser(trust, ABROAD) as client:
        assert signed_in(trust, client, DOCTOR, code=codes.pop()).status_code == 200
        assert client.get(f"{FHIR}/Patient?_count=1").status_code == 200
        assert client.post(f"{FHIR}/Patient", json=patient(word())).json()["issue"][0]["details"]["coding"][0]["code"] == "abroad-reads"
        client.post("/session/end")


def test_rules_are_signed_published_and_hold_in_open_sessions_within_a_second(
    trust: RunningTrust, tmp_path: Path, administrator: Administrator
) -> None:
    root = tmp_path / "root"
    root.write_text(json.loads((trust.state / "demo" / "roots.json").read_text())["access"])
    folder = tmp_path / "own"
    assert command(trust, "policy", "new", str(folder)).returncode == 0
    usual = (folder / "rules.cedar").read_text()
    rule = '@id("no-substances") @en("Substances are not read here.")\n'
    rule += 'forbid (principal, action == Action::"search", resource == Resource::"Substance");\n'
    (folder / "rules.cedar").write_text(usual + rule)
    with (folder / "examples.csv").open("a") as file:
        file.write("doctor,search,Substance,10.0.0.1,1,0,no-substances\n")
    assert "10 rules" in command(trust, "policy", "test", str(folder)).stdout
    signed = tmp_path / "one.rules"
    options = ["--out", str(signed), "--note", "no substances", "--passphrase-file", str(root)]
    assert command(trust, "policy", "sign", str(folder), *options).returncode == 0
    with browser(trust, INSIDE) as desk:
        assert signed_in(trust, desk, DOCTOR).status_code == 200
        assert desk.get(f"{FHIR}/Substance").status_code == 200
        published = command(trust, "policy", "publish", str(signed))
        assert "is in force" in published.stdout, published.stderr
        until(lambda: desk.get(f"{FHIR}/Substance").status_code == 403)
        assert "Substances are not read here." in desk.get(f"{FHIR}/Substance").text
        # The same version again, or one that nobody signed, is refused.
        assert "not the next one" in command(trust, "policy", "publish", str(signed)).stderr
        forged = tmp_path / "forged.rules"
        whole = signed.read_bytes()
        forged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one signature in sixteen ends with a zero already
        assert "not signed" in command(trust, "policy", "publish", str(forged)).stderr
        shown = command(trust, "policy", "explain", "--role", "doctor", "--action", "search", "--what", "Substance")
        assert (shown.returncode, "refused by no-substances" in shown.stdout) == (1, True)
        assert "no substances" in command(trust, "policy", "history").stdout
        # Back to the usual ones, as the next version.
        (folder / "rules.cedar").write_text(usual)
        (folder / "examples.csv").write_text((folder / "examples.csv").read_text().rpartition("doctor,search,Substance")[0])
        assert command(trust, "policy", "sign", str(folder), *options).returncode == 0
        assert command(trust, "policy", "publish", str(signed)).returncode == 0
        until(lambda: desk.get(f"{FHIR}/Substance").status_code == 200)
        desk.post("/session/end")
    assert any(one["action"] == "publish-rules" for one in administrator.entries())


def test_proving_again_is_unlocking_again_and_a_wrong_secret_proves_nothing(trust: RunningTrust) -> None:
    person = trust.person(sign_in=DOCTOR)
    with browser(trust, INSIDE) as desk:
        assert signed_in(trust, desk, DOCTOR).status_code == 200
        assert desk.get("/account/again?back=//evil.example").text.count("evil") == 0
        ways: dict[str, Any] = desk.post("/account/again/start", json={}).json()
        kek, _ = unlockers.passphrase_secrets(person["passphrase"], ways["passphrase"]["params"])
        key = desk.get("/session/key").json()
        assert unlock(desk, key["session"], key["public_key"], ways["passphrase"]["unlocker"], bytes(32)).status_code == 403
        key = desk.get("/session/key").json()
        assert unlock(desk, key["session"], key["public_key"], ways["passphrase"]["unlocker"], kek.reveal()).status_code == 200
        assert desk.get(f"{FHIR}/Patient?_count=1").status_code == 200
        desk.post("/session/end")
