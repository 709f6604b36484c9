"""OpenID Connect with other people's programs: the trust as a provider for npm openid-client, and as a client of npm oidc-provider."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from journeys_cast import FHIR, Administrator
from openid_rig import NODE, Provider, command, needed, provider_known_as
from running_trust import RunningTrust, bound_to

from cloister.zones import algorithms, unlockers

DOCTOR: Final = "isabelle.noel"
BACK: Final = "https://rota.example/back"


def test_an_application_of_the_hospital_learns_who_somebody_is_and_nothing_else(trust: RunningTrust) -> None:
    needed("openid-client")
    command(trust, "app", "register", "rota", "--name", "Rota", "--redirect", BACK, "--scopes", "openid profile")
    doctor = trust.sign_in(trust.person(sign_in=DOCTOR))
    environment = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(trust.ca)}
    script = [NODE, Path(__file__).parent / "clients" / "openid.mjs", trust.base, "rota", BACK, "RS256"]
    with subprocess.Popen(script, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdin is not None
        assert app.stdout is not None
        asked = json.loads(app.stdout.readline())["url"]
        with trust.client() as browser:
            page = browser.get(asked)
        onward = re.search(r"url=(/smart/consent\?request=[\w-]+)", page.text)
        assert onward is not None, page.text
        assert "Rota" in doctor.client.get(onward[1]).text
        answered = doctor.client.post("/smart/consent", data={"request": onward[1].partition("=")[2], "answer": "allow"})
        to = unescape(re.search(r'content="0; url=([^"]+)"', answered.text)[1])  # type: ignore[index]
        assert parse_qs(urlsplit(to).query)["iss"] == [trust.base]
        app.stdin.write(f"{to}\n")
        app.stdin.flush()
        said = json.loads(app.stdout.readline() or "{}")
        app.stdin.close()
    assert said["claims"]["iss"] == trust.base
    assert said["claims"]["aud"] == "rota"
    assert said["info"] == {name: said["claims"][name] for name in said["info"]}
    assert said["info"]["preferred_username"] == DOCTOR
    with trust.client(headers={"authorization": f"Bearer {said['access']}"}) as nobody:
        assert nobody.get(f"{FHIR}/Patient").status_code == 401
    doctor.client.post("/session/end")
    kinds = {key["kty"] for key in trust.client().get("/oauth2/keys").json()["keys"]}
    assert kinds == {"RSA"}
    assert {key["kty"] for key in trust.client().get("/login/keys").json()["keys"]} == {"OKP"}


@pytest.fixture(scope="module")
def provider(trust: RunningTrust, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    folder = tmp_path_factory.mktemp("provider")
    with provider_known_as(trust, folder, "nation", "Nation", [("claire-of-the-nation", DOCTOR)]) as running:
        yield running


def gone_and_back(trust: RunningTrust, provider: Provider, account: str, browser: httpx.Client) -> httpx.Response:
    """Through the provider as `account`, back to the door; the door's answer."""
    left = browser.get("/login/provider/nation")
    assert left.status_code == 303, left.text
    to = left.headers["location"]
    assert "code_challenge_method=S256" in to
    browser.headers["cookie"] = left.headers["set-cookie"].split(";")[0]
    with provider.browser() as there:
        while to.startswith(provider.issuer) or to.startswith("/"):
            place = to if to.startswith("https") else provider.issuer + to
            if "/interaction/" in place:
                place += f"?account={account}"
            answer = there.get(place)
            assert answer.status_code in (302, 303), answer.text[:300]
            to = answer.headers["location"]
    return browser.get(to.removeprefix(trust.base))


def test_a_person_comes_from_the_nations_provider_and_opens_their_keys_here(
    trust: RunningTrust, provider: Provider, administrator: Administrator
) -> None:
    assert "Sign in with Nation" in trust.client().get("/login").text
    with trust.client() as browser:
        back = gone_and_back(trust, provider, "claire-of-the-nation", browser)
        word = back.headers["location"].partition("#proved=")[2]
        assert word, back.headers["location"]
        del browser.headers["cookie"]
        bound_to(browser, word)
        place = browser.post("/login/continued", json={"proved": word})
        assert place.status_code == 200, place.text
        assert browser.post("/login/continued", json={"proved": word}).status_code == 404
        body: dict[str, Any] = place.json()
        assert body["unlocker"] is None
        browser.headers["cookie"] = place.headers["set-cookie"].split(";")[0]
        assert browser.get(f"{FHIR}/Patient").status_code == 401  # proved, and nothing is open
        way = body["ways"]["passphrase"]
        kek, _ = unlockers.passphrase_secrets(trust.person(sign_in=DOCTOR)["passphrase"], way["params"])
        info = unlockers.session_unlock_info(body["session"])
        sealed = base64.b64encode(algorithms.kem_seal(base64.b64decode(body["public_key"]), kek.reveal(), info)).decode()
        assert browser.post("/session/unlock", json={"unlocker": way["unlocker"], "sealed": sealed}).status_code == 200
        assert browser.get(f"{FHIR}/Patient?_count=1").status_code == 200
        browser.post("/session/end")
    assert any(one["action"] == "sign-in" and one["reason"] == "provider" for one in administrator.entries())


def test_who_is_not_linked_or_comes_with_somebody_elses_answer_is_nobody_here(trust: RunningTrust, provider: Provider) -> None:
    with trust.client() as browser:
        assert gone_and_back(trust, provider, "a-stranger", browser).headers["location"] == "/login#refused=provider-unlinked"
    with trust.client() as browser:
        assert gone_and_back(trust, provider, "none", browser).headers["location"] == "/login#refused=provider-refused"
    with trust.client() as browser, trust.client() as victim:
        mine = browser.get("/login/provider/nation")
        state = parse_qs(urlsplit(mine.headers["location"]).query)["state"][0]
        victim.headers["cookie"] = "__Host-provider=another"
        back = victim.get("/login/back", params={"state": state, "code": "x", "iss": provider.issuer})
        assert back.headers["location"] == "/login#refused=provider-state"
    with trust.client() as browser:
        mine = browser.get("/login/provider/nation")
        state = parse_qs(urlsplit(mine.headers["location"]).query)["state"][0]
        browser.headers["cookie"] = mine.headers["set-cookie"].split(";")[0]
        mixed = browser.get("/login/back", params={"state": state, "code": "x", "iss": "https://elsewhere.example"})
        assert mixed.headers["location"] == "/login#refused=provider-issuer"


def refused_command(trust: RunningTrust, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "cloister.cli", *arguments], env=trust.environment, capture_output=True, text=True)
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_a_provider_is_not_removed_nor_exchanged_under_people_who_come_from_it(trust: RunningTrust) -> None:
    usual = ["--name", "Otherland", "--client", "cloister", "--issuer"]
    command(trust, "provider", "add", "other", *usual, "https://other.example")
    try:
        with trust.client() as browser:
            assert browser.get("/login/provider/other").headers["location"] == "/login#refused=provider-away", "nobody is there"
        command(trust, "provider", "link", "other", "s-1", DOCTOR)
        assert command(trust, "provider", "links", "other") == f"s-1  {DOCTOR}\n"
        assert "1 people come from 'other'" in refused_command(trust, "provider", "remove", "other")
        assert "this is another issuer" in refused_command(trust, "provider", "add", "other", *usual, "https://another.example")
        assert "'other' is this provider already" in refused_command(trust, "provider", "add", "third", *usual, "https://other.example")
        assert "no name of a provider" in refused_command(trust, "provider", "add", "Not/one", *usual, "https://third.example")
        command(trust, "provider", "unlink", "other", "s-1")
        command(trust, "provider", "link", "other", "s-1", DOCTOR)
    finally:
        command(trust, "provider", "remove", "other", "--with-links")
    with trust.client() as browser:
        assert browser.get("/login/provider/other").headers["location"] == "/login#refused=provider"
        assert "Otherland" not in browser.get("/login").text
    for words in (("remove", "other"), ("links", "other"), ("link", "other", "s-1", DOCTOR), ("unlink", "other", "s-1")):
        assert "There is no provider 'other'" in refused_command(trust, "provider", *words)
